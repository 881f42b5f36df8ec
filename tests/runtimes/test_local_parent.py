"""What the parent of a local run does, without any child: what it says of the run, and how it ends."""

from types import SimpleNamespace

import pytest

from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.checkpoints.writer import CheckpointWriter
from robo_rl.errors import RunFailedError
from robo_rl.roles.learner import Counts
from robo_rl.runtimes import local
from tests.roles.parts import tiny
from tests.runtimes.test_inline import ignore
from tests.toys import toy_family


@pytest.fixture(autouse=True, scope="module")
def _setting():
    with toy_family():
        yield


def train(monkeypatch, run, start):
    """A run whose children's start is `start(supervisor)`."""
    monkeypatch.setattr(local.Supervisor, "start", start)
    local.train(tiny(), run, ignore)


def die(supervisor):
    raise RunFailedError("The learner ended without a word.")


def forbid_status(run):
    """What stands in for a full disk: no file can be renamed over a folder."""
    run.status_file.mkdir(parents=True)


def test_a_run_that_failed_says_so(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    with pytest.raises(RunFailedError, match="without a word"):
        train(monkeypatch, run, die)
    assert run.status()["state"] == "failed"


def test_a_status_that_cannot_be_written_does_not_hide_why_the_run_failed(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    forbid_status(run)
    with pytest.raises(RunFailedError, match="without a word"):
        train(monkeypatch, run, die)


def test_a_status_that_cannot_be_written_is_an_error_a_user_can_act_on(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    forbid_status(run)
    with pytest.raises(RunFailedError, match=r"cannot be written.*Free space"):
        train(monkeypatch, run, lambda supervisor: supervisor.write_status("training"))


def incarnations(monkeypatch, run, config):
    """Which incarnations the actors of a run are started as; no process is."""
    started = []

    def child(name, main, args, environment):
        if main is local.actor_main:
            started.append(args[-1])
        return SimpleNamespace(kill=lambda: None, process=SimpleNamespace(pid=1))

    monkeypatch.setattr(local, "Child", child)
    monkeypatch.setattr(local, "pass_through", lambda door, connection, actor: None)
    monkeypatch.setattr(local.Supervisor, "learn", lambda supervisor, stop: die(supervisor))
    with pytest.raises(RunFailedError, match="without a word"):
        local.train(config, run, ignore)
    return started


def test_the_first_episodes_of_a_run_are_a_function_of_its_seed_alone(tmp_path, monkeypatch):
    config = tiny(actor={"processes": 2, "envs": 1})
    assert incarnations(monkeypatch, RunFolder(tmp_path), config) == [0, 1]


def test_a_resumed_run_starts_actors_that_its_past_did_not_have(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    incarnations(monkeypatch, run, tiny())
    counts = Counts(env_steps=60, last_sequence={0: (4, 17)})
    with CheckpointWriter(run.checkpoints, keep_newest=1, keep_best=0) as writer:
        writer.save(60, {"w": 1.0}, {"w": 1.0}, {"counts": counts.to_json()})
    assert incarnations(monkeypatch, run, tiny()) == [5]
