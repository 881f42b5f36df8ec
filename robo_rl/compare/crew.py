"""How the members of a population act and are judged: all of them in one batched policy call per control step."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from robo_rl.agents.agent import Policy
from robo_rl.compare.population import exploring_members, greedy_members
from robo_rl.compare.simulations import AllUnits, Unit, UnitKind, Workers
from robo_rl.config import Config
from robo_rl.errors import DivergedError
from robo_rl.experiment import Experiment, evaluation_env_config
from robo_rl.roles.actor import Actor, exploring
from robo_rl.roles.evaluator import run_episodes
from robo_rl.roles.exchange import Chunk, Episode

TRAIN, EVALUATE = "train", "evaluate"


def unit_kinds(config: Config) -> dict[str, UnitKind]:
    """What the workers of a cell simulate for each member."""
    return {
        TRAIN: UnitKind(config.env, config.actor.envs),
        EVALUATE: UnitKind(evaluation_env_config(config), config.evaluation.envs),
    }


class Crew:
    """One actor per member, whose simulations are stepped together.

    A member's episodes, exploration and windows are those that the inline runtime would have with its seed.
    """

    def __init__(self, experiment: Experiment, member_seeds: Sequence[int], workers: Workers) -> None:
        """Actors at the start of their first episodes."""
        config, spec = experiment.config, experiment.spec
        envs, actions = config.actor.envs, spec.action.shape[0]
        alone = exploring(experiment.agent, envs, actions, experiment.warmup_octaves)
        self.actors = [
            Actor(
                Unit(workers, TRAIN, unit, spec),
                alone,
                root_seed=seed,
                n_step=config.agent.n_step,
                discount=config.agent.discount,
            )
            for unit, seed in enumerate(member_seeds)
        ]
        self._seeds = list(member_seeds)
        self._env = AllUnits(workers, TRAIN, spec)
        self._act = exploring_members(experiment.agent, envs, actions, experiment.warmup_octaves)
        self._keys = jnp.stack([actor.key for actor in self.actors])

    def collect(self, policy: Policy | None, steps: int) -> list[Chunk]:
        """`steps` control steps of every member with `policy [M, ...]` (None: random); a chunk from each.

        Raises:
            DivergedError: an action is not finite; names the seed.
            UserError, RunFailedError: as `Workers.call`.
        """
        for _ in range(steps):
            each = [actor.observation() for actor in self.actors]
            observation = {name: np.stack([own[name] for own in each]) for name in each[0]}
            actions = np.asarray(self._act(policy, observation, self._keys, self.actors[0].steps))
            self._require_finite(actions)
            for actor, action, step in zip(self.actors, actions, self._env.step_units(actions), strict=True):
                actor.advance(action, step)
        return [actor.hand_over() for actor in self.actors]

    def _require_finite(self, actions: np.ndarray) -> None:
        finite = np.isfinite(actions).all(axis=(1, 2))
        if not finite.all():
            seed = self._seeds[int(np.argmin(finite))]
            raise DivergedError(
                f"training diverged: seed {seed} acts with numbers that are not finite after {self.actors[0].steps} "
                "control steps. Try a lower agent.learning_rate in the overrides."
            )


class Judge:
    """Judges all members on the same fixed episode seeds, greedily, `evaluation.envs` episodes of each at a time."""

    def __init__(self, experiment: Experiment, members: int, workers: Workers) -> None:
        """A judge of `members` policies."""
        spec, limit = experiment.spec, experiment.config.evaluation.episode_steps
        spec = spec if limit is None else dataclasses.replace(spec, episode_steps=limit)
        self._experiment, self._members = experiment, members
        self._env = AllUnits(workers, EVALUATE, spec)
        self._act = greedy_members(experiment.agent, members)

    def judge(self, policy: Policy, episodes: int) -> list[list[Episode]]:
        """`episodes` episodes of every member of `policy [M, ...]`, in the order of their seeds."""
        at_once = self._experiment.config.evaluation.envs
        wanted = self._experiment.evaluation_seeds(episodes)
        results: list[list[Episode]] = [[] for _ in range(self._members)]
        for start in range(0, episodes, at_once):
            block = wanted[start : start + at_once]
            # Every simulation plays one episode at a time, so that member i // V stays who acts in it.
            padded = block + [block[-1]] * (at_once - len(block))
            played = run_episodes(self._env, self._act, policy, padded * self._members)
            for member, own in enumerate(results):
                own += played[member * at_once : member * at_once + len(block)]
        return results
