import base64
import json
import re
from html.parser import HTMLParser

import pytest

from robo_rl.compare import sections
from robo_rl.compare.report import check_libraries, write_report
from robo_rl.compare.results import read_results
from robo_rl.compare.summary import summarise
from robo_rl.errors import UserError
from tests.compare import made_up

SMALL = {"losses": ("mse", "hl_gauss"), "tasks": made_up.TASKS[:2], "seeds": (100, 101, 102)}


class Seen(HTMLParser):
    """What a browser would find: addresses, headings, text, and whether every element is closed."""

    def __init__(self, markup):
        super().__init__()
        self.addresses, self.tags, self.text, self.open = [], [], "", []
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = made_up.write(tmp_path_factory.mktemp("made_up"), **SMALL)
    write_report(folder, repetitions=50)
    return folder


@pytest.fixture(scope="module")
def seen(written):
    return Seen((written / "report.html").read_text())


def test_the_page_is_whole_and_asks_for_nothing_from_elsewhere(seen):
    assert seen.open == []
    assert not {"script", "link", "iframe", "object", "svg"} & set(seen.tags)
    assert seen.addresses
    assert all(address.startswith("data:") for address in seen.addresses)


def test_what_a_head_had_for_itself_is_said(tmp_path, seen):
    folder = made_up.write(tmp_path, **SMALL)
    about = json.loads((folder / "comparison.json").read_text())
    about["config"]["heads"] = {"hl_gauss": {"bins": 51, "sigma_to_width": 0.75}}
    results = read_results(folder)._replace(plan=about["config"])
    told = Seen(sections.protocol(summarise(results, 50), results)).text
    assert "HL-Gauss alonebins 51, sigma_to_width 0.75" in told
    assert "HL-Gauss alone" not in seen.text


def test_question_answer_and_plot_come_first(written, seen):
    summary = json.loads((written / "summary.json").read_text())
    assert seen.tags.index("img") < seen.tags.index("table")
    assert seen.text.index(summary["question"]) < seen.text.index(summary["answer"]) < seen.text.index("All tasks")


def test_published_means_of_the_same_tasks_stand_below_ours(written, seen):
    [theirs] = [
        row for row in json.loads((written / "summary.json").read_text())["published"] if row["method"] == "BRO UTD2"
    ]
    assert theirs["mean"] == pytest.approx((0.8521 + 0.8822) / 2)  # published means of the two tasks of SMALL
    assert re.search(r"HL-Gauss(.|\n)*BRO UTD2\s*0.87\s*0.87", seen.text.partition("Task by task")[0])


TOLD = (
    "HL-Gauss", "SAC (TD-MPC2 repo)", "nicklashansen/tdmpc2", "0.10%", "170", "None: every planned cell is finished",
    "100, 101, 102", "0, 1, 2 (none of them is a reporting seed)", "robo-rl compare made_up", "0123abc", "rliable 1",
    "one configuration for all cells", "the same initial weights",
)  # fmt: skip


@pytest.mark.parametrize("said", TOLD)
def test_the_page_tells(seen, said):
    assert said in seen.text


def test_where_a_loss_gains_stands_beside_the_means(written, seen):
    task = json.loads((written / "summary.json").read_text())["per_task"][0]
    found = task["groups"][1]["difference"]
    assert re.search(rf"cartpole-swingup\s*\+{found['value']:.0f} \[", seen.text)
    assert "of twenty one is expected to miss, and here are 2" in seen.text


def test_the_raw_scores_are_inside_the_page(written, seen):
    held = [base64.b64decode(a.partition("base64,")[2]) for a in seen.addresses if a.startswith("data:text/csv")]
    assert held == [(written / "scores.csv").read_bytes()]


def test_every_plot_is_in_the_page_and_a_file_of_both_kinds(written, seen):
    svgs = sorted((written / "plots").glob("*.svg"))
    assert len(svgs) == seen.tags.count("img") == 10
    assert {path.stem for path in svgs} == {path.stem for path in (written / "plots").glob("*.png")}


def test_writing_again_gives_the_same_files_and_removes_stale_plots(written):
    stale = written / "plots" / "task-of-another-plan.png"
    stale.write_bytes(b"")
    before = {path: path.read_bytes() for path in [written / "summary.json", written / "report.html"]}
    write_report(written, repetitions=50)
    assert {path: path.read_bytes() for path in before} == before
    assert not stale.exists()


def test_a_partial_comparison_lists_what_failed_and_what_is_missing(tmp_path):
    def status(cell):
        return {"suite/finger-spin": "failed", "suite/cheetah-run": "running", "suite/walker-walk": "not begun"}.get(
            cell["task"], "finished"
        )

    made_up.write(tmp_path, **{**SMALL, "tasks": made_up.TASKS}, status=status)
    write_report(tmp_path, repetitions=20)
    seen = Seen((tmp_path / "report.html").read_text())
    assert "So far (8 of 14 cells finished)" in seen.text
    assert "2 failed, 4 running or not begun, of 14 planned" in seen.text
    assert "DivergedError: Metric 'critic_loss' is nan at <step 20,000>." in seen.text
    assert "No cell of this task is finished" in seen.text


def test_success_rates_have_wilsons_interval_and_no_published_rows(tmp_path):
    made_up.write(tmp_path, **{**SMALL, "tasks": ("grasp/cube",)}, success=True)
    write_report(tmp_path, repetitions=20)
    seen = Seen((tmp_path / "report.html").read_text())
    assert "grasp/cube (success rate)" in seen.text
    assert "Wilson interval of the pooled rate" in seen.text
    assert "SimbaV2" not in seen.text


def test_a_task_without_a_scale_is_reported_by_itself(tmp_path):
    made_up.write(tmp_path, **{**SMALL, "tasks": ("suite/cheetah-run", "mine/own")})
    write_report(tmp_path, repetitions=20)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["tasks"] == ["suite/cheetah-run"]
    assert len(summary["per_task"][1]["groups"]) == 2
    seen = Seen((tmp_path / "report.html").read_text())
    assert "their largest return is not known: mine/own." in seen.text


def test_tasks_without_a_scale_alone_leave_no_aggregate(tmp_path):
    made_up.write(tmp_path, **{**SMALL, "tasks": ("mine/own",)})
    write_report(tmp_path, repetitions=20)
    assert "No task with a known scale" in json.loads((tmp_path / "summary.json").read_text())["answer"]


def test_nothing_in_the_folder_can_write_markup(tmp_path):
    made_up.write(tmp_path, **{**SMALL, "losses": ("mse", "<i>x</i>")}, question="<script>alert(1)</script>")
    write_report(tmp_path, repetitions=20)
    seen = Seen((tmp_path / "report.html").read_text())
    assert not {"script", "i"} & set(seen.tags)
    assert "<script>alert(1)</script>" in seen.text


def test_cells_of_several_machines_are_told_apart(tmp_path):
    made_up.write(tmp_path, **SMALL)
    for cell in tmp_path.glob("cells/*/cell.json"):
        record = json.loads(cell.read_text())
        about = {"processor": f"processor of {record['loss']}", "git": "0123456789" * 4 + "-dirty"}
        cell.write_text(json.dumps(record | about))
    write_report(tmp_path, repetitions=20)
    text = Seen((tmp_path / "report.html").read_text()).text
    assert text.count("processor of mse") == 2
    assert "0123456789" not in text, "all cells have the same revision"
    assert "not of one version" not in text, "another processor is no other version"

    cell.write_text(json.dumps(record | about | {"git": "abcdef0123" * 4}))
    write_report(tmp_path, repetitions=20)
    text = Seen((tmp_path / "report.html").read_text()).text
    assert "abcdef0123" in text
    assert "the cells are not of one version (Revision)" in text


def test_the_libraries_are_here():
    check_libraries()


def test_no_finished_cell_writes_nothing(tmp_path):
    made_up.write(tmp_path, **SMALL, status=lambda cell: "failed")
    with pytest.raises(UserError, match="nothing to report yet"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
    assert not (tmp_path / "summary.json").exists()
