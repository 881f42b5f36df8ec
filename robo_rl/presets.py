"""From a preset and dotted flags to a checked config; every mistake names its field and what is allowed."""

import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic
import tyro
import yaml

from robo_rl import resources
from robo_rl.config import Config
from robo_rl.errors import ConfigError, nearest


def find(name: str) -> Path:
    """The file of a preset given by path or by bare name (`grasp_cube`).

    Raises:
        ConfigError: there is none; the nearest names are listed.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = {file.stem: file for file in resources.configs().glob("*.yaml")}
    if path.stem in shipped and path.suffix in ("", ".yaml") and (str(path.parent) in (".", "configs")):
        return shipped[path.stem]
    raise ConfigError(
        f"There is no config {name!r}: no such file, and no preset of that name. Nearest presets: "
        f"{', '.join(nearest(path.stem, shipped))}."
    )


def load(path: Path) -> Config:
    """The config of a YAML file, which names only the fields in which it differs from the defaults.

    Raises:
        ConfigError: not YAML, an unknown field (with a suggestion) or a value out of range.
    """
    data = read_yaml(path)
    if is_comparison(data):
        raise ConfigError(f"{path} is a comparison, not a training run: start it with `robo-rl compare`.")
    return validate({} if data is None else data, str(path))


def read_yaml(path: Path) -> Any:
    """What a YAML file holds; None if it is empty.

    Raises:
        ConfigError: it cannot be read, or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}") from error


def is_comparison(data: Any) -> bool:
    """Whether the content of a preset describes a comparison of losses, and not one training run."""
    return isinstance(data, dict) and "losses" in data


def comparisons() -> list[str]:
    """Names of the shipped presets that are comparisons."""
    return sorted(file.stem for file in resources.configs().glob("*.yaml") if is_comparison(read_yaml(file)))


def validate(data: Any, source: str) -> Config:
    """A config from nested dicts; `source` is named in errors.

    Raises:
        ConfigError: one line for each wrong field.
    """
    try:
        return Config.model_validate(data)
    except pydantic.ValidationError as error:
        raise ConfigError(f"{source}:\n" + "\n".join(f"  {explain(entry)}" for entry in error.errors())) from None


def parse(preset: str, flags: Sequence[str]) -> Config:
    """The preset with dotted flags applied (`--learner.batch-size 512`). `--help` prints every field and exits.

    Raises:
        ConfigError: as `load`.
        SystemExit: tyro refused a flag (it prints which, and what is near); exit code 2.
    """
    default = load(find(preset))
    config = tyro.cli(
        tyro.conf.AvoidSubcommands[Config],
        default=default,
        args=list(flags),
        prog=f"robo-rl train {preset}",
        description=f"Fields of {preset}, with their defaults there.",
    )
    return config


def explain(entry: Any, schema: type[pydantic.BaseModel] = Config) -> str:
    """One line on one of pydantic's errors: the field of `schema`, its value, what is allowed, the nearest names."""
    path, value = _without_kinds(entry["loc"], schema), entry.get("input")
    if entry["type"] == "union_tag_invalid":
        path, value = [*path, "kind"], value["kind"]
    field = ".".join(str(part) for part in path) or "(the whole file)"
    if entry["type"] == "extra_forbidden":
        known = _fields_at(entry["loc"][:-1], schema)
        close = nearest(str(entry["loc"][-1]), known, 3)
        return f"{field}: there is no such field. Nearest: {', '.join(close)}."
    shown = "" if isinstance(value, dict) else f" is {value!r}"
    return f"{field}{shown}: {entry['msg']}."


def _without_kinds(path: Sequence[Any], schema: Any) -> list[Any]:
    """pydantic's path to a field as a user writes it: between `agent` and its fields it names the kind of agent."""
    return [part for at, part in enumerate(path) if not _kinds(_section_at(path[:at], schema))]


def _fields_at(path: Sequence[Any], schema: Any) -> list[str]:
    return list(getattr(_section_at(path, schema), "model_fields", {}))


def _section_at(path: Sequence[Any], schema: Any) -> Any:
    """What stands at pydantic's `path`: a section, a choice of sections by kind, or the type of a plain field."""
    section = schema
    for part in path:
        fields = getattr(section, "model_fields", {})
        section = fields[part].annotation if part in fields else _kinds(section).get(part)
    return section


def _kinds(section: Any) -> dict[str, Any]:
    """kind -> section, for a choice of sections; else empty."""
    members = [member for member in typing.get_args(section) if "kind" in getattr(member, "model_fields", {})]
    return {member.model_fields["kind"].default: member for member in members}


def flag_value(arguments: list[str], flag: str) -> str | None:
    """Take `flag VALUE` or `flag=VALUE` out of `arguments`; its value, None if it is not there.

    Raises:
        ConfigError: the flag stands last, without a value.
    """
    for index, argument in enumerate(arguments):
        if argument == flag:
            if index + 1 == len(arguments):
                raise ConfigError(f"{flag} needs a value. `{Path(sys.argv[0]).name} --help` shows how.")
            value = arguments[index + 1]
            del arguments[index : index + 2]
            return value
        if argument.startswith(f"{flag}="):
            del arguments[index]
            return argument.partition("=")[2]
    return None


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dicts laid over each other; where both have a field, `above` counts."""
    both = {
        name: overlaid(below[name], value)
        for name, value in above.items()
        if isinstance(value, Mapping) and isinstance(below.get(name), Mapping)
    }
    return {**below, **above, **both}
