"""What is written when; with a learner that only counts and sinks that only remember."""

import pytest

from robo_rl.config import CheckpointConfig
from robo_rl.errors import DivergedError
from robo_rl.roles.journal import Journal
from robo_rl.roles.learner import Counts
from tests.roles.parts import tiny


class CountingLearner:
    state = "the state"

    def __init__(self, env_steps=0):
        self.counts, self.finite, self.now = Counts(env_steps=env_steps), True, 0.0
        self.clipped_fraction = 0.0

    def go_on(self, env_steps):
        self.now += 0.5
        self.counts = self.counts._replace(env_steps=env_steps, updates=2 * env_steps)

    def seconds(self):
        return self.now

    def row(self):
        return {
            "env_steps": self.counts.env_steps,
            "updates": self.counts.updates,
            "seconds": self.now,
            "clipped_fraction": self.clipped_fraction,
        }

    def policy(self):
        return "the policy"

    def require_finite_state(self):
        if not self.finite:
            raise DivergedError("not finite")


class Sink(list):
    """Both writers at once."""

    waited = 0

    def write(self, row):
        self.append(row)

    def save(self, step, policy, run, meta):
        self.append((step, policy, run, meta))

    def wait(self):
        self.waited += 1


class Desk:
    """A journal with log_every 10, policy_every 20 and run_every 50, and all that it writes to."""

    def __init__(self, env_steps=0):
        self.learner, self.metrics, self.checkpoints, self.said = CountingLearner(env_steps), Sink(), Sink(), []
        config = tiny(log_every=10, checkpoint=CheckpointConfig(policy_every=20, run_every=50))
        self.journal = Journal(
            self.learner, self.metrics, self.checkpoints, {"spec": 1}, config, lambda *what: self.said.append(what)
        )

    def pass_by(self, *steps):
        started = []
        for step in steps:
            self.learner.go_on(step)
            started.append(self.journal.tick(lambda: "the actor"))
        return started

    def saved(self):
        return [(step, run is not None) for step, _, run, _ in self.checkpoints]


@pytest.fixture
def desk():
    return Desk()


def test_rows_are_written_when_due_and_carry_rates(desk):
    desk.pass_by(4, 8, 12, 16, 24)
    assert [row["env_steps"] for row in desk.metrics] == [12, 24]
    assert [row["env_steps_per_second"] for row in desk.metrics] == [12 / 1.5, 12 / 1.0]
    assert [row["updates_per_second"] for row in desk.metrics] == [24 / 1.5, 24 / 1.0]
    assert [what for kind, what in desk.said if kind == "row"] == list(desk.metrics)


def test_checkpoints_are_written_when_due_and_whole_ones_at_their_own_cadence(desk):
    assert desk.pass_by(10, 21, 33, 45, 52, 59, 61, 99, 101) == [None, 21, None, 45, 52, None, 61, 99, 101]
    # The first is whole out of turn, so that a run with any checkpoint can be resumed.
    assert desk.saved() == [(21, True), (45, False), (52, True), (61, False), (99, False), (101, True)]
    _, policy, run, meta = desk.checkpoints[2]
    assert (policy, run) == ("the policy", {"learner": "the state", "actor": "the actor"})
    assert meta["spec"] == 1
    assert Counts.from_json(meta["counts"]) == Counts(52, 104, 0, 2.5)
    assert [what for kind, what in desk.said if kind == "checkpoint"] == [21, 45, 52, 61, 99, 101]


def test_a_large_step_over_several_dues_writes_once(desk):
    assert desk.pass_by(70) == [70]
    assert desk.saved() == [(70, True)]
    assert len(desk.metrics) == 1


def test_cadences_go_on_from_a_resume():
    desk = Desk(env_steps=50)
    desk.pass_by(55, 59, 61)
    assert [row["env_steps"] for row in desk.metrics] == [61]
    assert desk.saved() == [(61, False)]


def test_the_end_is_a_row_and_a_whole_checkpoint_that_is_waited_for(desk):
    desk.pass_by(12, 16)
    desk.journal.finish("the actor")
    assert [row["env_steps"] for row in desk.metrics] == [12, 16]
    assert desk.saved() == [(16, True)]
    assert desk.checkpoints.waited == 1


def test_the_end_writes_nothing_twice(desk):
    desk.pass_by(50)
    desk.journal.finish("the actor")
    assert len(desk.metrics) == 1
    assert desk.saved() == [(50, True)]


def test_a_step_that_has_a_checkpoint_of_the_policy_cannot_be_the_end(desk):
    assert desk.journal.can_finish()
    desk.pass_by(21)
    assert desk.journal.can_finish(), "the first is whole"
    desk.pass_by(42)
    assert not desk.journal.can_finish(), "steps are committed once; this one lacks what a resume needs"
    desk.pass_by(44)
    assert desk.journal.can_finish()
    desk.pass_by(50)
    assert desk.journal.can_finish()


def test_nothing_is_saved_that_is_not_finite(desk):
    desk.learner.finite = False
    with pytest.raises(DivergedError):
        desk.pass_by(50)
    with pytest.raises(DivergedError):
        desk.journal.finish("the actor")
    assert desk.saved() == []


def test_clipped_targets_are_told_once(desk):
    desk.learner.clipped_fraction = 0.2
    desk.pass_by(12, 24)
    notes = [what for kind, what in desk.said if kind == "note"]
    assert len(notes) == 1
    assert "20.0%" in notes[0]
