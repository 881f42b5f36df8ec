"""What the parent of a local run does, without any child: what it says of the run, and how it ends."""

import pytest

from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.errors import RunFailedError
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
