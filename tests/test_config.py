import ast
from pathlib import Path

import pydantic
import pytest

import robo_rl
from robo_rl import config
from robo_rl.config import Config, NetworkConfig, SACConfig, Section

SECTIONS = [thing for thing in vars(config).values() if isinstance(thing, type) and issubclass(thing, Section)]
FIELDS = [(section, name) for section in SECTIONS for name in section.model_fields]


def test_the_defaults_are_valid():
    assert Config.model_validate(Config().model_dump()) == Config()
    assert Config.model_validate(Config().model_dump(mode="json")) == Config()


def test_a_config_does_not_change_after_parsing():
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        Config().seed = 1


@pytest.mark.parametrize("section", SECTIONS)
def test_no_section_takes_an_unknown_field(section):
    with pytest.raises(pydantic.ValidationError, match="extra_forbidden"):
        section.model_validate({"no_such_field": 1})


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        (SACConfig, "discount", 1.0),
        (SACConfig, "discount", 0.0),
        (SACConfig, "learning_rate", float("nan")),
        (SACConfig, "learning_rate", float("inf")),
        (SACConfig, "target_rate", 1.1),
        (SACConfig, "n_step", 0),
        (NetworkConfig, "width", 0),
        (NetworkConfig, "kind", "transformer"),
        (Config, "seed", -1),
        (Config, "seed", 2**31),
        (Config, "env_steps", 0),
    ],
)
def test_values_out_of_range_are_refused(section, field, value):
    with pytest.raises(pydantic.ValidationError):
        section.model_validate({field: value})


def test_every_plain_field_says_what_it_is():
    silent = [
        f"{section.__name__}.{name}"
        for section, name in FIELDS
        if not section.model_fields[name].description
        and name != "kind"
        and not isinstance(section.model_fields[name].default, Section)
    ]
    assert silent == []


def attributes_read() -> set[str]:
    """Every name that stands behind a dot anywhere in the package but in the schema itself."""
    folder = Path(robo_rl.__file__).parent
    files = [path for path in folder.rglob("*.py") if path.name != "config.py"]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text()))]
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def test_no_field_is_accepted_and_never_read():
    # What a field changes is tested where it is used; this finds the one that nobody uses at all (traps B9, D6).
    read = attributes_read()
    assert [f"{section.__name__}.{name}" for section, name in FIELDS if name not in read] == []
