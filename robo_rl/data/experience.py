"""Recorded episodes as experience: through the same n-step windows and running returns as what actors see."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robo_rl.data.episode import RecordedEpisode
from robo_rl.replay.n_step import NStepAdder, concatenate
from robo_rl.specs import EnvSpec, Experience


class Block(NamedTuple):
    """Experience padded to one size `[M, ...]`.

    count: how much of it is real        is_new: whether this is the first time that it is read
    """

    experience: Experience
    count: int
    is_new: bool


def experience_of(spec: EnvSpec, episodes: Sequence[RecordedEpisode], n_step: int, discount: float) -> Experience:
    """All transitions `[k, ...]` of the episodes, k being their control steps; `discount` is gamma per step.

    Neighbours of one length go through the adder side by side, as simulations of a batch do.
    """
    blocks: list[Experience] = []
    for length, group in itertools.groupby(episodes, key=lambda episode: episode.length):
        blocks += _side_by_side(spec, list(group), length, n_step, discount)
    return concatenate(spec, blocks)


def _side_by_side(
    spec: EnvSpec, episodes: list[RecordedEpisode], length: int, n_step: int, discount: float
) -> list[Experience]:
    adder = NStepAdder(len(episodes), n_step, discount)
    # Only what the environment observes: a data set may hold more.
    observation = {
        name: np.stack([episode.observation[name] for episode in episodes], axis=1).astype(array.dtype, copy=False)
        for name, array in spec.observation.items()
    }
    action = np.stack([episode.action for episode in episodes], axis=1).astype(spec.action.dtype, copy=False)
    reward = np.stack([episode.reward for episode in episodes], axis=1)
    terminated = np.array([episode.terminated for episode in episodes])
    blocks: list[Experience] = []
    for t in range(length):
        last = np.full(len(episodes), t == length - 1)
        blocks += adder.add(
            {name: values[t] for name, values in observation.items()},
            action[t],
            reward[t],
            np.where(last & terminated, 0, 1).astype(np.float32),
            last,
            {name: values[t + 1] for name, values in observation.items()},
        )
    return blocks
