"""Reward noise: a diagnostic that makes the training rewards of any environment uncertain, and nothing else."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from robo_rl import seeds as seed_tree
from robo_rl.envs.interface import BatchedEnvironment, BatchStep
from robo_rl.specs import EnvSpec


class RewardNoise:
    """A batch whose rewards each carry an amount of their own, uniform in [0, size], one for each control step.

    Farebrother et al. 2024 (arXiv 2403.03950, section 5.2, "noisy rewards") add it to a fixed data set; here each
    control step draws it once, when it is collected. The amounts follow from the episode's seed and the step alone, so
    that an episode replayed by its seed and actions gives the same rewards again.
    """

    def __init__(self, batch: BatchedEnvironment, size: float) -> None:
        """Takes over `batch`; `size` > 0 is the largest amount (environment reward units per control step)."""
        if not size > 0:
            raise ValueError(f"the size of reward noise must be above 0, not {size}")
        self._batch, self._size = batch, size
        self.spec, self.num_envs = noisy_spec(batch.spec, size), batch.num_envs
        self._amounts = np.zeros((self.num_envs, self.spec.episode_steps), np.float32)
        self._age = np.zeros(self.num_envs, np.int64)

    def reset(self, indices: Sequence[int], seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """As `BatchedEnvironment.reset`."""
        observation = self._batch.reset(indices, seeds)
        for index, seed in zip(indices, seeds, strict=True):
            self._amounts[index] = amounts(int(seed), self._size, self.spec.episode_steps)
            self._age[index] = 0
        return observation

    def step(self, actions: np.ndarray) -> BatchStep:
        """As `BatchedEnvironment.step`, the reward `[N]` being that of the task plus this step's amount."""
        result = self._batch.step(actions)
        added = self._amounts[np.arange(self.num_envs), self._age]
        self._age += 1
        return result._replace(reward=result.reward + added)

    def kinds(self, indices: Sequence[int]) -> list[str]:
        """As `BatchedEnvironment.kinds`."""
        return self._batch.kinds(indices)

    def render(self, index: int, height: int = 240, width: int = 320) -> np.ndarray:
        """As `BatchedEnvironment.render`."""
        return self._batch.render(index, height, width)

    def close(self) -> None:
        """Free the simulations."""
        self._batch.close()


def amounts(episode_seed: int, size: float, episode_steps: int) -> np.ndarray:
    """What each control step of this episode gets, float32 `[episode_steps]` in [0, size].

    The first k do not depend on `episode_steps`, and another size scales the same draws.
    """
    generator = np.random.default_rng(seed_tree.child(episode_seed, "reward_noise"))
    return (size * generator.random(episode_steps)).astype(np.float32)


def noisy_spec(spec: EnvSpec, size: float) -> EnvSpec:
    """`spec` with the greatest reward raised by `size` (environment reward units), which any step may pay."""
    bounds = spec.reward_bounds
    if bounds is None:
        return spec
    return dataclasses.replace(spec, reward_bounds=(bounds[0], bounds[1] + size), pays_once=False)
