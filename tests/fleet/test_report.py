import csv
import re
import shutil

import pytest

from robo_rl import cli
from robo_rl.checkpoints.hashes import item_digest
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.config import EnvConfig
from robo_rl.fleet.blocks import merge
from robo_rl.fleet.chart import HEIGHT, chart
from robo_rl.fleet.coordinator import run_fleet
from robo_rl.fleet.report import leaderboard, video_command
from robo_rl.fleet.table import read_environments, read_table, write_csv, write_parquet
from tests.fleet import stub
from tests.fleet.test_coordinator import Inline


def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = stub.make_run(tmp_path / "a<b", [100, 200])
    suite = stub.make_suite(variations={"nominal": {}, "slow": {}})
    run_fleet([run], lambda run: suite, Inline(), 1, (stub.evaluate, merge), report=lambda note: None)
    (run.checkpoints / "100" / "hashes.json").unlink()
    return read_table([(RunFolder(run.path), "stub")])


def test_the_table_has_a_row_per_checkpoint_and_variation(tmp_path, monkeypatch):
    rows = table(tmp_path, monkeypatch)
    assert [(row.variation, row.step, row.is_there) for row in rows] == [
        *(("nominal", 100, False), ("nominal", 200, True)),
        *(("slow", 100, False), ("slow", 200, True)),
    ]
    assert rows[0].score == rows[0].success_rate == 0.5
    write_csv(tmp_path / "table.csv", rows)
    with (tmp_path / "table.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [float(row["return_mean"]) for row in written] == [row.return_mean for row in rows]
    assert [path.name for path in tmp_path.glob("*.csv*")] == ["table.csv"]


def test_a_policy_that_a_resumed_run_replaced_is_no_longer_there(tmp_path, monkeypatch):
    table(tmp_path, monkeypatch)
    run = RunFolder(tmp_path / "a<b")
    shutil.rmtree(run.checkpoints / "200")
    stub.add_checkpoint(run, 200, "other weights")
    rows = read_table([(run, "stub")])
    assert [(row.step, row.is_there) for row in rows if row.variation == "nominal"] == [(100, False), (200, False)]
    assert "To film the worst" not in leaderboard(rows, {})
    suite = stub.make_suite(variations={"nominal": {}, "slow": {}})
    run_fleet([run], lambda run: suite, Inline(), 1, (stub.evaluate, merge), report=lambda note: None)
    rows = [row for row in read_table([(run, "stub")]) if (row.variation, row.step) == ("nominal", 200)]
    there = item_digest(run.checkpoints / "200", "policy")
    assert {row.policy: row.is_there for row in rows} == {row.policy: row.policy == there for row in rows}
    assert sum(row.is_there for row in rows) == 1


def test_the_table_as_parquet(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install 'robo-rl[parquet]'")
    rows = table(tmp_path, monkeypatch)
    write_parquet(tmp_path / "table.parquet", rows)
    assert parquet.read_table(tmp_path / "table.parquet").to_pylist() == [row._asdict() for row in rows]


def test_without_pyarrow_parquet_is_refused_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["fleet", str(stub.make_run(tmp_path / "run", [100]).path), "--parquet"]) == 2
    assert "robo-rl[parquet]" in capsys.readouterr().err


def test_the_page_stands_alone_and_names_what_matters(tmp_path, monkeypatch):
    rows = table(tmp_path, monkeypatch)
    page = leaderboard(rows, {})
    assert not re.search(r"<script|<img|<link|https?://", page)
    assert "a&lt;b" in page
    assert "a<b" not in page
    assert page.count("<svg") == 2
    assert "no longer kept" not in page  # the newer one is as good, and wins
    seed = rows[1].worst[0]["seed"]
    assert f"--episode-seed {seed} \\\n  --video" in page
    assert "evaluations/stub/suite.json --variation nominal" in video_command(rows[1], seed)


def test_a_page_without_rows_is_a_page():
    assert "<h1>Leaderboard</h1>" in leaderboard([], {})


def test_one_chart_shows_all_runs_and_hollows_what_is_not_kept(tmp_path, monkeypatch):
    rows = table(tmp_path, monkeypatch)
    page = leaderboard([*rows, *(row._replace(run="other") for row in rows)], {})
    assert page.count("<svg") == 2
    assert page.count("<polyline") == 4
    assert page.count('fill="#fff"') == 4
    assert "<span>other</span>" in page


def test_runs_that_were_played_in_other_environments_are_not_ranked_together(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    suite = stub.make_suite(variations={"nominal": {}, "slow": {"env": {"action_repeat": 3}}})
    tasks = {name: EnvConfig(name="toy/reach", action_repeat=repeat) for name, repeat in [("a", 1), ("b", 1), ("c", 2)]}
    runs = [stub.make_run(tmp_path / name, [100], env=task) for name, task in tasks.items()]
    run_fleet(runs, lambda run: suite, Inline(), 1, (stub.evaluate, merge), report=lambda note: None)
    named = [(run, "stub") for run in runs]
    rows = read_table(named)
    played = {(row.run, row.variation): row.environment for row in rows}
    assert played["a", "nominal"] == played["b", "nominal"] != played["c", "nominal"]
    assert len({played[name, "slow"] for name in tasks}) == 1

    page = leaderboard(rows, read_environments(named))
    assert re.findall("<h3>(.*?)</h3>", page) == ["nominal", "nominal, environment 2", "slow"]
    assert [cell.count("<circle") for cell in page.split("<h3>")[1:]] == [2, 1, 3]
    assert "action_repeat: 1 -&gt; 2</span>" in page
    forgotten = [row._replace(environment="") if row.run == "c" else row for row in rows]
    assert "suite.json no longer says what it was</span>" in leaderboard(forgotten, read_environments(named))
    best = dict(re.findall(r"<tr><td>([^<]+)<td>([^<]+)<td", page))
    assert best["nominal"] in ("a", "b")
    assert best["nominal, environment 2"] == "c"


@pytest.mark.parametrize(
    ("success", "low", "high", "first", "last"),
    [(0.99, 0.96, 1.0, "90%", "100%"), (0.5, 0.3, 0.7, "0%", "100%"), (None, -3.0, 41.0, "-20", "60")],
)
def test_the_axis_holds_every_interval(tmp_path, monkeypatch, success, low, high, first, last):
    [row, *_] = table(tmp_path, monkeypatch)
    drawn = chart({"run": [row._replace(success_rate=success, score=(low + high) / 2, low=low, high=high)]})
    labels = re.findall(r'text-anchor="end">([^<]*)</text>', drawn)
    assert (labels[0], labels[-1]) == (first, last)
    heights = [float(y) for y in re.findall(r"M[\d.]+ ([\d.]+)V", drawn)]
    assert all(0 <= y <= HEIGHT for y in heights)
