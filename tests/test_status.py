import io
import json
import os
import socket
import time

import pytest
from rich.console import Console

from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.config import Config
from robo_rl.errors import UserError
from robo_rl.files import write_json_atomic
from robo_rl.fleet.presence import fleet_lock, write_presence
from robo_rl.status import print_status
from tests.toys import SPEC


@pytest.fixture
def run(tmp_path):
    run = RunFolder(tmp_path)
    run.begin(Config(env_steps=5000), SPEC)
    return run


def shown(run):
    console = Console(file=io.StringIO(), width=200)
    assert print_status(run.path, console) == 0
    lines = (" ".join(line.split()) for line in console.file.getvalue().splitlines())
    return [line for line in lines if line]


def say(run, **fields):
    write_json_atomic(run.status_file, {"pid": 77, "time": time.time(), **fields})


def test_no_run_folder_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no run folder"):
        print_status(tmp_path / "nothing")


def test_a_run_that_only_has_a_folder(run):
    lines = shown(run)
    assert "checkpoints none" in lines
    assert "resumes from the start" in lines
    assert not any(line.startswith(("waiting", "evaluation", "env steps")) for line in lines)


def test_a_run_that_is_alive_says_who_waits(run):
    say(run, state="training", waiting="actors wait for updates", processes={"learner": 5, "actor 0": 6})
    with run.lock():
        lines = shown(run)
    assert "state training (process 77)" in lines
    assert "waiting actors wait for updates" in lines
    assert "processes learner: 5, actor 0: 6" in lines


def test_who_follows_how_far_and_what_the_fleet_waits_for(run):
    assert not any("fleet" in line for line in shown(run))
    far = {"newest": 300, "judged": 2, "open_checkpoints": 1, "open_blocks": 5, "unreadable": [100]}
    what = {"suite": "grasp", "workers": 3, "mode": "follow", "waits_for": "workers, at 2 blocks"}
    with fleet_lock(run):
        write_presence(run, state="at work", **what, **far)
        lines = shown(run)
    name = f"{socket.gethostname()} process {os.getpid()}"
    assert f"fleet {name}, suite grasp, 3 workers, mode follow" in lines
    assert "judged 2 checkpoints, 1 to go (5 blocks); newest 300" in lines
    assert "unreadable 100" in lines
    assert "fleet waits for workers, at 2 blocks, said 0 s ago" in lines
    assert f"fleet none now; the last was {name}, suite grasp (killed)" in shown(run)
    write_presence(run, state="ended", suite="grasp", **far)
    assert f"fleet none now; the last was {name}, suite grasp (ended)" in shown(run)
    assert not any(line.startswith("fleet waits") for line in shown(run))


@pytest.mark.parametrize(("said", "state"), [("training", "stopped"), ("finished", "finished"), ("failed", "failed")])
def test_a_run_that_is_dead_is_not_said_to_train(run, said, state):
    say(run, state=said, waiting="learner waits")
    lines = shown(run)
    assert f"state {state}" in lines
    assert not any(line.startswith("waiting") for line in lines)


def test_progress_failures_and_evaluations(run):
    row = {"env_steps": 1234, "updates": 567, "env_steps_per_second": 8.9, "updates_per_second": 10.0}
    run.metrics_file.write_text(json.dumps({"env_steps": 1}) + "\n" + json.dumps(row) + "\n")
    say(run, state="training", restarts={"0": 2}, failures={"0": "ValueError: broken"})
    for step, success in ((5, None), (10, {"rate": 0.5, "low": 0.25, "high": 0.75})):
        run.write_evaluation(step, {"return": {"mean": 12.34}, "success": success, "episodes": [{}] * 4})
    for step in (5, 10):
        (run.checkpoints / str(step)).mkdir()
        (run.checkpoints / str(step) / "hashes.json").write_text("{}")
    (run.checkpoints / "5" / "run").mkdir()
    lines = shown(run)
    for line in (
        "env steps 1,234 of 5,000", "updates 567", "rates 8.9 env steps/s, 10.0 updates/s",
        "restarts 0: 2 (ValueError: broken)", "checkpoints 5, 10", "resumes from 5",
        "evaluation 5 return 12.3 (4 episodes)", "evaluation 10 success 50.0% [25.0%, 75.0%], return 12.3 (4 episodes)",
    ):  # fmt: skip
        assert line in lines
