"""The loops of the child processes, run in the process of the test."""

import time
from types import SimpleNamespace

import pytest

from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.checkpoints.writer import CheckpointWriter
from robo_rl.errors import RunFailedError
from robo_rl.experiment import build
from robo_rl.roles.exchange import Reply
from robo_rl.roles.learner import Counts
from robo_rl.runtimes import children
from robo_rl.runtimes.children import Heartbeat, learn_from_actors, resumed_learner
from tests.roles.parts import tiny
from tests.toys import compiled_once, toy_family


@pytest.fixture(autouse=True, scope="module")
def _setting(tmp_path_factory):
    with toy_family(), compiled_once(tmp_path_factory.mktemp("compiled")):
        yield


def test_a_resumed_learner_takes_in_what_actors_send_whose_clock_was_set_back(tmp_path):
    experiment, run = build(tiny()), RunFolder(tmp_path)
    counts = Counts(env_steps=60, last_sequence={0: (1_800_000_000, 17)}).to_json()
    state = {"learner": experiment.initial_state(), "actor": {}}
    with CheckpointWriter(run.checkpoints, keep_newest=1, keep_best=0) as writer:
        writer.save(60, {"w": 1.0}, state, {"counts": counts})
    learner = resumed_learner(experiment, run, 60)
    actor = experiment.actor(0, incarnation=1_700_000_000)
    actor.receive(Reply(*learner.newer_policy(0), stop=False))
    assert learner.insert(actor.collect(5))
    assert learner.counts.env_steps == 60 + 5 * 3


class Refusing:
    """A learner that takes in no chunk, and the rest of what its loop needs."""

    counts = Counts()

    def insert(self, chunk):
        return False

    def may_update(self):
        return False

    def may_act(self):
        return True


def test_chunks_that_are_refused_do_not_count_as_experience(monkeypatch):
    monkeypatch.setattr(children, "EXPERIENCE_DEADLINE_SECONDS", 0.05)
    report = SimpleNamespace(send=lambda message: None)
    server = SimpleNamespace(receive=lambda timeout: ["a chunk"], reply=lambda make: None, stop=lambda: None)
    journal = SimpleNamespace(tick=lambda actor_state: None, can_finish=lambda: True)
    late = time.monotonic() + 5
    with pytest.raises(RunFailedError, match="for experience and none came"):
        learn_from_actors(
            Refusing(), server, journal, tiny(), lambda: time.monotonic() > late, Heartbeat(report, Refusing())
        )
