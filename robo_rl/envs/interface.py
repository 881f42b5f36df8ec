"""What every environment offers: a dm_env face for one episode at a time, and a batched face for the actors."""

import abc
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import dm_env
import numpy as np

from robo_rl.specs import EnvSpec


class Environment(dm_env.Environment):
    """A dm_env environment that can also be seeded per episode, judged and drawn.

    Observations are dicts of named arrays; actions lie in [-1, 1]. The discount of a LAST step is 0 only where the
    task really terminated; a time limit ends with the discount at 1 (dm_env.truncation).
    """

    spec: EnvSpec

    @abc.abstractmethod
    def seed_episode(self, seed: int) -> None:
        """Make the next `reset` start the episode of this seed: same seed, same episode under the same actions."""

    @abc.abstractmethod
    def success(self) -> bool:
        """Whether the task stands solved now; asked after the LAST step. False for tasks without that notion."""

    @abc.abstractmethod
    def render(self, height: int = 240, width: int = 320) -> np.ndarray:
        """One RGB frame, uint8 `[height, width, 3]`. The renderer is made at the first call, never before."""


class BatchStep(NamedTuple):
    """What one control step of n simulations gave; observations are those before any reset.

    observation: dict of float32 `[N, *shape]`   reward: float32 `[N]`
    discount: float32 `[N]`, 0 only at real termination   last: bool `[N]`   success: bool `[N]`, meaningful where last
    """

    observation: dict[str, np.ndarray]
    reward: np.ndarray
    discount: np.ndarray
    last: np.ndarray
    success: np.ndarray


class BatchedEnvironment(Protocol):
    """n simulations stepped together. Nothing is reset behind the caller's back.

    A simulation whose step was `last` must be reset before the next `step`; the caller does it with a seed of its own.
    An episode depends on its seed and actions alone, not on its index, the batch size or its neighbours.
    """

    spec: EnvSpec
    num_envs: int

    def reset(self, indices: Sequence[int], seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """Start new episodes in the simulations `indices [k]` from `seeds [k]`; returns observations `[k, *shape]`."""
        ...

    def step(self, actions: np.ndarray) -> BatchStep:
        """Apply `actions [N, A]` in [-1, 1] for one control step.

        Raises:
            ValueError: wrong shape, a value that is not finite, or a simulation that ended and was not reset.
        """
        ...

    def kinds(self, indices: Sequence[int]) -> list[str]:
        """What kind of episode runs in each of these simulations, e.g. the shape of the object; for reports."""
        ...

    def render(self, index: int, height: int = 240, width: int = 320) -> np.ndarray:
        """RGB frame of one simulation, uint8 `[height, width, 3]`."""
        ...

    def close(self) -> None:
        """Free simulations and renderers."""
        ...
