"""The learner: takes in chunks, makes updates at the pace the limiter allows, and owns every counter."""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding

from robo_rl.agents.agent import Agent, AgentState, Metrics, Policy
from robo_rl.compilation import compiled
from robo_rl.errors import DivergedError
from robo_rl.replay import ring
from robo_rl.replay.n_step import pad
from robo_rl.replay.rate_limiter import RateLimiter
from robo_rl.roles.demonstrations import Feed, draw
from robo_rl.roles.exchange import Chunk, Episode
from robo_rl.specs import Array, EnvSpec, Experience


class LearnerState(NamedTuple):
    """Everything on the device: agent, replay, and the key that all updates draw from.

    published: the policy after the last updates, which actors are given. Statistics in `agent` move on with every
               chunk, also between updates; a resumed run must act with those that its actors had.
    demonstrations: a second buffer for recorded experience; None, a tree without leaves, where there is none
    """

    agent: AgentState
    replay: ring.RingState
    key: Array
    published: Policy
    demonstrations: ring.RingState | None = None


class Counts(NamedTuple):
    """Everything counted, saved with the run.

    env_steps:     environment steps; where nothing acts (offline) the run's clock ticks once per update instead
    last_sequence: actor -> (incarnation, sequence) of its last chunk
    data:          where the stream of recorded episodes stands, as `Feed.state` says
    """

    env_steps: int = 0
    updates: int = 0
    episodes: int = 0
    seconds: float = 0.0
    last_sequence: dict[int, tuple[int, int]] = {}  # noqa: RUF012 - never changed in place
    data: dict[str, Any] = {}  # noqa: RUF012 - never changed in place

    def to_json(self) -> dict[str, Any]:
        """A dict that JSON can hold."""
        return {**self._asdict(), "last_sequence": {str(k): list(v) for k, v in self.last_sequence.items()}}

    def next_incarnation(self) -> int:
        """The first that no actor of the past had, so that actors started now begin episodes that are new."""
        return 1 + max((incarnation for incarnation, _ in self.last_sequence.values()), default=-1)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Counts":
        """The inverse of `to_json`."""
        last = {int(actor): (int(pair[0]), int(pair[1])) for actor, pair in data["last_sequence"].items()}
        return cls(**{**data, "last_sequence": last})


def init_state(agent: Agent, spec: EnvSpec, capacity: int, seed: int, demonstrations: int = 0) -> LearnerState:
    """A fresh agent beside an empty replay, and an empty buffer for so many demonstrations unless that is 0."""
    key_agent, key_updates = jax.random.split(jax.random.key(seed))
    state = jax.jit(agent.init)(key_agent)
    # A copy, because a donated buffer must not appear twice in the donated state.
    published = jax.tree.map(jnp.copy, agent.policy(state))
    recorded = ring.init(spec, demonstrations) if demonstrations else None
    return LearnerState(state, ring.init(spec, capacity), key_updates, published, recorded)


def take_in(agent: Agent, state: LearnerState, experience: Experience, count: Array) -> LearnerState:
    """Statistics and replay after the first `count []` of `experience [M, ...]`."""
    mask = jnp.arange(experience.running_return.shape[0]) < count
    return state._replace(
        agent=agent.observe(state.agent, experience, mask),
        replay=ring.add(state.replay, experience.transition, count),
    )


def take_in_demonstrations(
    agent: Agent, state: LearnerState, experience: Experience, count: Array, is_new: Array
) -> LearnerState:
    """As `take_in`, into the demonstrations; the statistics count only what `is_new []`, each transition once."""
    assert state.demonstrations is not None, "the learner was made without room for demonstrations"
    mask = (jnp.arange(experience.running_return.shape[0]) < count) & is_new
    return state._replace(
        agent=agent.observe(state.agent, experience, mask),
        demonstrations=ring.add(state.demonstrations, experience.transition, count),
    )


def updates(
    agent: Agent,
    batch_size: int,
    number: int,
    state: LearnerState,
    batch_sharding: Sharding | None = None,
    demonstrations: int = 0,
    recency: float = 1.0,
) -> tuple[LearnerState, Metrics]:
    """`number` updates, each on a fresh batch, as one scan: one dispatch, nothing crosses between host and device.

    Metrics are means over the updates, apart from minima and maxima (`*_min`, `*_max`). `batch_sharding` cuts each
    batch along the learner's devices; `demonstrations` of each batch are recorded experience; `recency` is that of
    `ring.sample`.
    """

    def one(carry: tuple[AgentState, Array], _: None) -> tuple[tuple[AgentState, Array], Metrics]:
        agent_state, key = carry
        key, key_batch, key_update = jax.random.split(key, 3)
        batch = draw(state.replay, state.demonstrations, key_batch, batch_size, demonstrations, recency)
        if batch_sharding is not None:
            batch = jax.lax.with_sharding_constraint(batch, batch_sharding)
        agent_state, metrics = agent.update(agent_state, batch, key_update)
        return (agent_state, key), metrics

    (agent_state, key), metrics = jax.lax.scan(one, (state.agent, state.key), None, length=number)
    reduced = {
        name: value.min() if name.endswith("_min") else value.max() if name.endswith("_max") else value.mean()
        for name, value in metrics.items()
    }
    return state._replace(agent=agent_state, key=key, published=agent.policy(agent_state)), reduced


class Learner:
    """The state on the device, the counters beside it, and the two compiled programs that change them."""

    def __init__(
        self,
        agent: Agent,
        state: LearnerState,
        limiter: RateLimiter,
        *,
        batch_size: int,
        block: int,
        counts: Counts,
        batch_sharding: Sharding | None = None,
        feed: Feed | None = None,
        share: float = 0.0,
        recency: float = 1.0,
    ) -> None:
        """A learner that takes chunks of at most `block` transitions; the state stays on the devices where it is.

        `feed` brings recorded experience, a `share` of each batch; where that is all of it, nothing acts. `recency` is
        how much the newest of the replay comes up more than the rest, as in `ring.sample`.
        """
        self.state, self.counts = state, counts
        self._agent, self._limiter, self._block = agent, limiter, block
        self._feed, self._is_offline = feed, feed is not None and share == 1
        demonstrations = 0 if feed is None else round(share * batch_size)
        number = limiter.updates_per_dispatch
        # On a mesh the results are told to stay where they were, lest XLA moves them and the next call compiles anew.
        here = None if batch_sharding is None else jax.tree.map(lambda leaf: leaf.sharding, state)
        stay: dict[str, Any] = {} if here is None else {"out_shardings": here}
        stay_updated: dict[str, Any] = {} if here is None else {"out_shardings": (here, None)}
        self._take_in = compiled(lambda s, e, count: take_in(agent, s, e, count), donate_argnums=0, **stay)
        self._updates = compiled(
            lambda s: updates(agent, batch_size, number, s, batch_sharding, demonstrations, recency),
            donate_argnums=0,
            **stay_updated,
        )
        self._take_in_demonstrations = compiled(
            lambda s, e, count, is_new: take_in_demonstrations(agent, s, e, count, is_new), donate_argnums=0, **stay
        )
        self._metrics: Metrics = {}
        self._episodes: list[Episode] = []
        self._published: tuple[int, Policy | None] = (0, None)
        self._clock = time.monotonic() - counts.seconds
        self._lag = 0
        if feed is not None:
            self._begin_feed(feed)

    def may_act(self) -> bool:
        """Whether the limiter lets the actors go on."""
        return self._limiter.may_act(self.counts.env_steps, self.counts.updates)

    def may_update(self) -> bool:
        """Whether the limiter has a group of updates due."""
        return self._limiter.may_update(self.counts.env_steps, self.counts.updates)

    def insert(self, chunk: Chunk) -> bool:
        """Take in a chunk; False, and nothing changes, for one that was taken in before."""
        # A later incarnation starts to count at 0 again; pairs compare as (incarnation, sequence).
        last = self.counts.last_sequence.get(chunk.actor, (-1, -1))
        if (chunk.incarnation, chunk.sequence) <= last:
            return False
        count = len(chunk.experience.running_return)
        if count:
            self.state = self._take_in(self.state, pad(chunk.experience, self._block), np.int32(count))
        self.counts = self.counts._replace(
            env_steps=self.counts.env_steps + chunk.env_steps,
            episodes=self.counts.episodes + len(chunk.episodes),
            last_sequence={**self.counts.last_sequence, chunk.actor: (chunk.incarnation, chunk.sequence)},
        )
        self._episodes += chunk.episodes
        self._lag = self.counts.updates - chunk.version
        return True

    def update(self) -> None:
        """One group of updates, in one dispatch."""
        self.state, self._metrics = self._updates(self.state)
        number = self._limiter.updates_per_dispatch
        self.counts = self.counts._replace(
            updates=self.counts.updates + number, env_steps=self.counts.env_steps + number * self._is_offline
        )
        if self._feed is not None and not self._feed.is_exhausted:
            self._insert_demonstrations(self._feed)

    def newer_policy(self, version: int) -> tuple[int, Policy | None]:
        """Newest version, and its weights as host arrays, or None where `version` is the newest or none was made.

        Raises:
            DivergedError: a metric or weight is not finite; names the first.
        """
        newest = self.counts.updates
        if newest == version:
            return version, None
        # Copied to the host once per version, however many actors ask for it.
        if self._published[0] != newest:
            policy = jax.device_get(self.state.published)
            # Before any actor gets them: it would die of them, and its death would hide the reason.
            require_finite(self._fetched_metrics(), self.counts)
            require_finite_leaves("policy", policy, self.counts)
            self._published = (newest, policy)
        return self._published

    def policy(self) -> Policy:
        """What acting needs, as device arrays."""
        return self._agent.policy(self.state.agent)

    def seconds(self) -> float:
        """Seconds spent on this run, those before a resume included."""
        return time.monotonic() - self._clock

    def row(self) -> dict[str, float]:
        """One row: episodes since the last call (left out where none ended), the agent's metrics of the last group.

        Raises:
            DivergedError: a metric is not finite; names the first.
        """
        metrics = self._fetched_metrics()
        require_finite(metrics, self.counts)
        episodes, self._episodes = self._episodes, []
        row: dict[str, float] = {
            "env_steps": self.counts.env_steps,
            "updates": self.counts.updates,
            "episodes": self.counts.episodes,
            "seconds": round(self.seconds(), 3),
            "policy_lag": self._lag,
            "replay_size": int(self.state.replay.size),
        }
        if episodes:
            row["return"] = float(np.mean([episode.episode_return for episode in episodes]))
            row["episode_length"] = float(np.mean([episode.length for episode in episodes]))
            judged = [episode.success for episode in episodes if episode.success is not None]
            if judged:
                row["success"] = float(np.mean(judged))
        return row | metrics

    def require_finite_state(self) -> None:
        """Refuse to go on, or to save, with parameters that are not numbers.

        Raises:
            DivergedError: names the first leaf of the agent's state that holds one.
        """
        require_finite_leaves("agent", jax.device_get(self.state.agent), self.counts)

    def _begin_feed(self, feed: Feed) -> None:
        """Fill the demonstrations with what they can hold, or go on where a resumed run's stream stood."""
        if self.counts.data:
            feed.restore(self.counts.data)
            return
        assert self.state.demonstrations is not None, "the learner was made without room for demonstrations"
        capacity = self.state.demonstrations.storage.reward.shape[0]
        taken = 0
        while taken < capacity and not feed.is_exhausted:
            taken += self._insert_demonstrations(feed)

    def _insert_demonstrations(self, feed: Feed) -> int:
        block = feed.next()
        self.state = self._take_in_demonstrations(
            self.state, block.experience, np.int32(block.count), np.bool_(block.is_new)
        )
        self.counts = self.counts._replace(data=feed.state())
        return block.count

    def _fetched_metrics(self) -> dict[str, float]:
        return {name: float(value) for name, value in jax.device_get(self._metrics).items()}


REMEDY = "Try a lower --agent.learning-rate, or look at the rows before it in metrics.jsonl."


def require_finite(metrics: dict[str, float], counts: Counts) -> None:
    """Refuse metrics that are not numbers.

    Raises:
        DivergedError: names the first.
    """
    for name, value in metrics.items():
        if not np.isfinite(value):
            raise DivergedError(
                f"training diverged: {name} is {value} after {counts.updates} updates "
                f"({counts.env_steps} environment steps); the last good checkpoint stands. {REMEDY}"
            )


def require_finite_leaves(name: str, tree: Any, counts: Counts) -> None:
    """Refuse a tree of host arrays that holds what is not a number.

    Raises:
        DivergedError: names the first such leaf, with `name` in front.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if np.issubdtype(leaf.dtype, np.floating) and not np.isfinite(leaf).all():
            raise DivergedError(
                f"training diverged: {name}{jax.tree_util.keystr(path)} is not finite after "
                f"{counts.updates} updates; the last good checkpoint stands. {REMEDY}"
            )
