"""Worker processes: their simulations are those that a loop in this process would step, and none outlives it."""

import os
import signal
import struct
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from robo_rl import envs
from robo_rl.compare import simulations
from robo_rl.compare.simulations import AllUnits, Unit, UnitKind, Workers
from robo_rl.config import EnvConfig
from robo_rl.errors import RunFailedError, UserError
from robo_rl.runtimes.processes import ACTOR_ENVIRONMENT, SPAWN

CARTPOLE = EnvConfig(name="suite/cartpole-swingup", episode_steps=4)
KINDS = {"train": UnitKind(CARTPOLE, 2)}


@pytest.fixture(scope="module")
def workers():
    with Workers(KINDS, 3, 2, ACTOR_ENVIRONMENT) as workers:
        yield workers


def assert_same_step(step, want):
    for name in want.observation:
        np.testing.assert_array_equal(step.observation[name], want.observation[name])
    for ours, theirs in zip(step[1:], want[1:], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_all_units_are_one_batch(workers):
    alone = envs.make_batched(CARTPOLE, 6)
    together = AllUnits(workers, "train", alone.spec)
    indices, seeds = [3, 0, 5, 1, 4, 2], [10, 11, 12, 13, 14, 15]
    fresh, want = together.reset(indices, seeds), alone.reset(indices, seeds)
    for name in want:
        np.testing.assert_array_equal(fresh[name], want[name])
    generator = np.random.default_rng(0)
    for _ in range(4):
        actions = generator.uniform(-1, 1, (6, 1)).astype(np.float32)
        assert_same_step(together.step(actions), alone.step(actions))
    assert together.kinds([4, 0]) == alone.kinds([4, 0])
    unit = Unit(workers, "train", 1, alone.spec)
    np.testing.assert_array_equal(unit.reset([1], [12])["position"], alone.reset([3], [12])["position"])


def test_a_dead_worker_is_named_and_the_others_end(workers):
    with Workers(KINDS, 2, 2, ACTOR_ENVIRONMENT) as own:
        AllUnits(own, "train", envs.make_batched(CARTPOLE, 1).spec).reset([0, 2], [1, 2])
        processes = [child.process for child in own._children]
        processes[1].kill()
        with pytest.raises(RunFailedError, match=r"simulations 1 died \(exit code -9\)"):
            own.call("train", "reset", {0: ([0], [1]), 1: ([0], [1])})
    assert not any(process.is_alive() for process in processes)


def test_what_a_simulation_raises_reaches_the_parent():
    unknown = {"train": UnitKind(EnvConfig(name="suite/no-such"), 1)}
    with (
        Workers(unknown, 1, 1, ACTOR_ENVIRONMENT) as own,
        pytest.raises(UserError, match="no environment 'suite/no-such'"),
    ):
        own.call("train", "reset", {0: ([0], [1])})
    with (
        Workers(KINDS, 1, 1, ACTOR_ENVIRONMENT) as own,
        pytest.raises(RunFailedError, match=r"(?s)simulations 0 failed.*ValueError"),
    ):
        own.call("train", "reset", {0: ([9], [1])})


def test_sigterm_is_left_to_the_parent():
    with Workers(KINDS, 1, 1, ACTOR_ENVIRONMENT) as own:
        own.call("train", "reset", {0: ([0], [1])})
        os.kill(own.pids()[0], signal.SIGTERM)
        assert own.call("train", "kinds", {0: ([0],)})[0]


def test_a_worker_never_imports_jax():
    code = "import sys, robo_rl.compare.simulations; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_a_worker_that_dies_halfway_through_an_answer_is_said_to_have_died():
    here, there = SPAWN.Pipe()
    os.write(there.fileno(), struct.pack("!i", 1000) + b"half of an answer")
    there.close()
    process = SimpleNamespace(join=lambda timeout: None, exitcode=-9)
    with pytest.raises(RunFailedError, match=r"simulations 0 died \(exit code -9\)"):
        simulations._receive(SimpleNamespace(name="simulations 0", connection=here, process=process))
