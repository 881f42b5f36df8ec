import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import pytest
import yaml

from robo_rl.checkpoints.layout import committed_steps
from robo_rl.checkpoints.run_folder import MAY_CHANGE, RunFolder, score
from robo_rl.checkpoints.writer import CheckpointWriter
from robo_rl.config import Config
from robo_rl.errors import CheckpointError, ConfigError, UserError
from tests.toys import SPEC


@pytest.fixture
def run(tmp_path):
    run = RunFolder(tmp_path / "runs" / "one")
    run.begin(Config(seed=5), SPEC)
    return run


def record(mean, success=None):
    rate = None if success is None else {"rate": success, "low": 0.0, "high": 1.0}
    return {"return": {"mean": mean, "low": mean, "high": mean}, "success": rate, "episodes": [1, 2]}


def save(run, *steps):
    with CheckpointWriter(run.checkpoints, keep_newest=20, keep_best=0) as writer:
        for step, is_whole in steps:
            writer.save(step, {"w": jnp.ones(2)}, {"all": jnp.ones(2)} if is_whole else None, {})


def test_a_fresh_folder_gets_a_complete_config_and_a_manifest(run):
    assert Config.model_validate(run.config()) == Config(seed=5)
    manifest = json.loads(run.manifest_file.read_text())
    assert manifest["seed"] == 5
    assert manifest["spec"]["name"] == "toy/reach"
    assert "jax" in manifest["packages"]
    relative = RunFolder(os.path.relpath(run.path)).path
    assert relative.is_absolute()
    assert relative.samefile(run.path)


def test_the_same_experiment_is_taken_up_again(run):
    assert run.begin(Config(seed=5), SPEC) is None
    save(run, (10, True), (20, True))
    assert run.begin(Config(seed=5), SPEC) == 20


def test_another_experiment_is_refused_and_every_differing_field_named(run):
    other = yaml.safe_load("{seed: 6, agent: {critic: {bins: 21}, discount: 0.9}, learner: {batch_size: 8}}")
    before = run.config_file.read_text()
    with pytest.raises(ConfigError) as raised:
        run.begin(Config.model_validate(other), SPEC)
    for line in (
        "agent.critic.bins: 101 -> 21", "agent.discount: 0.99 -> 0.9", "learner.batch_size: 256 -> 8", "seed: 5 -> 6"
    ):  # fmt: skip
        assert line in str(raised.value)
    assert "env_steps" not in str(raised.value)
    assert run.config_file.read_text() == before


@pytest.mark.parametrize(
    "change",
    [
        {"env_steps": 7}, {"log_every": 7}, {"checkpoint": {"policy_every": 7, "keep_best": 3}},
        {"evaluation": {"episodes": 7, "video": True}}, {"actor": {"processes": 7}}, {"actor": {"max_restarts": 7}},
    ],
)  # fmt: skip
def test_what_does_not_change_the_experiment_may_change(run, change):
    assert run.begin(Config.model_validate({"seed": 5, **change}), SPEC) is None
    assert Config.model_validate(run.config()) == Config.model_validate({"seed": 5, **change})


@pytest.mark.parametrize("change", [{"actor": {"envs": 7}}, {"runtime": "inline"}, {"replay": {"capacity": 7}}])
def test_what_changes_the_experiment_may_not(run, change):
    with pytest.raises(ConfigError):
        run.begin(Config.model_validate({"seed": 5, **change}), SPEC)


def test_every_field_that_may_change_exists():
    for name in MAY_CHANGE:
        value = Config()
        for part in name.split("."):
            value = getattr(value, part)


def test_checkpoints_that_cannot_be_resumed_are_not_trained_over(run):
    save(run, (10, False))
    with pytest.raises(CheckpointError, match="policy only"):
        run.begin(Config(seed=5), SPEC)
    assert committed_steps(run.checkpoints) == [10]


def test_what_lies_after_the_step_to_resume_from_is_removed(run):
    save(run, (10, True), (20, False), (30, False))
    for step in (10, 20, 30):
        run.write_evaluation(step, record(1.0))
    assert run.begin(Config(seed=5), SPEC) == 10
    assert committed_steps(run.checkpoints) == [10]
    assert list(run.evaluation_records()) == [10]
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["10"]
    save(run, (20, False))
    assert committed_steps(run.checkpoints) == [10, 20]


def test_a_fresh_start_keeps_no_evaluation_of_checkpoints_that_were_moved_away(run):
    run.write_evaluation(10, record(1.0))
    of_a_fleet = run.evaluations / "suite" / "10-abc.json"
    of_a_fleet.parent.mkdir()
    of_a_fleet.write_text("{}")
    assert run.begin(Config(seed=5), SPEC) is None
    assert run.evaluation_records() == {}
    assert of_a_fleet.exists()


@pytest.mark.parametrize("item", ["run", "meta"])
def test_nothing_is_removed_if_the_step_to_resume_from_is_damaged(run, item):
    save(run, (5, True), (10, True), (20, False), (30, False))
    run.write_evaluation(30, record(1.0))
    damaged = max((run.checkpoints / "10" / item).rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=rf"{damaged} is damaged.*away: the run then resumes from step 5"):
        run.begin(Config(seed=5), SPEC)
    assert committed_steps(run.checkpoints) == [5, 10, 20, 30]
    assert list(run.evaluation_records()) == [30]
    damaged.write_bytes(content)
    assert run.begin(Config(seed=5), SPEC) == 10


def test_where_no_whole_checkpoint_is_good_another_folder_is_advised(run):
    save(run, (10, True), (20, False))
    (run.checkpoints / "10" / "meta" / "metadata").unlink()
    with pytest.raises(CheckpointError, match=r"metadata is missing.*--run DIR\), since no earlier step is good"):
        run.begin(Config(seed=5), SPEC)
    assert committed_steps(run.checkpoints) == [10, 20]


def test_leftovers_of_killed_writers_are_removed(run):
    (run.checkpoints / "30.orbax-checkpoint-tmp").mkdir()
    (run.checkpoints / ".deleted" / "4").mkdir(parents=True)
    run.videos.mkdir()
    of_the_run = ["config.yaml.tmp", ".manifest.json.123.tmp", ".status.json.123.tmp", "metrics.123.tmp"]
    leftovers = [
        *(run.path / name for name in of_the_run), run.evaluations / ".3.json.9.tmp", run.videos / ".3.9.partial.mp4"
    ]  # fmt: skip
    for path in leftovers:
        path.write_text("half")
    run.begin(Config(seed=5), SPEC)
    assert not any(path.exists() for path in leftovers)
    assert not (run.checkpoints / "30.orbax-checkpoint-tmp").exists()
    assert not (run.checkpoints / ".deleted" / "4").exists()


def test_what_a_fleet_or_a_promotion_is_writing_is_left_alone(run):
    suite = run.evaluations / "grasp"
    suite.mkdir()
    names = [".fleet.json.9.tmp", ".promoted.json.9.tmp", ".best.9.tmp", ".leaderboard.html.9.tmp"]
    others = [*(run.path / name for name in names), suite / ".00001.json.9.tmp"]
    for path in others:
        path.write_text("half")
    run.begin(Config(seed=5), SPEC)
    assert all(path.exists() for path in others)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; the test below stands in")
def test_a_folder_without_permission_is_an_error_a_user_can_act_on(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written"):
        RunFolder(tmp_path / "run").begin(Config(), SPEC)


def test_a_path_through_a_file_is_an_error_a_user_can_act_on(tmp_path):
    (tmp_path / "file").write_text("")
    run = RunFolder(tmp_path / "file" / "run")
    with pytest.raises(UserError, match=r"cannot be written.*--run DIR"), run.lock():
        pass
    with pytest.raises(UserError, match=r"cannot be written.*--run DIR"):
        run.begin(Config(), SPEC)
    with pytest.raises(UserError, match="cannot be written"):
        run.write_evaluation(3, record(1.0))
    with pytest.raises(UserError, match="cannot be written"):
        run.write_status({"state": "training"})


@pytest.mark.parametrize("content", [None, b"[1, 2]", b"a: [", b"\xff\xfe"])
def test_what_is_no_run_folder_says_so(tmp_path, content):
    run = RunFolder(tmp_path)
    if content is not None:
        run.config_file.write_bytes(content)
    with pytest.raises(UserError, match="no run folder"):
        run.config()


HOLD = """
import sys, time
from robo_rl.checkpoints.run_folder import RunFolder
with RunFolder(sys.argv[1]).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_job_at_a_time_and_the_lock_goes_with_its_process(run):
    root = str(Path(__file__).resolve().parents[2])
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == "held\n"
        assert run.is_running()
        with pytest.raises(UserError, match=rf"being trained by process {holder.pid}\."), run.lock():
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    deadline = time.monotonic() + 10
    while run.is_running() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not run.is_running()
    with run.lock():
        assert run.lock_file.read_text() == f"{os.getpid()}\n"
        assert run.is_running()
    assert not run.is_running()


def test_asking_whether_it_runs_does_not_make_a_lock(tmp_path):
    assert not RunFolder(tmp_path).is_running()
    assert list(tmp_path.iterdir()) == []


def test_evaluations_are_listed_by_step_and_scored(run):
    for step, entry in {100: record(3.0), 9: record(5.0, success=0.25)}.items():
        run.write_evaluation(step, entry)
    (run.evaluations / "notes.json").write_text("{}")
    assert list(run.evaluation_records()) == [9, 100]
    assert list(run.evaluation_records(among=[7, 100])) == [100]
    assert score(record(-2.0)) == -2.0
    (run.evaluations / "9.json").write_text("{")
    with pytest.raises(UserError, match=r"9\.json"):
        run.evaluation_records()


def test_scores_are_read_for_checkpoints_that_are_there_and_for_no_others(run):
    save(run, (9, True), (100, False), (200, False))
    for step, entry in {9: record(5.0, success=0.25), 100: record(3.0)}.items():
        run.write_evaluation(step, entry)
    (run.evaluations / "50.json").write_text("whoever reads this fails")
    assert run.scores() == {9: 0.25, 100: 3.0}


def test_no_status_is_none(run):
    assert run.status() is None
    run.write_status({"state": "training"})
    assert run.status() == {"state": "training"}
