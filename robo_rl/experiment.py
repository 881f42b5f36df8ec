"""From a config to the parts of an experiment: the one place that knows the names of environments and agents."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from robo_rl import envs, seeds
from robo_rl.agents.agent import Agent
from robo_rl.agents.qt_opt import make_qt_opt
from robo_rl.agents.sac import make_sac
from robo_rl.config import AgentConfig, Config, EnvConfig, QTOptConfig, SACConfig
from robo_rl.critics.head import ValueHead
from robo_rl.critics.heads import make_head
from robo_rl.critics.value_range import value_range
from robo_rl.data.episode import RecordedEpisode
from robo_rl.data.recorder import EpisodeRecorder
from robo_rl.envs.interface import BatchedEnvironment
from robo_rl.errors import ConfigError
from robo_rl.replay.rate_limiter import RateLimiter
from robo_rl.roles.actor import Actor, exploring
from robo_rl.roles.devices import along_batch, learner_mesh, make_placed
from robo_rl.roles.learner import Counts, Learner, LearnerState, init_state
from robo_rl.specs import EnvSpec

if TYPE_CHECKING:
    from robo_rl.data.feed import Feed

ReadProgress = Callable[[int, int], None]
"""episodes of the data set read so far, episodes it has."""

AGENTS: dict[str, Callable[[Any, EnvSpec, ValueHead], Agent]] = {"sac": make_sac, "qt_opt": make_qt_opt}
"""`agent.kind` -> what makes it. A new agent is its file, its test, a preset, its section in the config, one entry."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The parts, made from a config that was checked."""

    config: Config
    spec: EnvSpec
    agent: Agent
    feed: "Feed | None" = None

    @property
    def warmup_octaves(self) -> int:
        """Octaves of the noise before the first update; agents without the field begin with uniform actions."""
        return self.config.agent.warmup_octaves if isinstance(self.config.agent, SACConfig) else 0

    def training_env(self) -> BatchedEnvironment:
        """The simulations of one actor."""
        return envs.make_batched(self.config.env, self.config.actor.envs)

    def evaluation_env(self) -> BatchedEnvironment:
        """The simulations of an evaluator."""
        return envs.make_batched(evaluation_env_config(self.config), self.config.evaluation.envs)

    def actor(
        self, actor: int = 0, incarnation: int = 0, record: Callable[[RecordedEpisode], None] | None = None
    ) -> Actor:
        """An actor with fresh simulations; `record` is given each of its episodes."""
        config = self.config
        success = self.spec.has_success
        return Actor(
            self.training_env(),
            exploring(self.agent, config.actor.envs, self.spec.action.shape[0], self.warmup_octaves),
            root_seed=config.seed,
            n_step=config.agent.n_step,
            discount=config.agent.discount,
            actor=actor,
            incarnation=incarnation,
            recorder=None if record is None else EpisodeRecorder(config.actor.envs, success, record),
        )

    def initial_state(self) -> LearnerState:
        """A fresh agent, an empty replay and room for the demonstrations, on the learner's devices."""
        seed, mesh = seeds.child(self.config.seed, "learner"), learner_mesh()
        devices = 1 if mesh is None else mesh.size
        # Nothing is written to it offline; a buffer of no size would be a program of its own.
        capacity = devices if self.config.data.is_offline else self.config.replay.capacity
        demonstrations = 0 if self.feed is None else -(-self.feed.capacity // devices) * devices
        make = functools.partial(init_state, self.agent, self.spec, capacity, seed, demonstrations)
        return make_placed(make, mesh, self.config.learner.batch_size)

    def learner(self, state: LearnerState, counts: Counts) -> Learner:
        """A learner that goes on from `state` and `counts`."""
        mesh = learner_mesh()
        return Learner(
            self.agent,
            state,
            limiter(self.config),
            batch_size=self.config.learner.batch_size,
            block=block_size(self.config),
            counts=counts,
            batch_sharding=None if mesh is None else along_batch(mesh),
            feed=self.feed,
            share=self.config.data.share,
            recency=self.config.replay.recency,
        )

    def evaluation_seeds(self, episodes: int) -> list[int]:
        """The episode seeds that every checkpoint of this run is judged on."""
        return seeds.evaluation_episodes(self.config.evaluation.first_seed, episodes)

    def meta(self) -> dict[str, Any]:
        """What makes a checkpoint readable without its run folder."""
        return {"spec": self.spec.to_json(), "config": self.config.model_dump(mode="json")}


def evaluation_env_config(config: Config) -> EnvConfig:
    """The run's environment as evaluation wants it: the family and time limit that `evaluation` names, true rewards."""
    changes: dict[str, Any] = {"family": config.evaluation.family, "reward_noise": 0.0}
    if config.evaluation.episode_steps is not None:
        changes["episode_steps"] = config.evaluation.episode_steps
    return config.env.model_copy(update=changes)


def limiter(config: Config) -> RateLimiter:
    """The pace between acting and learning."""
    learner = config.learner
    return RateLimiter(
        learner.updates_per_env_step, learner.warmup_env_steps, learner.updates_per_dispatch, learner.max_lead_env_steps
    )


def block_size(config: Config) -> int:
    """Most transitions one chunk can hold: one per step, and at an episode's end those still open."""
    return config.actor.envs * (config.actor.chunk_steps + config.agent.n_step - 1)


def check(config: Config) -> EnvSpec:
    """Refuse a config that cannot run, before any process starts; returns what the environment looks like.

    Agent and evaluation are made for it as well as the environment: whatever they refuse is said here.

    Raises:
        ConfigError: names the field, its value, and what is allowed.
        UserError: the environment needs something this machine lacks.
    """
    check_fields(config)
    # Made once here, so that a wrong name or a missing renderer is said before any process starts.
    spec = _spec(config.env)
    AGENTS[config.agent.kind](config.agent, spec, make_value_head(config.agent, spec))
    judged = evaluation_env_config(config)
    if config.evaluation.enabled and judged.episode_steps != config.env.episode_steps:
        try:
            _spec(judged)
        except ConfigError as error:
            raise ConfigError(f"With evaluation.episode_steps as env.episode_steps: {error}") from error
    return spec


def _spec(config: EnvConfig) -> EnvSpec:
    environment = envs.make_batched(config, 1)
    environment.close()
    return environment.spec


def check_fields(config: Config) -> None:
    """The part of `check` that needs no simulation: fields that contradict each other.

    Raises:
        ConfigError: names the field, its value, and what is allowed.
    """
    # Full float32 products: a GPU's default cuts them to TF32, and results would differ from a CPU's.
    jax.config.update("jax_default_matmul_precision", "highest")
    # Whatever the range will be: this is about the head's name and its own fields.
    make_head(config.agent.critic, (-1.0, 1.0))
    if config.replay.capacity < block_size(config):
        raise ConfigError(
            f"replay.capacity is {config.replay.capacity}, but one chunk can bring {block_size(config)} transitions "
            "(actor.envs * (actor.chunk_steps + agent.n_step - 1)). Raise replay.capacity or lower those."
        )
    if np.float32(config.agent.discount) == 1:
        raise ConfigError(
            f"agent.discount is {config.agent.discount}, which is 1 in the float32 that returns are computed in. "
            "Lower it; 0.999999 is possible."
        )
    if isinstance(config.agent, SACConfig) and config.agent.values_follow_scale and not config.agent.scale_rewards:
        raise ConfigError(
            "agent.values_follow_scale is set, but agent.scale_rewards is not: there is no scale to follow. "
            "Set both or none."
        )
    _check_data_share(config)
    if not config.data.is_offline:
        _check_warmup(config)
    elif config.replay.recency != 1:
        raise ConfigError(
            f"replay.recency is {config.replay.recency}, but data.share is 1: recorded episodes have no age. Leave it "
            "out."
        )


def make_value_head(agent: AgentConfig, spec: EnvSpec) -> ValueHead:
    """The value head of an agent: QT-Opt's covers the returns of its environment, SAC scales these to fit.

    Raises:
        ConfigError: there is no such head, its fields do not fit together, or nobody knows the range of returns.
    """
    if isinstance(agent, QTOptConfig):
        return make_head(agent.critic, agent.value_range or value_range(spec, agent.discount))
    return make_head(agent.critic)


def _check_warmup(config: Config) -> None:
    warmup, steps = config.learner.warmup_env_steps, config.agent.n_step - 1
    # Before every simulation has made n control steps, there may be no transition to learn from.
    least = config.actor.processes * config.actor.envs * steps * config.env.action_repeat
    if warmup < least:
        raise ConfigError(
            f"learner.warmup_env_steps is {warmup}, but the replay may be empty until {least} (actor.processes * "
            "actor.envs * (agent.n_step - 1) * env.action_repeat). Raise the first or lower one of those."
        )
    pace = limiter(config)
    if pace.owed(config.env_steps, 0) < pace.updates_per_dispatch:
        raise ConfigError(
            f"learner.warmup_env_steps is {warmup} and env_steps is {config.env_steps}: nothing would be learned, as "
            f"updates come in groups of {pace.updates_per_dispatch} (learner.updates_per_dispatch), "
            f"{pace.updates_per_env_step} per environment step (learner.updates_per_env_step). Lower the first or "
            "raise the second."
        )


def _check_data_share(config: Config) -> None:
    data, batch = config.data, config.learner.batch_size
    if data.path is None and data.share == 1:
        raise ConfigError(
            "data.share is 1: all that is learned from is a data set, and data.path names none. Record one with "
            "`robo-rl data record` and give its folder (--data.path DIR)."
        )
    if data.record is not None and (data.is_offline or data.record == data.path):
        reason = "nothing acts where data.share is 1" if data.is_offline else "data.path is the same folder"
        raise ConfigError(f"data.record is {data.record}, but {reason}. Leave it out, or name another folder.")
    if data.path is not None and 0 < data.share < 1 and not 0 < round(data.share * batch) < batch:
        raise ConfigError(
            f"data.share is {data.share}, which of a batch of {batch} is {round(data.share * batch)} transitions: the "
            "other side would be left out. Use 0 or 1 if that is meant, else another share or learner.batch_size."
        )


def open_feed(config: Config, spec: EnvSpec, progress: ReadProgress = lambda read, episodes: None) -> "Feed | None":
    """The data set of `config.data`, read whole and checked; None where nothing is learned from data.

    `progress(read, episodes)` is called after each episode.

    Raises:
        DataError: it is missing, damaged, empty, not of this environment or not finite.
    """
    if config.data.path is None or config.data.share == 0:
        return None
    # Imported here: whoever trains without data does without tensorflow-datasets and grain.
    from robo_rl.data.feed import Feed

    agent = config.agent
    seed = seeds.child(config.seed, "data")
    return Feed(config.data, spec, n_step=agent.n_step, discount=agent.discount, seed=seed, progress=progress)


@contextlib.contextmanager
def episode_writer(config: Config, spec: EnvSpec) -> Iterator[Callable[[RecordedEpisode], None] | None]:
    """What writes the actors' episodes to the data set `config.data.record`; None where they are not recorded.

    Raises:
        DataError: the folder holds something else, or the recording of another run.
    """
    if config.data.record is None:
        yield None
        return
    from robo_rl.data.features import dataset_name, features_of, serialize
    from robo_rl.data.writer import DatasetWriter

    features = features_of(spec)
    about = {"env": config.env.model_dump(mode="json"), "policy": "the actors of a training run", "seed": config.seed}
    about["spec"] = spec.to_json()
    with DatasetWriter(Path(config.data.record), dataset_name(spec.name), features, about) as writer:
        yield lambda episode: writer.add(serialize(features, spec, episode))


def with_data(experiment: Experiment, progress: ReadProgress = lambda read, episodes: None) -> Experiment:
    """The experiment with its data set opened, which only a learner needs; raises what `open_feed` raises."""
    return dataclasses.replace(experiment, feed=open_feed(experiment.config, experiment.spec, progress))


def build(config: Config) -> Experiment:
    """The parts of a run; raises what `check` raises."""
    spec = check(config)
    agent = AGENTS[config.agent.kind](config.agent, spec, make_value_head(config.agent, spec))
    return Experiment(config, spec, agent)
