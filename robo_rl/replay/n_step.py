"""Turns environment steps into n-step transitions, never across the end of an episode."""

from collections import deque
from typing import NamedTuple

import jax
import numpy as np

from robo_rl.critics import return_scaling
from robo_rl.specs import EnvSpec, Experience, Observation, Transition, zero_transition


class _Step(NamedTuple):
    observation: Observation
    action: np.ndarray
    reward: np.ndarray
    discount: np.ndarray
    running_return: np.ndarray


class NStepAdder:
    """Collects the steps of N simulations and emits each window of n of them once it is complete.

    At the end of an episode the shorter windows that are left are emitted too, with their own gamma^k; a window that
    ends at a time limit keeps its bootstrap (discount > 0), one that ends in termination has discount 0.
    """

    def __init__(self, num_envs: int, n: int, discount: float) -> None:
        """N simulations, windows of n steps, `discount` per step."""
        self._n = n
        self._discount = np.float32(discount)
        self._history: deque[_Step] = deque(maxlen=n)
        self._age = np.zeros(num_envs, np.int64)
        self._return = np.zeros(num_envs, np.float32)
        self._recent = np.zeros((return_scaling.kept_up_steps(discount), num_envs), np.float32)

    def add(
        self,
        observation: Observation,
        action: np.ndarray,
        reward: np.ndarray,
        discount: np.ndarray,
        last: np.ndarray,
        next_observation: Observation,
    ) -> list[Experience]:
        """Take one step of every simulation `[N, ...]`; returns what it completed, in blocks `[k, ...]`.

        `discount [N]` is the environment's own: 0 at termination, else 1. `last [N]` marks an episode's last step.
        """
        reward = reward.astype(np.float32)
        terminated = discount == 0
        self._recent = np.concatenate([self._recent[1:], reward[None]])
        # A new episode knows nothing of the last one's rewards: it has had its first from ever on.
        self._recent[:, self._age == 0] = reward[self._age == 0]
        running, self._return = return_scaling.forward_return(
            self._return,
            reward,
            return_scaling.kept_up(self._recent),
            terminated,
            last & ~terminated,
            float(self._discount),
        )
        self._history.append(_Step(observation, action, reward, discount, running))
        self._age = np.minimum(self._age + 1, self._n)
        ready = []
        # Longest first: an episode's end emits all its open windows, any other step only the full one.
        for length in range(self._n, 0, -1):
            complete = (self._age >= length) & (last | (length == self._n))
            if complete.any():
                ready.append(self._window(length, np.flatnonzero(complete), next_observation))
        self._age[last] = 0
        return ready

    def _window(self, length: int, index: np.ndarray, next_observation: Observation) -> Experience:
        steps = list(self._history)[-length:]
        reward = np.zeros(len(index), np.float32)
        discount = np.ones(len(index), np.float32)
        for step in steps:
            reward = reward + discount * step.reward[index].astype(np.float32)
            discount = discount * self._discount * step.discount[index].astype(np.float32)
        transition = Transition(
            observation={name: value[index] for name, value in steps[0].observation.items()},
            action=steps[0].action[index],
            reward=reward,
            discount=discount,
            next_observation={name: value[index] for name, value in next_observation.items()},
        )
        return Experience(transition, steps[0].running_return[index].astype(np.float32))


def concatenate(spec: EnvSpec, blocks: list[Experience]) -> Experience:
    """One block `[k, ...]` of all the blocks given; an empty one `[0, ...]` where there are none."""
    if not blocks:
        return Experience(zero_transition(spec, 0), np.zeros(0, np.float32))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *blocks)


def pad(experience: Experience, size: int) -> Experience:
    """The same experience `[k, ...]` in a block `[size, ...]`, zeros behind; one size means one compiled program.

    Raises:
        ValueError: there is more experience than the block holds.
    """
    count = len(experience.running_return)
    if count > size:
        raise ValueError(f"{count} transitions do not fit in a block of {size}")
    return jax.tree.map(lambda x: np.concatenate([x, np.zeros((size - count, *x.shape[1:]), x.dtype)]), experience)
