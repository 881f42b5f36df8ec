"""Calls in other processes: results and errors come back, a death is that of one call only."""

import os
import signal
import time

import pytest

from robo_rl.errors import CheckpointError
from robo_rl.fleet.executor import ProcessExecutor, WorkerDiedError
from tests.runtimes.local_run import wait_until_gone


def pid():
    return os.getpid()


def variable(name):
    return os.environ.get(name)


def refuse():
    raise CheckpointError("no such step")


def unsendable():
    return lambda: None


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def executor():
    with ProcessExecutor(1, {"COLOUR": "green"}) as executor:
        yield executor


def test_calls_share_a_worker_with_its_own_environment(executor):
    first, second, colour = (executor.submit(*call).result(60) for call in ((pid,), (pid,), (variable, "COLOUR")))
    assert first == second != os.getpid()
    assert colour == "green"
    assert "COLOUR" not in os.environ


def test_errors_come_back_as_they_were_with_their_traceback(executor):
    error = executor.submit(refuse).exception(60)
    assert isinstance(error, CheckpointError)
    assert "in refuse" in error.__notes__[0]


def test_what_cannot_be_sent_fails_alone(executor):
    assert executor.submit(lambda: None).exception(60) is not None
    assert "pickle" in str(executor.submit(unsendable).exception(60)).lower()
    assert executor.submit(pid).result(60)


def test_a_death_is_that_of_one_call(executor):
    dying, next_one = executor.submit(die), executor.submit(pid)
    assert isinstance(dying.exception(60), WorkerDiedError)
    assert "SIGKILL" in str(dying.exception())
    assert next_one.result(60) == executor.pids()[0]


def test_shutdown_ends_calls_and_processes():
    with ProcessExecutor(1, {}) as executor:
        executor.submit(pid).result(60)
        pids, sleeping = executor.pids(), executor.submit(time.sleep, 60)
        while not sleeping.running():
            time.sleep(0.01)
    assert isinstance(sleeping.exception(0), WorkerDiedError)
    assert wait_until_gone(pids, 5) == []
