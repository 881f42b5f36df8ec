"""Gathers the steps of n simulations into recorded episodes, as training's actors go; it writes nothing itself."""

from collections.abc import Callable, Sequence

import numpy as np

from robo_rl.data.episode import RecordedEpisode
from robo_rl.envs.interface import BatchStep
from robo_rl.specs import Observation


class EpisodeRecorder:
    """Hands each episode to `send` once it ends; one whose beginning it was not told of is passed over."""

    def __init__(self, num_envs: int, has_success: bool, send: Callable[[RecordedEpisode], None]) -> None:
        """For `num_envs` simulations; `has_success` says whether their task knows success."""
        self._send, self._has_success = send, has_success
        self._seeds = [0] * num_envs
        self._observations: list[list[Observation]] = [[] for _ in range(num_envs)]
        self._actions: list[list[np.ndarray]] = [[] for _ in range(num_envs)]
        self._rewards: list[list[float]] = [[] for _ in range(num_envs)]

    def start(self, indices: Sequence[int], seeds: Sequence[int], observation: Observation) -> None:
        """Episodes of `seeds [k]` begin in the simulations `indices [k]`, which observe `[k, ...]`."""
        for row, (index, seed) in enumerate(zip(indices, seeds, strict=True)):
            self._seeds[index] = int(seed)
            self._observations[index] = [_row(observation, row)]
            self._actions[index], self._rewards[index] = [], []

    def step(self, action: np.ndarray, step: BatchStep, policy: str) -> None:
        """All simulations took `action [N, A]`, which gave `step`; `policy` names what acted."""
        for index, seen in enumerate(self._observations):
            if not seen:
                continue
            seen.append(_row(step.observation, index))
            self._actions[index].append(np.array(action[index]))
            self._rewards[index].append(float(step.reward[index]))
            if step.last[index]:
                self._send(self._episode(index, step, policy))
                self._observations[index] = []

    def _episode(self, index: int, step: BatchStep, policy: str) -> RecordedEpisode:
        seen = self._observations[index]
        return RecordedEpisode(
            observation={name: np.stack([at[name] for at in seen]) for name in seen[0]},
            action=np.stack(self._actions[index]),
            reward=np.array(self._rewards[index], np.float32),
            terminated=bool(step.discount[index] == 0),
            seed=self._seeds[index],
            policy=policy,
            success=bool(step.success[index]) if self._has_success else None,
        )


def _row(observation: Observation, row: int) -> Observation:
    # A copy: environments may write their next observations into the same arrays.
    return {name: np.array(value[row]) for name, value in observation.items()}
