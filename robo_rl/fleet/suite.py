"""What "good" means for a task: a suite of variations, each judged on the same fixed episode seeds."""

import fnmatch
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

import pydantic
import yaml
from pydantic import Field

from robo_rl import presets, resources
from robo_rl.checkpoints.manifest import differences
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.config import Config, EnvConfig, Section
from robo_rl.errors import ConfigError, nearest
from robo_rl.experiment import evaluation_env_config
from robo_rl.files import as_path
from robo_rl.seeds import evaluation_episodes


class Variation(Section):
    """One way in which the task is posed."""

    description: str = Field(default="", description="What differs from the training task, for people.")
    env: dict[str, Any] = Field(
        default={}, description="Fields of `env` (EnvConfig) that differ from the run's; sections may be nested."
    )


class PromotionRule(Section):
    """When a checkpoint may take the place of the one that `best` points to."""

    min_episodes: int = Field(default=50, ge=2, description="Episodes of evidence, over all variations.")
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="One-sided, of the paired bootstrap.")
    margin: float = Field(
        default=0.0, ge=0, description="Least gain, in success rate where the task knows success, else in return."
    )
    min_score: float | None = Field(
        default=None, description="Least mean score of the evidence, in the same unit; none: the first needs none."
    )
    resamples: int = Field(default=10_000, ge=1000, description="Resamples of the bootstrap.")


class Suite(Section):
    """A file of configs/evaluation; its name is the file's."""

    name: str = Field(description="Folder of the results in RUN/evaluations; from the file's name.")
    description: str = ""
    task: str = Field(description="Environments it is for, as a pattern: grasp/*, suite/cheetah-run.")
    observation: Literal["state", "camera"] | None = Field(
        default=None, description="Only for runs with this env.observation; none: for all."
    )
    episodes: int = Field(default=100, ge=2, description="Episodes of each variation; a multiple of block_episodes.")
    block_episodes: int = Field(default=25, ge=1, description="Episodes of one unit of work.")
    envs: int = Field(default=25, ge=1, description="Simulations stepped together; fixed, so that results repeat.")
    first_seed: int = Field(default=0, ge=0, lt=2**29, description="Episode seeds are first_seed, first_seed + 1, ...")
    variations: dict[str, Variation] = Field(default={"nominal": Variation()}, min_length=1)
    promotion: PromotionRule = PromotionRule()

    @pydantic.model_validator(mode="after")
    def _whole_blocks(self) -> Self:
        if self.episodes % self.block_episodes or self.blocks < 2:
            raise ValueError(
                f"episodes ({self.episodes}) must be at least two times block_episodes ({self.block_episodes}) and a "
                "multiple of it: promotion chooses on one half of the blocks and confirms on the other"
            )
        for name in [self.name, *self.variations]:
            if not re.fullmatch(r"[a-z0-9_]+(-[a-z0-9_]+)*", name):
                raise ValueError(f"{name!r} becomes a folder: use lower-case letters, digits, _ and -")
        return self

    @property
    def blocks(self) -> int:
        """Blocks of each variation."""
        return self.episodes // self.block_episodes

    def seeds(self, block: int) -> list[int]:
        """The episode seeds of one block; the same for every variation and checkpoint."""
        return evaluation_episodes(self.first_seed + block * self.block_episodes, self.block_episodes)


def load_suite(name: str) -> Suite:
    """The suite of a YAML file, or the shipped one of that name.

    Raises:
        ConfigError: no such suite (the nearest are listed), not YAML, an unknown field or a value out of range.
    """
    shipped = _shipped()
    path = as_path(name) if as_path(name).is_file() else shipped.get(name)
    if path is None:
        raise ConfigError(
            f"There is no suite {name!r} (--suite): no such file, and no shipped suite of that name. Nearest: "
            f"{', '.join(nearest(name, shipped))}."
        )
    try:
        data = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds no fields. A suite needs at least `task`.")
    return parse_suite({"name": path.stem, **data}, str(path))


def parse_suite(data: Any, source: str) -> Suite:
    """A suite from nested dicts; `source` is named in errors.

    Raises:
        ConfigError: one line for each wrong field.
    """
    try:
        suite = Suite.model_validate(data)
    except pydantic.ValidationError as error:
        lines = "\n".join(f"  {presets.explain(entry, Suite)}" for entry in error.errors())
        raise ConfigError(f"{source}:\n{lines}") from None
    for variation in suite.variations:
        # Shows misspelt fields now; whether the task takes them is known when its environment is made.
        environment(suite, variation, EnvConfig(), source)
    return suite


def run_config(run: RunFolder) -> Config:
    """The configuration of a run that is to be judged.

    Raises:
        UserError: no run folder.
        ConfigError: it has fields that this version does not know or allow; names the file, and each of them.
    """
    try:
        return presets.validate(run.config(), str(run.config_file))
    except ConfigError as error:
        raise ConfigError(
            f"{error}\nIf another version of robo_rl made this run, judge it with that one; its manifest.json names it."
        ) from error


def suite_for(env: EnvConfig) -> Suite:
    """The shipped suite for an environment.

    Raises:
        ConfigError: there is none.
    """
    for name in sorted(_shipped()):
        suite = load_suite(name)
        if _is_for(suite, env):
            return suite
    raise ConfigError(
        f"No shipped suite is for {env.name} ({env.observation}). Write one (see configs/evaluation) and give it with "
        "--suite."
    )


def environment(suite: Suite, variation: str, base: EnvConfig, source: str | None = None) -> EnvConfig:
    """The `env` of a variation: `base` with its fields put over it.

    Raises:
        ConfigError: an unknown field or a value out of range; names suite, variation and field.
    """
    fields = presets.overlaid(base.model_dump(), suite.variations[variation].env)
    if fields["reward_noise"]:
        raise ConfigError(
            f"{source or f'suite {suite.name}'}:\n"
            f"  variations.{variation}.env.reward_noise is {fields['reward_noise']}: "
            "noise is for training rewards, and evaluation reports true ones. Leave the field out."
        )
    try:
        return EnvConfig.model_validate(fields)
    except pydantic.ValidationError as error:
        lines = "\n".join(
            f"  variations.{variation}.env.{presets.explain(entry, EnvConfig)}" for entry in error.errors()
        )
        raise ConfigError(f"{source or f'suite {suite.name}'}:\n{lines}") from None


def evaluation_environment(suite: Suite, variation: str, config: Config) -> EnvConfig:
    """What a run's checkpoints are judged in: its task, objects of its evaluation family, and the variation's fields.

    Raises:
        ConfigError: the suite is for another task, or as `environment`.
    """
    if not _is_for(suite, config.env):
        raise ConfigError(
            f"The suite {suite.name} is for {suite.task} ({suite.observation or 'any observation'}), and this run's "
            f"task is {config.env.name} ({config.env.observation}). Choose a suite for it (--suite); "
            "configs/evaluation holds those that are shipped."
        )
    return environment(suite, variation, evaluation_env_config(config))


def resolved(suite: Suite, config: Config) -> Suite:
    """The suite as it judges one run: its task alone, and in each variation every field of the environment.

    What a run's `evaluation` says of the environment may change when it is resumed; this does not change with it.

    Raises:
        ConfigError: as `evaluation_environment`.
    """
    variations = {
        name: variation.model_copy(update={"env": evaluation_environment(suite, name, config).model_dump(mode="json")})
        for name, variation in suite.variations.items()
    }
    return suite.model_copy(update={"task": config.env.name, "variations": variations})


def scenario_of(suite: Suite, variation: str) -> Callable[[Config], tuple[EnvConfig, int]]:
    """From a run's config to the environment of a variation and how many simulations of it are stepped together.

    Raises:
        ConfigError: the suite has no such variation; and when called, as `evaluation_environment`.
    """
    if variation not in suite.variations:
        raise ConfigError(
            f"The suite {suite.name} has no variation {variation!r} (--variation). Nearest: "
            f"{', '.join(nearest(variation, suite.variations))}."
        )
    return lambda config: (evaluation_environment(suite, variation, config), suite.envs)


def incompatibilities(old: Suite, new: Suite) -> list[str]:
    """In what `new` differs so that results of `old` are none of it. More episodes or variations do not count."""
    found = [
        f"{name}: {getattr(old, name)} -> {getattr(new, name)}"
        for name in ("task", "block_episodes", "envs", "first_seed")
        if getattr(old, name) != getattr(new, name)
    ]
    for name in sorted(old.variations.keys() & new.variations.keys()):
        fields = differences(old.variations[name].env, new.variations[name].env)
        found += [f"variations.{name}.env.{field}" for field in fields]
    return found


def _is_for(suite: Suite, env: EnvConfig) -> bool:
    return fnmatch.fnmatchcase(env.name, suite.task) and suite.observation in (None, env.observation)


def _shipped() -> dict[str, Path]:
    return {file.stem: file for file in (resources.configs() / "evaluation").glob("*.yaml")}
