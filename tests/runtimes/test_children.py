"""The loops of the child processes, run in the process of the test."""

import time
from types import SimpleNamespace

import pytest

from robo_rl.checkpoints import run_folder
from robo_rl.checkpoints.layout import committed_steps
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.checkpoints.writer import CheckpointWriter
from robo_rl.config import CheckpointConfig
from robo_rl.errors import RunFailedError
from robo_rl.experiment import build
from robo_rl.files import read_json
from robo_rl.roles.exchange import Reply
from robo_rl.roles.learner import Counts
from robo_rl.runtimes import children, inline
from robo_rl.runtimes.children import Heartbeat, evaluator_main, learn_from_actors, resumed_learner
from tests.roles.parts import tiny
from tests.runtimes.test_inline import ignore
from tests.toys import compiled_once, toy_family


@pytest.fixture(autouse=True, scope="module")
def _setting(tmp_path_factory):
    with toy_family(), compiled_once(tmp_path_factory.mktemp("compiled")):
        yield


def test_a_resumed_learner_takes_in_what_its_new_actors_send(tmp_path):
    experiment, run = build(tiny()), RunFolder(tmp_path)
    counts = Counts(env_steps=60, last_sequence={0: (4, 17), 1: (2, 9)})
    state = {"learner": experiment.initial_state(), "actor": {}}
    with CheckpointWriter(run.checkpoints, keep_newest=1, keep_best=0) as writer:
        writer.save(60, {"w": 1.0}, state, {"counts": counts.to_json()})
    learner = resumed_learner(experiment, run, 60)
    assert learner.counts == counts
    actor = experiment.actor(0, incarnation=counts.next_incarnation())
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


class Parent:
    """The connection to a parent that names the last step after some looks; notes what it is told."""

    def __init__(self, final, looks):
        self.final, self.looks, self.told = final, looks, []

    def poll(self):
        self.looks -= 1
        return self.looks == 0

    def recv(self):
        return "final", self.final

    def send(self, message):
        self.told.append(message)


def test_the_evaluator_judges_what_was_not_judged_and_reads_each_record_once(tmp_path, monkeypatch):
    config = tiny(checkpoint=CheckpointConfig(policy_every=60, run_every=60, keep_newest=9))
    run = RunFolder(tmp_path)
    inline.train(config, run, ignore)
    assert committed_steps(run.checkpoints) == [60, 120, 180, 240]
    run.write_evaluation(60, {"episodes": [{}] * 4})
    run.write_evaluation(120, {"episodes": [{}]})  # of a run that played fewer
    reads = []
    monkeypatch.setattr(run_folder, "read_json", lambda path: reads.append(path.name) or read_json(path))
    parent = Parent(final=240, looks=8)
    evaluator_main(parent, config, run.path)
    assert sorted(reads) == ["120.json", "60.json"]
    said = [(what["checkpoint"], len(what["episodes"])) for kind, what in parent.told if kind == "evaluation"]
    assert said == [(240, 4), (180, 4), (120, 4), (240, 7)]
    assert parent.told[-1] == ("finished", None)
    assert {step: len(record["episodes"]) for step, record in run.evaluation_records().items()} == {
        60: 4, 120: 4, 180: 4, 240: 7
    }  # fmt: skip
