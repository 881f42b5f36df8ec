"""Plays episodes to be recorded; each depends on its own seed alone, not on how many are played at once."""

from collections.abc import Callable, Sequence

import numpy as np

from robo_rl import seeds
from robo_rl.data.episode import RecordedEpisode
from robo_rl.envs.interface import BatchedEnvironment
from robo_rl.specs import Observation

Intend = Callable[[Observation], np.ndarray]
"""observation `[N, ...]` -> intended actions `[N, A]`, before noise and before they are clipped to [-1, 1]."""


def episode_seeds(root: int, first: int, count: int) -> list[int]:
    """Seeds of the recorded episodes first, first + 1, ...; from the half that training uses, never evaluation's."""
    return [
        seeds.EVALUATION_SEEDS + seeds.child(root, "recorded", number) % seeds.EVALUATION_SEEDS
        for number in range(first, first + count)
    ]


def play(
    env: BatchedEnvironment, intend: Intend | None, noise: float, episodes: Sequence[int], policy: str
) -> list[RecordedEpisode]:
    """One episode for each of the seeds `episodes`, at most `env.num_envs`, in their order.

    `intend` None means uniform actions. Gaussian noise of standard deviation `noise` is added to every number of an
    action before it is clipped to [-1, 1]; an episode draws it from its own seed.
    """
    count = len(episodes)
    # A simulation without an episode of its own repeats the last one, so that the batch always has the same shape.
    seed_of = [episodes[min(index, count - 1)] for index in range(env.num_envs)]
    drawn = [np.random.default_rng(seeds.child(seed, "noise")) for seed in seed_of]
    shape = env.spec.action.shape
    observation = env.reset(list(range(env.num_envs)), seed_of)
    seen = [_copy(observation)]
    actions, rewards = [], []
    length = np.zeros(env.num_envs, np.int64)
    terminated, success = np.zeros(env.num_envs, bool), np.zeros(env.num_envs, bool)
    while (length[:count] == 0).any():
        if intend is None:
            action = np.stack([rng.uniform(-1, 1, shape) for rng in drawn])
        else:
            action = np.asarray(intend(observation), np.float64)
            if noise > 0:
                action = action + noise * np.stack([rng.standard_normal(shape) for rng in drawn])
        action = np.clip(action, -1, 1).astype(np.float32)
        step = env.step(action)
        seen.append(_copy(step.observation))
        actions.append(action)
        rewards.append(np.asarray(step.reward, np.float32).copy())
        ended = step.last & (length == 0)
        length[ended] = len(actions)
        terminated[ended], success[ended] = step.discount[ended] == 0, step.success[ended]
        observation = seen[-1]
        if step.last.any() and (length[:count] == 0).any():
            # It waits for the others in an episode that nobody records.
            idle = np.flatnonzero(step.last).tolist()
            fresh = env.reset(idle, [seed_of[index] for index in idle])
            observation = _copy(observation)
            for name, value in fresh.items():
                observation[name][idle] = value
    return [
        RecordedEpisode(
            observation={name: np.stack([at[name][i] for at in seen[: length[i] + 1]]) for name in observation},
            action=np.stack([action[i] for action in actions[: length[i]]]),
            reward=np.array([reward[i] for reward in rewards[: length[i]]], np.float32),
            terminated=bool(terminated[i]),
            seed=int(episodes[i]),
            policy=policy,
            success=bool(success[i]) if env.spec.has_success else None,
        )
        for i in range(count)
    ]


def _copy(observation: Observation) -> dict[str, np.ndarray]:
    return {name: np.array(value) for name, value in observation.items()}
