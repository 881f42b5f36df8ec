"""From a config to the parts of an experiment: the one place that knows the names of environments and agents."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from robo_rl import envs, seeds
from robo_rl.agents.agent import Agent
from robo_rl.agents.qt_opt import make_qt_opt
from robo_rl.agents.sac import make_sac
from robo_rl.config import AgentConfig, Config, EnvConfig, QTOptConfig
from robo_rl.critics.head import ValueHead
from robo_rl.critics.heads import make_head
from robo_rl.critics.value_range import value_range
from robo_rl.envs.interface import BatchedEnvironment
from robo_rl.errors import ConfigError
from robo_rl.replay.rate_limiter import RateLimiter
from robo_rl.roles.actor import Actor, exploring
from robo_rl.roles.devices import along_batch, learner_mesh, place
from robo_rl.roles.learner import Counts, Learner, LearnerState, init_state
from robo_rl.specs import EnvSpec

AGENTS: dict[str, Callable[[Any, EnvSpec, ValueHead], Agent]] = {
    "sac": make_sac,
    "qt_opt": make_qt_opt,
}
"""`agent.kind` -> what makes it. A new agent is its file, its test, a preset, its section in the config, one entry."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The parts, made from a config that was checked."""

    config: Config
    spec: EnvSpec
    agent: Agent

    def training_env(self) -> BatchedEnvironment:
        """The simulations of one actor."""
        return envs.make_batched(self.config.env, self.config.actor.envs)

    def evaluation_env(self) -> BatchedEnvironment:
        """The simulations of an evaluator."""
        return envs.make_batched(evaluation_env_config(self.config), self.config.evaluation.envs)

    def actor(self, actor: int = 0, incarnation: int = 0) -> Actor:
        """An actor with fresh simulations."""
        config = self.config
        return Actor(
            self.training_env(),
            exploring(self.agent, config.actor.envs, self.spec.action.shape[0]),
            root_seed=config.seed,
            n_step=config.agent.n_step,
            discount=config.agent.discount,
            actor=actor,
            incarnation=incarnation,
        )

    def initial_state(self) -> LearnerState:
        """A fresh agent and an empty replay, on the learner's devices."""
        seed = seeds.child(self.config.seed, "learner")
        state = init_state(self.agent, self.spec, self.config.replay.capacity, seed)
        return place(state, learner_mesh(), self.config.learner.batch_size)

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
        )

    def evaluation_seeds(self, episodes: int) -> list[int]:
        """The episode seeds that every checkpoint of this run is judged on."""
        return seeds.evaluation_episodes(self.config.evaluation.first_seed, episodes)

    def meta(self) -> dict[str, Any]:
        """What makes a checkpoint readable without its run folder."""
        return {"spec": self.spec.to_json(), "config": self.config.model_dump(mode="json")}


def evaluation_env_config(config: Config) -> EnvConfig:
    """The run's environment as evaluation wants it: with the family and time limit that `evaluation` names."""
    changes: dict[str, Any] = {"family": config.evaluation.family}
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

    Raises:
        ConfigError: names the field, its value, and what is allowed.
        UserError: the environment needs something this machine lacks.
    """
    # Full float32 products: a GPU's default cuts them to TF32, and results would differ from a CPU's.
    jax.config.update("jax_default_matmul_precision", "highest")
    if config.replay.capacity < block_size(config):
        raise ConfigError(
            f"replay.capacity is {config.replay.capacity}, but one chunk can bring {block_size(config)} transitions "
            "(actor.envs * (actor.chunk_steps + agent.n_step - 1)). Raise replay.capacity or lower those."
        )
    if config.learner.warmup_env_steps >= config.env_steps:
        raise ConfigError(
            f"learner.warmup_env_steps is {config.learner.warmup_env_steps} and env_steps is {config.env_steps}: "
            "nothing would be learned. Lower the first or raise the second."
        )
    # Made once here, so that a wrong name or a missing renderer is said before any process starts.
    environment = envs.make(config.env, config.seed)
    spec = environment.spec
    environment.close()
    make_value_head(config.agent, spec)
    return spec


def make_value_head(agent: AgentConfig, spec: EnvSpec) -> ValueHead:
    """The value head of an agent: QT-Opt's covers the returns of its environment, SAC scales these to fit.

    Raises:
        ConfigError: there is no such head, its fields do not fit together, or nobody knows the range of returns.
    """
    if isinstance(agent, QTOptConfig):
        return make_head(agent.critic, agent.value_range or value_range(spec, agent.discount))
    return make_head(agent.critic)


def build(config: Config) -> Experiment:
    """The parts of a run; raises what `check` raises."""
    spec = check(config)
    agent = AGENTS[config.agent.kind](config.agent, spec, make_value_head(config.agent, spec))
    return Experiment(config, spec, agent)
