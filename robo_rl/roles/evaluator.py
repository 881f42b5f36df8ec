"""The evaluator: judges a policy on a fixed list of episode seeds, greedily, and says how sure one can be."""

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from robo_rl.agents.agent import Agent, Policy
from robo_rl.compilation import compiled
from robo_rl.envs.interface import BatchedEnvironment
from robo_rl.metrics.statistics import bootstrap_mean_interval, wilson_interval
from robo_rl.metrics.video import write_video
from robo_rl.roles.exchange import Episode
from robo_rl.specs import Array, Observation

Greedy = Callable[[Policy, Observation], Array]
"""policy, observation `[N, ...]` -> actions `[N, A]`."""


def greedy(agent: Agent) -> Greedy:
    """The agent's behaviour without exploration, jitted."""
    return compiled(greedy_equations(agent))


def greedy_equations(agent: Agent) -> Greedy:
    """The same, not jitted, to be part of another program."""
    return lambda policy, observation: agent.act(policy, observation, jax.random.key(0), 0, False)


def run_episodes(
    env: BatchedEnvironment,
    act: Greedy,
    policy: Policy,
    episode_seeds: Sequence[int],
    film: "Film | None" = None,
) -> list[Episode]:
    """One episode per seed, in the order of the seeds; each simulation takes the next seed when it is free.

    The batch always has `env.num_envs` rows, so that an episode does not depend on how many others are left: a
    simulation without a seed of its own repeats the last one, and its episode is not counted. `film` takes a frame
    at the start and after each step.
    """
    count = env.num_envs
    everyone = list(range(count))
    running = [index if index < len(episode_seeds) else None for index in everyone]
    waiting = iter(range(count, len(episode_seeds)))
    seed_of = [episode_seeds[-1] if index is None else episode_seeds[index] for index in running]
    observation = env.reset(everyone, seed_of)
    returns, lengths = np.zeros(count), np.zeros(count, np.int64)
    results: dict[int, Episode] = {}
    if film:
        film.shoot()
    while len(results) < len(episode_seeds):
        step = env.step(np.asarray(act(policy, observation)))
        if film:
            film.shoot()
        returns += step.reward
        lengths += 1
        observation = {name: value.copy() for name, value in step.observation.items()}
        ended = np.flatnonzero(step.last)
        for index, kind in zip(ended.tolist(), env.kinds(ended.tolist()), strict=True):
            episode = running[index]
            if episode is not None:
                success = bool(step.success[index]) if env.spec.has_success else None
                results[episode] = Episode(
                    episode_seeds[episode], kind, float(returns[index]), int(lengths[index]), success
                )
            following = running[index] = next(waiting, None)
            seed_of[index] = episode_seeds[-1] if following is None else episode_seeds[following]
        if len(ended) and len(results) < len(episode_seeds):
            returns[ended], lengths[ended] = 0, 0
            fresh = env.reset(ended.tolist(), [seed_of[index] for index in ended])
            for name, value in fresh.items():
                observation[name][ended] = value
    return [results[index] for index in range(len(episode_seeds))]


class Film:
    """Keeps the frames of the first simulation's first episode."""

    def __init__(self, env: BatchedEnvironment, height: int = 480, width: int = 640) -> None:
        """Frames of `height` x `width` pixels."""
        self._env, self._size = env, (height, width)
        self.frames: list[np.ndarray] = []

    def shoot(self) -> None:
        """Take a frame; nothing once an episode's most steps are on film."""
        if len(self.frames) <= self._env.spec.episode_steps:
            self.frames.append(self._env.render(0, *self._size))

    def write(self, path: Path, first: Episode) -> None:
        """Write what belongs to the `first` episode as an mp4 in real time."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, self.frames[: first.length + 1], self._env.spec.control_hz)


def judge(
    env: BatchedEnvironment,
    act: Greedy,
    policy: Policy,
    checkpoint: int | str,
    episode_seeds: Sequence[int],
    video: Path | None = None,
) -> dict[str, Any]:
    """The `evaluation` record of one episode per seed; `video` gets the film of the first one."""
    film = Film(env) if video is not None else None
    episodes = run_episodes(env, act, policy, episode_seeds, film)
    if film is not None and video is not None:
        film.write(video, episodes[0])
    return evaluation(env, checkpoint, episodes)


def policy_template(agent: Agent) -> Policy:
    """A policy with the shapes of this agent's, on this machine's devices, to restore checkpoints into."""
    return jax.jit(lambda key: agent.policy(agent.init(key)))(jax.random.key(0))


def evaluation(env: BatchedEnvironment, checkpoint: int | str, episodes: Sequence[Episode]) -> dict[str, Any]:
    """The record of an evaluation, as `evaluations/STEP.json` holds it.

    The return's interval is a bootstrap of its mean, the success rate's is Wilson's, both at 95 %. `success` is None
    for tasks without that notion; `success_by_kind` counts [successes, episodes] where there are several kinds.
    """
    returns = [episode.episode_return for episode in episodes]
    low, high = bootstrap_mean_interval(returns)
    success = None
    if env.spec.has_success:
        successes = sum(bool(episode.success) for episode in episodes)
        success_low, success_high = wilson_interval(successes, len(episodes))
        success = {"rate": successes / len(episodes), "low": success_low, "high": success_high}
    return {
        "env": env.spec.name,
        "checkpoint": checkpoint,
        "return": {"mean": float(np.mean(returns)), "low": low, "high": high},
        "success": success,
        "success_by_kind": success_by_kind(episodes) if success is not None else {},
        "episodes": [
            {"seed": e.seed, "kind": e.kind, "return": e.episode_return, "length": e.length, "success": e.success}
            for e in episodes
        ],
    }


def success_by_kind(episodes: Sequence[Episode]) -> dict[str, list[int]]:
    """kind -> [successes, episodes], sorted by kind; empty where all episodes are of one kind."""
    kinds = sorted({episode.kind for episode in episodes})
    if len(kinds) < 2:
        return {}
    return {
        kind: [sum(bool(e.success) for e in episodes if e.kind == kind), sum(e.kind == kind for e in episodes)]
        for kind in kinds
    }


def follow(
    committed: Callable[[], list[int]],
    evaluated: Callable[[], dict[int, int]],
    judge: Callable[[int, int], None],
    final_step: Callable[[], int | None],
    *,
    episodes: int,
    final_episodes: int,
    poll_seconds: float = 0.2,
) -> None:
    """Judge every committed step, the newest first, until training has ended and nothing is left to judge.

    Args:
        committed: steps on disk.
        evaluated: step -> how many episodes its evaluation has.
        judge: evaluate a step on so many episodes and write the result.
        final_step: the last step of the training, once it is known; it gets `final_episodes`.
        episodes, final_episodes: per step.
        poll_seconds: pause while there is nothing to do (s).
    """
    while True:
        final = final_step()
        needed = functools.partial(_episodes_needed, final=final, episodes=episodes, final_episodes=final_episodes)
        have = evaluated()
        pending = [step for step in sorted(committed(), reverse=True) if have.get(step, 0) < needed(step)]
        # One at a time: a newer checkpoint may have come while this one was judged, and it goes first.
        if pending:
            judge(pending[0], needed(pending[0]))
        elif final is not None:
            return
        else:
            time.sleep(poll_seconds)


def _episodes_needed(step: int, final: int | None, episodes: int, final_episodes: int) -> int:
    return max(episodes, final_episodes) if step == final else episodes
