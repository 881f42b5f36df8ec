"""From a name to an environment: the table of families. A new family is its file, its test and one line here."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from robo_rl.config import EnvConfig, VariationConfig
from robo_rl.envs.batched import BatchLoop
from robo_rl.envs.interface import BatchedEnvironment, Environment
from robo_rl.envs.manipulation import make_manipulation, manipulation_names
from robo_rl.envs.reward_noise import RewardNoise
from robo_rl.envs.suite import make_suite, suite_names
from robo_rl.errors import ConfigError, nearest


class Family(NamedTuple):
    """Environments whose names begin alike.

    form:       how its names are formed, for people
    names:      all its names
    make:       one environment of a config whose name is one of them
    make_batch: n simulations stepped together natively; None: the generic loop over `make`
    varies:     whether it heeds `env.variation` and the fields of GRASP_ONLY; what it would ignore is refused
    draws:      whether observing a config of it takes a renderer; asked without importing mujoco
    terminates: whether it has the terminate action
    """

    form: str
    names: Callable[[], list[str]]
    make: Callable[[EnvConfig], Environment]
    make_batch: Callable[[EnvConfig, int], BatchedEnvironment] | None = None
    varies: bool = False
    draws: Callable[[EnvConfig], bool] = lambda config: False
    terminates: bool = False


# The two functions keep the import of mujoco away from whoever only asks for names.
def _make_grasp(config: EnvConfig) -> Environment:
    from robo_rl.envs.grasp import make_grasp

    return make_grasp(config)


def _make_grasp_batch(config: EnvConfig, num_envs: int) -> BatchedEnvironment:
    from robo_rl.envs.grasp import make_grasp_batch

    return make_grasp_batch(config, num_envs)


FAMILIES: dict[str, Family] = {
    "grasp": Family(
        "grasp/cube|objects",
        lambda: ["grasp/cube", "grasp/objects"],
        _make_grasp,
        _make_grasp_batch,
        varies=True,
        draws=lambda config: config.observation == "camera",
        terminates=True,
    ),
    # Loading the escape task uploads its terrain to OpenGL, although nothing of it is drawn.
    "suite": Family(
        "suite/<domain>-<task>", suite_names, make_suite, draws=lambda config: config.name == "suite/quadruped-escape"
    ),
    "manipulation": Family(
        "manipulation/<name>", manipulation_names, make_manipulation, draws=lambda config: "vision" in config.name
    ),
}


GRASP_ONLY = ("observation", "camera_size", "reward", "step_penalty")
"""Fields beside `variation` that only families which vary heed."""


def names() -> list[str]:
    """Every name that `make` knows, family by family. Imports dm_control."""
    return [name for family in FAMILIES.values() for name in family.names()]


def needs_renderer(config: EnvConfig) -> bool:
    """Whether this environment cannot run without OpenGL; its MUJOCO_GL must be set before mujoco is imported."""
    family = FAMILIES.get(config.name.partition("/")[0])
    return family is not None and family.draws(config)


def make(name_or_config: str | EnvConfig, seed: int | None = None) -> Environment:
    """One environment, e.g. `make("suite/cheetah-run", seed=0)`.

    `seed` (>= 0) decides the first episode and those that follow without a `seed_episode` of their own; without it the
    operating system's entropy does.

    Raises:
        ConfigError: a name that does not exist (the nearest ones are listed) or a config the task cannot run; or
            reward noise, which only `make_batched` adds.
        UserError: the task needs a renderer and there is none.
    """
    config = EnvConfig.model_validate({"name": name_or_config}) if isinstance(name_or_config, str) else name_or_config
    if config.reward_noise:
        raise ConfigError(
            f"env.reward_noise is {config.reward_noise}, but one {config.name} by itself has no reward noise. Set "
            "it to 0, or use make_batched, from which training takes its rewards."
        )
    environment = _family(config).make(config)
    environment.seed_episode(int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed)
    return environment


def make_batched(config: EnvConfig, num_envs: int) -> BatchedEnvironment:
    """`num_envs` simulations of one config, native where the family has that, else a loop. Each must be reset first.

    Raises:
        ConfigError: as `make`, and for `num_envs` < 1.
        UserError: as `make`.
    """
    if num_envs < 1:
        raise ConfigError(f"{config.name}: a batch has at least 1 environment, not {num_envs}")
    family = _family(config)
    if family.make_batch is not None:
        batch = family.make_batch(config, num_envs)
    else:
        batch = BatchLoop([family.make(config) for _ in range(num_envs)])
    return RewardNoise(batch, config.reward_noise) if config.reward_noise else batch


def _family(config: EnvConfig) -> Family:
    """The family that has this environment and heeds all of the config's variation."""
    name = config.name
    family = FAMILIES.get(name.partition("/")[0])
    if family is None or name not in family.names():
        forms = ", ".join(family.form for family in FAMILIES.values())
        raise ConfigError(
            f"There is no environment {name!r} (env.name). Names have the forms {forms}. Nearest: "
            f"{', '.join(nearest(name, names()))}. robo_rl.envs.names() lists all."
        )
    for field in () if family.varies else GRASP_ONLY:
        if getattr(config, field) != EnvConfig.model_fields[field].default:
            raise ConfigError(
                f"env.{field} is {getattr(config, field)!r}, but only grasp tasks have that choice; the name {name} "
                "alone says what is observed and what pays. Leave the field out."
            )
    if not family.varies and config.variation != VariationConfig():
        changed = [field for field, value in config.variation if value != getattr(VariationConfig(), field)]
        able = ", ".join(family.form for family in FAMILIES.values() if family.varies)
        raise ConfigError(
            f"{name} would ignore {', '.join(f'env.variation.{field}' for field in changed)}; only {able} can be "
            "varied. Leave the section out."
        )
    if config.terminate_action and not family.terminates:
        able = ", ".join(family.form for family in FAMILIES.values() if family.terminates)
        raise ConfigError(
            f"{name} has no action that ends an episode (env.terminate_action); {able} have one. Leave the field out."
        )
    return family
