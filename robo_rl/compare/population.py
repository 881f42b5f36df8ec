"""A population: the seeds of one cell as one agent state with a leading member axis [M], under vmapped programs."""

import functools
import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robo_rl import seeds
from robo_rl.agents.agent import Agent, Metrics, Policy
from robo_rl.compilation import compiled
from robo_rl.config import Config
from robo_rl.errors import DivergedError
from robo_rl.experiment import Experiment, block_size, limiter
from robo_rl.networks.exploration import first_actions
from robo_rl.replay import ring
from robo_rl.replay.n_step import pad
from robo_rl.roles.evaluator import greedy_equations
from robo_rl.roles.exchange import Chunk
from robo_rl.roles.learner import LearnerState, init_state, take_in, updates
from robo_rl.specs import Array, EnvSpec, Observation


class PopulationCounts(NamedTuple):
    """Everything counted; members run in step, so that only their episodes differ. `episodes [M]`."""

    env_steps: int = 0
    updates: int = 0
    seconds: float = 0.0
    episodes: tuple[int, ...] = ()


def capacity(config: Config) -> int:
    """Transitions that each member's replay has room for: no more than its budget can bring.

    A buffer that never fills samples the same whatever its room, and ten members with room to spare fill a memory.
    """
    per_step = config.actor.envs * config.env.action_repeat
    # Every evaluation may cut a chunk short, and a cut may overshoot by less than one step.
    control_steps = math.ceil(config.env_steps / per_step) + 1
    return min(config.replay.capacity, max(control_steps * config.actor.envs, block_size(config)))


def init_members(agent: Agent, spec: EnvSpec, room: int, member_seeds: Sequence[int]) -> LearnerState:
    """Fresh members, stacked `[M, ...]`: each as `init_state` makes it from its own seed, `room` transitions each.

    Made one by one and not under vmap, so that first weights do not depend on the population to the last bit.
    """
    alone = [init_state(agent, spec, 1, seeds.child(seed, "learner")) for seed in member_seeds]
    agents, keys, published = (
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *(getattr(state, part) for state in alone))
        for part in ("agent", "key", "published")
    )
    empty = jax.vmap(lambda _: ring.init(spec, room))(jnp.arange(len(member_seeds)))
    return LearnerState(agents, empty, keys, published)


def trunk_hash(agent_state: Any, member: int) -> str:
    """sha256 of one member's trunk weights: all that losses share, since only their last layers differ in shape."""
    digest = hashlib.sha256()
    for name, weights in _trunk(agent_state, member):
        digest.update(name.encode() + weights.tobytes())
    return digest.hexdigest()


def trunk_sum(agent_state: Any, member: int) -> float:
    """Sum of the same weights: nearly equal where only the processor's rounding differs, far apart for another key."""
    return float(sum(weights.sum(dtype=np.float64) for _, weights in _trunk(agent_state, member)))


def _trunk(agent_state: Any, member: int) -> Iterator[tuple[str, np.ndarray]]:
    for path, leaf in jax.tree_util.tree_leaves_with_path(agent_state):
        if any(getattr(part, "key", None) == "trunk" for part in path):
            yield jax.tree_util.keystr(path), np.asarray(leaf[member])


class Population:
    """The members' state on the device, the counters beside it, and the two compiled programs that change them."""

    def __init__(self, experiment: Experiment, member_seeds: Sequence[int], state: LearnerState) -> None:
        """Members `member_seeds [M]` whose `state` has a leading axis [M]; counts start at 0."""
        agent, config = experiment.agent, experiment.config
        self.seeds, self.state = list(member_seeds), state
        self.counts = PopulationCounts(episodes=(0,) * len(self.seeds))
        self._limiter, self._block = limiter(config), block_size(config)
        number, batch_size = config.learner.updates_per_dispatch, config.learner.batch_size
        # K updates of all members are one program: a scan whose body is vmapped, with every member's own keys.
        self.take_in = compiled(jax.vmap(lambda s, e, count: take_in(agent, s, e, count)), donate_argnums=0)
        learn = functools.partial(updates, agent, batch_size, number, recency=config.replay.recency)
        self.updates = compiled(jax.vmap(learn), donate_argnums=0)
        self._policy = jax.jit(jax.vmap(agent.policy))
        self._metrics: Metrics = {}
        self._clock = time.monotonic()

    def resume(self, state: LearnerState, counts: PopulationCounts) -> None:
        """Go on from a checkpoint."""
        self.state, self.counts = state, counts
        self._clock = time.monotonic() - counts.seconds

    def insert(self, chunks: Sequence[Chunk]) -> None:
        """Take in one chunk of every member, all of the same number of environment steps."""
        assert len(chunks) == len(self.seeds)
        assert len({chunk.env_steps for chunk in chunks}) == 1, "members run in step"
        padded = [pad(chunk.experience, self._block) for chunk in chunks]
        experience = jax.tree.map(lambda *leaves: np.stack(leaves), *padded)
        count = np.array([len(chunk.experience.running_return) for chunk in chunks], np.int32)
        self.state = self.take_in(self.state, experience, count)
        self.counts = self.counts._replace(
            env_steps=self.counts.env_steps + chunks[0].env_steps,
            episodes=tuple(n + len(chunk.episodes) for n, chunk in zip(self.counts.episodes, chunks, strict=True)),
        )

    def may_update(self) -> bool:
        """Whether a group of updates is due."""
        return self._limiter.may_update(self.counts.env_steps, self.counts.updates)

    def update(self) -> None:
        """One group of updates of every member, in one dispatch."""
        self.state, self._metrics = self.updates(self.state)
        self.counts = self.counts._replace(updates=self.counts.updates + self._limiter.updates_per_dispatch)

    def acting_policy(self) -> Policy | None:
        """What exploration acts with, `[M, ...]`: as it was after the last updates; None before the first."""
        return self.state.published if self.counts.updates else None

    def policy(self) -> Policy:
        """The members' policies `[M, ...]` with the statistics of this moment, to be judged or saved."""
        return self._policy(self.state.agent)

    def seconds(self) -> float:
        """Seconds spent, those before a resume included."""
        return time.monotonic() - self._clock

    def metrics(self) -> list[dict[str, float]]:
        """Name -> mean over the last group of updates, for each member; empty before the first.

        Raises:
            DivergedError: one is not finite; names the first and its seed.
        """
        fetched = {name: np.asarray(value, float) for name, value in jax.device_get(self._metrics).items()}
        for name, values in fetched.items():
            self._require_finite(name, np.isfinite(values))
        return [{name: float(values[member]) for name, values in fetched.items()} for member in range(len(self.seeds))]

    def require_finite_state(self) -> None:
        """Refuse to go on, or to save, with parameters that are not numbers.

        Raises:
            DivergedError: names the first leaf of the agents' states that holds one, and the seed.
        """
        for path, leaf in jax.tree_util.tree_leaves_with_path(jax.device_get(self.state.agent)):
            if np.issubdtype(leaf.dtype, np.floating):
                finite = np.isfinite(leaf).reshape(len(self.seeds), -1).all(axis=1)
                self._require_finite(f"agent{jax.tree_util.keystr(path)}", finite)

    def _require_finite(self, name: str, finite: np.ndarray) -> None:
        """`finite [M]` is true for every member, or DivergedError."""
        if not finite.all():
            seed = self.seeds[int(np.argmin(finite))]
            raise DivergedError(
                f"training diverged: {name} of seed {seed} is not finite after {self.counts.updates} updates "
                f"({self.counts.env_steps} environment steps). Try a lower agent.learning_rate in the overrides."
            )


def exploring_members(agent: Agent, num_envs: int, action_size: int, octaves: int = 0) -> Any:
    """`act(policy [M, ...] or None, observation [M, E, ...], key [M], step) -> actions [M, E, A]`, one dispatch.

    For each member what `roles.actor.exploring` does for one actor: random actions before the first weights.
    """

    def explore(policy: Policy, observation: Observation, key: Array, step: int) -> Array:
        return agent.act(policy, observation, key, step, True)

    def random(key: Array, step: int) -> Array:
        return first_actions(key, step, (num_envs, action_size), octaves)

    explore_all = compiled(jax.vmap(explore, in_axes=(0, 0, 0, None)))
    random_all = jax.jit(jax.vmap(random, in_axes=(0, None)))

    def act(policy: Policy | None, observation: Observation, key: Array, step: int) -> Array:
        return random_all(key, step) if policy is None else explore_all(policy, observation, key, step)

    return act


def greedy_members(agent: Agent, members: int) -> Any:
    """`act(policy [M, ...], observation [M * V, ...]) -> actions [M * V, A]`: row i belongs to member i // V."""

    def act(policy: Policy, observation: Observation) -> Array:
        split = jax.tree.map(lambda x: x.reshape(members, -1, *x.shape[1:]), dict(observation))
        actions = jax.vmap(greedy_equations(agent))(policy, split)
        return actions.reshape(-1, actions.shape[-1])

    return compiled(act)
