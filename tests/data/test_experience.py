"""Recorded episodes become the very experience that an actor would have handed over."""

import numpy as np
import pytest

from robo_rl.data.experience import experience_of
from robo_rl.replay.n_step import NStepAdder
from tests.data.parts import toy_episodes
from tests.toys import SPEC


def alone(episode, n_step, discount):
    """What an actor with one simulation would emit for this episode."""
    adder, found = NStepAdder(1, n_step, discount), []
    for t in range(episode.length):
        last = t == episode.length - 1
        before, after = ({name: v[i : i + 1] for name, v in episode.observation.items()} for i in (t, t + 1))
        own = np.array([0.0 if last and episode.terminated else 1.0], np.float32)
        found += adder.add(
            before, episode.action[t : t + 1], episode.reward[t : t + 1], own, np.array([last]), after
        )  # fmt: skip
    return found


def rows(experience):
    """Every transition as bytes, in an order of their own."""
    t = experience.transition
    columns = [
        t.observation["clock"], t.observation["position"], t.action, t.reward[:, None], t.discount[:, None],
        t.next_observation["clock"], t.next_observation["position"], experience.running_return[:, None],
    ]  # fmt: skip
    return sorted(row.tobytes() for row in np.concatenate(columns, axis=1))


@pytest.mark.parametrize("n_step", [1, 3])
def test_side_by_side_is_one_after_the_other(n_step):
    episodes = toy_episodes(7)
    together = experience_of(SPEC, episodes, n_step, 0.9)
    assert len(together.running_return) == sum(episode.length for episode in episodes)
    assert rows(together) == sorted(row for e in episodes for block in alone(e, n_step, 0.9) for row in rows(block))


def test_only_termination_ends_the_bootstrap():
    for episode in toy_episodes(6):
        experience = experience_of(SPEC, [episode], 2, 0.9)
        zeros = (experience.transition.discount == 0).sum()
        assert zeros == (2 if episode.terminated else 0)


def test_what_the_environment_does_not_observe_is_left_behind():
    [episode] = toy_episodes(1)
    more = episode._replace(observation={**episode.observation, "more": np.zeros((episode.length + 1, 4))})
    assert set(experience_of(SPEC, [more], 1, 0.9).transition.observation) == set(SPEC.observation)


def test_no_episodes_are_no_experience():
    assert len(experience_of(SPEC, [], 1, 0.9).running_return) == 0
