"""From a comparison file and flags to a plan that can run; every mistake is said before any process starts."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pydantic
import yaml

from robo_rl import presets, seeds
from robo_rl.compare.plan import (
    SET_BY_THE_PLAN,
    WITHOUT_EFFECT,
    Cell,
    CompareConfig,
    cells,
    field_names,
    training_config,
)
from robo_rl.config import Config, HeadConfig
from robo_rl.critics.heads import HEADS, unread_fields
from robo_rl.errors import ConfigError, nearest
from robo_rl.experiment import check as check_training
from robo_rl.experiment import check_fields


def load(path: Path) -> CompareConfig:
    """The comparison of a YAML file.

    Raises:
        ConfigError: not YAML, not a comparison, an unknown field (with a suggestion) or a value out of range.
    """
    data = presets.read_yaml(path)
    if not presets.is_comparison(data):
        raise ConfigError(
            f"{path} is no comparison: it names no losses. Train it with `robo-rl train`, or compare with one of "
            f"{', '.join(presets.comparisons())}."
        )
    return validate(data, str(path))


def validate(data: Any, source: str) -> CompareConfig:
    """A plan from nested dicts; `source` is named in errors.

    Raises:
        ConfigError: one line for each wrong field.
    """
    try:
        return CompareConfig.model_validate(data)
    except pydantic.ValidationError as error:
        lines = [f"  {presets.explain(entry, CompareConfig)}" for entry in error.errors()]
        raise ConfigError(f"{source}:\n" + "\n".join(lines)) from None


def parse(preset: str, flags: Sequence[str]) -> CompareConfig:
    """The preset with flags applied: `--seeds 7 8`, and any dotted field of the training config for every cell.

    A flag that is a field of CompareConfig replaces it, a list taking several values; `--heads.c51.bins 101` sets what
    one loss has for itself; any other goes to `overrides`.

    Raises:
        ConfigError: as `load`, and for a flag that is neither.
    """
    plan = load(presets.find(preset))
    data = plan.model_dump(mode="json")
    training = field_names(Config().model_dump(mode="json"))
    for name, words in _flags(flags).items():
        values = [_value_of(name, word) for word in words]
        if name in CompareConfig.model_fields:
            if isinstance(data[name], dict):
                raise ConfigError(
                    f"{name} is a table: write it in a file. A single override is --FIELD VALUE, a setting of one head "
                    "--heads.LOSS.FIELD VALUE."
                )
            data[name] = values if isinstance(data[name], list) else _only(name, values)
        elif match := re.fullmatch(r"heads\.(\w+)\.(\w+)", name):
            data["heads"].setdefault(match[1], {})[match[2]] = _only(name, values)
        elif name in training:
            data["overrides"][name] = _only(name, values)
        else:
            known = [*CompareConfig.model_fields, *training]
            close = ", ".join(f"--{near}" for near in nearest(name, known))
            raise ConfigError(f"There is no flag --{name}. Nearest: {close}.")
    return validate(data, f"{preset} with flags")


def _only(name: str, values: Sequence[Any]) -> Any:
    if len(values) != 1:
        raise ConfigError(f"--{name} takes one value, not {list(values)}.")
    return values[0]


def _value_of(name: str, word: str) -> Any:
    """What a word of the command line stands for: itself where the field is text, else what YAML reads in it."""
    field = CompareConfig.model_fields.get(name)
    if field is not None and field.annotation in (str, list[str]):
        return word
    try:
        return yaml.safe_load(word)
    except yaml.YAMLError as error:
        raise ConfigError(f"--{name}: {word!r} cannot be read as a value ({error}).") from error


def _flags(arguments: Sequence[str]) -> dict[str, list[str]]:
    """`--learner.batch-size 8 --seeds=1` -> {"learner.batch_size": ["8"], "seeds": ["1"]}; later flags win."""
    found: dict[str, list[str]] = {}
    name = None
    for argument in arguments:
        if argument.startswith("--"):
            flag, equals, value = argument.removeprefix("--").partition("=")
            name = flag.replace("-", "_")
            found[name] = [value] if equals else []
        elif name is None:
            raise ConfigError(f"{argument!r} belongs to no flag; flags are --FIELD VALUE.")
        else:
            found[name].append(argument)
    return found


def help_text() -> str:
    """Every field of a comparison, with its meaning and default."""
    lines = []
    for name, field in CompareConfig.model_fields.items():
        default = "" if field.is_required() else f" (default: {field.get_default(call_default_factory=True)})"
        lines.append(f"  --{name.replace('_', '-'):27} {field.description}{default}")
    lines.append("  --heads.LOSS.FIELD           one setting of one head, such as --heads.c51.bins 101")
    lines.append("  --SECTION.FIELD              any field of the training config (robo-rl train --help)")
    return "\n".join(lines)


def checked_configs(plan: CompareConfig) -> dict[Cell, Config]:
    """The training config of every cell, in the order in which they are trained.

    Raises:
        ConfigError: names what cannot run: a loss, task, axis, override or seed, and what is allowed or near.
    """
    _check_seeds(plan)
    _refuse_repeats("losses", plan.losses)
    _check_losses("losses", plan.losses)
    _check_heads(plan)
    _refuse_repeats("tasks", plan.tasks)
    _check_fields(plan)
    base = presets.load(presets.find(plan.base))
    planned = cells(plan)
    if len({cell.name for cell in planned}) < len(planned):
        raise ConfigError("Two cells of the comparison are the same: an axis names a value twice. Name each once.")
    configs = {cell: training_config(plan, cell, base) for cell in planned}
    simulated = set()
    if base.data.path is not None or base.data.share == 1:
        raise ConfigError(
            f"base: {plan.base} learns from recorded episodes, which a comparison cannot: {WITHOUT_EFFECT['data.']}. "
            "Choose a preset that names no data."
        )
    for config in configs.values():
        check_fields(config)
        for episodes in (plan.evaluation_episodes, plan.final_evaluation_episodes):
            seeds.evaluation_episodes(config.evaluation.first_seed, episodes)
        if config.env not in simulated:
            check_training(config)
            simulated.add(config.env)
    return configs


def _check_seeds(plan: CompareConfig) -> None:
    both = sorted(set(plan.seeds) & set(plan.tuning_seeds))
    if both:
        raise ConfigError(
            f"seeds and tuning_seeds share {both}: scores on seeds that the configuration was chosen on flatter it. "
            "Report on other seeds."
        )
    _refuse_repeats("seeds", plan.seeds)
    wrong = [seed for seed in [*plan.seeds, *plan.tuning_seeds] if not 0 <= seed < 2**31]
    if wrong:
        raise ConfigError(f"seeds must lie in [0, 2^31), not {wrong}.")


def _check_losses(field: str, losses: Iterable[str]) -> None:
    for name in losses:
        if name not in HEADS:
            raise ConfigError(
                f"{field} names {name!r}; allowed: {', '.join(HEADS)}. Did you mean {nearest(name, HEADS, 1)[0]!r}?"
            )


def _check_heads(plan: CompareConfig) -> None:
    """Settings of a loss that is not compared may stand there: another command compares it."""
    _check_losses("heads", plan.heads)
    for loss, own in plan.heads.items():
        read = sorted(HeadConfig.model_fields.keys() - {"loss"} - unread_fields(HeadConfig(loss=loss)))
        for name in own:
            if name not in read:
                own_fields = ", ".join(read) or "nothing"
                raise ConfigError(
                    f"heads: {loss} makes nothing of {name!r}; what it can have for itself: {own_fields}."
                )
            if (field := f"agent.critic.{name}") in plan.axes:
                raise ConfigError(f"heads: {field} is an axis, the same for every loss. Leave out one.")


def _refuse_repeats(field: str, given: Sequence[Any]) -> None:
    repeated = sorted({value for value in given if given.count(value) > 1})
    if repeated:
        raise ConfigError(f"{field} names {repeated} more than once. Name each once.")


def _check_fields(plan: CompareConfig) -> None:
    known = field_names(Config().model_dump(mode="json"))
    for place, fields in (("overrides", plan.overrides), ("axes", plan.axes)):
        for name in fields:
            if name in SET_BY_THE_PLAN:
                raise ConfigError(f"{place}: {name} is decided by the comparison's own field {SET_BY_THE_PLAN[name]}.")
            if why := [reason for field, reason in WITHOUT_EFFECT.items() if _is_of(name, field)]:
                raise ConfigError(f"{place}: {name} changes nothing in a comparison: {why[0]}. Leave it out.")
            if name not in known:
                raise ConfigError(
                    f"{place}: the training config has no field {name!r}. "
                    f"Nearest: {', '.join(nearest(name, known, 3))}."
                )
    for name, values in plan.axes.items():
        if not values:
            raise ConfigError(f"axes: {name} has no values. Give at least one.")
        if name in plan.overrides:
            raise ConfigError(f"{name} is both an axis and an override. Leave out one.")


def _is_of(name: str, field: str) -> bool:
    """Whether a dotted name is `field`, or lies in it where that is a section."""
    return name.startswith(field) if field.endswith(".") else name == field
