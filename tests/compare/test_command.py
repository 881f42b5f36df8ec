"""`robo-rl compare` as a user has it: interrupted, started again, and asked for another comparison."""

import csv
import json
import signal
import subprocess
import sys
import time

import pytest

from robo_rl.compare import command
from robo_rl.compare.cell_folder import CellFolder
from robo_rl.compare.command import compare_command
from robo_rl.compare.plan import CompareConfig
from robo_rl.errors import ConfigError, RunFailedError, UserError
from tests.tiny import TINY_COMPARISON_FLAGS
from tests.toys import toy_family

TASK = ["--losses", "mse", "--tasks", "suite/cartpole-balance", "--seeds", "100", "101"]


def start(folder):
    words = [sys.executable, "-m", "robo_rl", "compare", "compare_quick", "--run", folder / "run"]
    return subprocess.Popen(
        [*map(str, words), *TINY_COMPARISON_FLAGS, *TASK], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_interrupted_and_started_again(tmp_path):
    first = start(tmp_path)
    deadline = time.monotonic() + 200
    while not list((tmp_path / "run" / "cells").glob("*/evaluations.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.2)
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=200)
    assert first.returncode == 0, err
    assert "Stopped: 0 of 1 cells" in out
    again = start(tmp_path)
    out, err = again.communicate(timeout=280)
    assert again.returncode == 0, err
    assert "1 of 1 cells are finished" in out
    for path in (tmp_path / "run" / "cells").iterdir():
        assert CellFolder(path).record()["status"] == "finished"
    with (tmp_path / "run" / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({(row["loss"], row["seed"], row["env_steps"]) for row in rows}) == len(rows) == 2 * 3
    assert max(int(row["env_steps"]) for row in rows) == 300


@pytest.fixture
def plan_file(tmp_path):
    base = tmp_path / "base.yaml"
    base.write_text("learner: {warmup_env_steps: 10}")
    path = tmp_path / "plan.yaml"
    fields = {"question": "?", "base": str(base), "losses": ["mse", "c51"], "tasks": ["toy/reach"], "seeds": [5],
              "env_steps": 100}  # fmt: skip
    path.write_text(json.dumps(fields))
    with toy_family():
        yield str(path)


def pretend(outcomes, began):
    """In place of `run_cells`: writes the record that each cell ends with."""

    def run_cells(works, jobs, accelerator, report, stop):
        failed = []
        for work in works:
            began.append((work.record["name"], work.attempts))
            outcome = outcomes.pop(0)
            folder = CellFolder(work.folder)
            about = {"status": outcome, "seeds": work.seeds, "attempts": work.attempts, "error": "why\nbecause"}
            folder.write_record({**work.record, **about})
            episodes = [{"return": 1.0, "success": None}]
            folder.add_evaluations([{"seed": seed, "env_steps": 100, "episodes": episodes} for seed in work.seeds])
            report(work.record["name"], outcome, None)
            failed += [work.record["name"]] if outcome == "failed" else []
        return failed

    return run_cells


def test_a_finished_cell_is_never_trained_again_and_a_failed_one_is_tried_anew(
    tmp_path, plan_file, monkeypatch, capsys
):
    began, run = [], tmp_path / "run"
    monkeypatch.setattr(command, "run_cells", pretend(["finished", "failed", "finished"], began))
    never = lambda: lambda: False  # noqa: E731
    assert compare_command(plan_file, run, 1, [], {}, never) == 1
    assert "1 of 2 cells are finished" in (said := capsys.readouterr().out)
    assert "because" in said
    assert (run / "summary.json").exists()
    assert compare_command(plan_file, run, 1, [], {}, never) == 0
    assert compare_command(plan_file, run, 1, [], {}, never) == 0
    assert began == [("mse-toy_reach", 1), ("c51-toy_reach", 1), ("c51-toy_reach", 2)]
    with pytest.raises(ConfigError, match=r"seeds: \[5\] -> \[6\]"):
        compare_command(plan_file, run, 1, ["--seeds", "6"], {}, never)


def test_a_report_alone_trains_nothing(tmp_path, plan_file, monkeypatch):
    began, run = [], tmp_path / "run"
    monkeypatch.setattr(command, "run_cells", pretend(["failed", "finished"], began))
    never = lambda: lambda: False  # noqa: E731
    with pytest.raises(UserError, match="nothing to report yet"):
        compare_command(plan_file, run, 1, [], {}, never, report_only=True)
    compare_command(plan_file, run, 1, [], {}, never)
    (run / "report.html").unlink()
    assert compare_command(plan_file, run, 1, [], {}, never, report_only=True) == 0
    assert (run / "report.html").exists()
    assert len(began) == 2


def test_seeds_that_are_added_are_trained_and_the_others_are_not_again(tmp_path, plan_file, monkeypatch, capsys):
    began, run = [], tmp_path / "run"
    monkeypatch.setattr(command, "run_cells", pretend(["finished"] * 4, began))
    never = lambda: lambda: False  # noqa: E731
    assert compare_command(plan_file, run, 1, [], {}, never) == 0
    began.clear()
    assert compare_command(plan_file, run, 1, ["--seeds", "5", "6"], {}, never) == 0
    assert began == [("mse-toy_reach@2", 1), ("c51-toy_reach@2", 1)]
    assert "4 of 4 cells are finished" in capsys.readouterr().out
    with (run / "scores.csv").open(newline="") as file:
        assert [(row["loss"], row["seed"]) for row in csv.DictReader(file)] == [
            ("mse", "5"), ("mse", "6"), ("c51", "5"), ("c51", "6"),
        ]  # fmt: skip


def test_a_report_that_cannot_be_written_yet_does_not_end_the_cells(tmp_path, plan_file, monkeypatch, capsys):
    written = []

    def publish(folder, plan, planned, repetitions):
        written.append(repetitions)
        if repetitions == command.ROUGH_REPETITIONS:
            raise UserError("scores.csv is damaged")

    monkeypatch.setattr(command, "publish", publish)
    monkeypatch.setattr(command, "run_cells", pretend(["finished", "finished"], []))
    assert compare_command(plan_file, tmp_path / "run", 1, [], {}, lambda: lambda: False) == 0
    assert len(written) == 3
    assert "there is no new report: scores.csv is damaged" in capsys.readouterr().err


def test_no_finished_cell_is_an_error_that_says_why(tmp_path, plan_file, monkeypatch):
    monkeypatch.setattr(command, "run_cells", pretend(["failed", "failed"], []))
    with pytest.raises(RunFailedError, match=r"(?s)None of the 2 cells.*because"):
        compare_command(plan_file, tmp_path / "run", 1, [], {}, lambda: lambda: False)


def test_the_display_counts_what_resumed_and_stopped_cells_have_reached():
    class Shown:
        def update(self, row):
            self.row = row

        def note(self, text):
            pass

    plan = CompareConfig(question="?", losses=["mse"], tasks=["toy/reach"], seeds=[5], env_steps=100)
    shown = Shown()
    display = command.Display(shown, plan, cells=4, finished=1)
    speeds = {"env_steps_per_second": 2.0, "updates_per_second": 1.0}
    display.show("resumed", "began", None)
    display.show("resumed", "row", {"env_steps": 60, **speeds})
    display.show("other", "row", {"env_steps": 10, **speeds})
    assert shown.row == {"env_steps": 170, "env_steps_per_second": 4.0, "updates_per_second": 2.0}
    display.show("resumed", "stopped", None)
    assert shown.row["env_steps"] == 170
    display.show("other", "finished", None)
    assert shown.row["env_steps"] == 260
    display.show("resumed", "retried", "why")
    assert shown.row["env_steps"] == 200
