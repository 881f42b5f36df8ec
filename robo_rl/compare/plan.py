"""What a comparison is: its file's schema, the cells it consists of, and the training config of each."""

import copy
import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import pydantic
from pydantic import Field

from robo_rl import presets
from robo_rl.config import Config, Section
from robo_rl.errors import ConfigError, nearest


def _number(value: Any) -> Any:
    """Text that is a number, as that number: YAML 1.1 reads 3e-4 as text."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


Scalar = Annotated[bool | int | float | str | None, pydantic.BeforeValidator(_number)]

SET_BY_THE_PLAN: Mapping[str, str] = {
    "env.name": "tasks",
    "agent.critic.loss": "losses",
    "seed": "seeds",
    "env_steps": "env_steps",
    "checkpoint.policy_every": "evaluate_every",
    "checkpoint.run_every": "checkpoint_every",
    "evaluation.episodes": "evaluation_episodes",
    "evaluation.final_episodes": "final_evaluation_episodes",
}
"""Field of the training config -> the field of the comparison that decides it; no override and no axis may."""

WITHOUT_EFFECT: Mapping[str, str] = {
    "data.": "its members learn from their own actors alone",
    "runtime": "a cell is one process that steps its members together",
    "actor.processes": "each member has one actor, whose simulations lie in --workers processes",
    "actor.max_restarts": "a cell that crashes is tried once more",
    "learner.max_lead_env_steps": "a member acts and learns in turn",
    "checkpoint.keep_newest": "a cell keeps what it resumes from and its last policies",
    "checkpoint.keep_best": "a cell keeps what it resumes from and its last policies",
    "evaluation.enabled": "every cell is judged, or there would be no scores",
    "evaluation.video": "a cell films nothing; evaluate its policies",
}
"""Field of the training config (or section, with a dot at its end) that a comparison has no use for -> why.

A preset may hold them for `robo-rl train`; asked for in a comparison they would promise what does not happen.
"""


class CompareConfig(Section):
    """A comparison: every loss on every task (and every value of every axis) with the same seeds and budget."""

    question: str = Field(description="What is to be answered; the first line of the report.")
    base: str = Field(default="dmc", description="Training preset, by name or path, that every cell starts from.")
    overrides: dict[str, Scalar] = Field(
        default={}, description="Dotted fields of the training config -> value, for every cell."
    )
    losses: list[str] = Field(min_length=1, description="Value heads to compare: mse, hl_gauss, ...")
    tasks: list[str] = Field(min_length=1, description="Environments: suite/cheetah-run, ...")
    seeds: list[int] = Field(min_length=1, description="Reporting seeds: the members of each cell's population.")
    tuning_seeds: list[int] = Field(
        default=[], description="Seeds on which the configuration was chosen; none may be a reporting seed."
    )
    axes: dict[str, list[Scalar]] = Field(
        default={}, description="Further axes: dotted field of the training config -> its values."
    )
    heads: dict[str, dict[str, Scalar]] = Field(
        default={}, description="Settings that one loss has for itself: loss -> field of agent.critic -> its value."
    )
    env_steps: int = Field(ge=1, description="Budget of every member (environment steps).")
    evaluate_every: int = Field(default=10_000, ge=1, description="Environment steps between evaluations.")
    evaluation_episodes: int = Field(default=10, ge=1, description="Episodes of each evaluation of a member.")
    final_evaluation_episodes: int = Field(default=20, ge=1, description="Episodes of the evaluation at the end.")
    checkpoint_every: int = Field(
        default=25_000, ge=1, description="Environment steps between the checkpoints that a cell resumes from."
    )
    workers: int | None = Field(
        default=None, ge=1, le=256, description="Simulation processes of one cell; none: the cores over the jobs."
    )


@dataclasses.dataclass(frozen=True)
class Cell:
    """One loss with one value of each axis on one task; its seeds train together as one population.

    axes: dotted field -> value
    """

    loss: str
    axes: dict[str, Any]
    task: str

    def __hash__(self) -> int:
        """Cells are told apart by name."""
        return hash(self.name)

    @property
    def name(self) -> str:
        """A name that no other cell of the comparison has, of letters, digits and `_.=+-`."""
        parts = [self.loss, self.task, *(f"{field}={value}" for field, value in self.axes.items())]
        return "-".join(re.sub(r"[^\w.=+-]", "_", part) for part in parts)


def cells(plan: CompareConfig) -> list[Cell]:
    """Every cell, task by task, so that an interrupted comparison has whole tasks first."""
    combinations = [dict(zip(plan.axes, values, strict=True)) for values in itertools.product(*plan.axes.values())]
    return [Cell(loss, axes, task) for task in plan.tasks for axes in combinations for loss in plan.losses]


def training_config(plan: CompareConfig, cell: Cell, base: Config) -> Config:
    """The config of a cell's members, with the first of the seeds; all else comes from `base` and the overrides.

    Raises:
        ConfigError: an override or axis that is no field of the training config, or a value it cannot have.
    """
    budget = {
        "seed": plan.seeds[0],
        "env_steps": plan.env_steps,
        "checkpoint.policy_every": plan.evaluate_every,
        "checkpoint.run_every": plan.checkpoint_every,
        "evaluation.episodes": plan.evaluation_episodes,
        "evaluation.final_episodes": plan.final_evaluation_episodes,
        "evaluation.enabled": True,
    }
    head = {f"agent.critic.{name}": value for name, value in plan.heads.get(cell.loss, {}).items()}
    own = {"env.name": cell.task, "agent.critic.loss": cell.loss, **head, **cell.axes}
    return with_fields(base, {**plan.overrides, **budget, **own}, f"cell {cell.name}")


def with_fields(config: Config, fields: Mapping[str, Any], source: str) -> Config:
    """`config` with dotted `fields` replaced; `source` is named in errors.

    Raises:
        ConfigError: a field that does not exist (with the nearest), or a value it cannot have.
    """
    data = config.model_dump(mode="json")
    known = field_names(data)
    for name, value in fields.items():
        if name not in known:
            raise ConfigError(
                f"{source}: the training config has no field {name!r}. Nearest: {', '.join(nearest(name, known, 3))}."
            )
        section, last = _place(data, name)
        section[last] = value
    return presets.validate(data, source)


def field_names(data: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The dotted names of all fields of a nested dict, sections themselves left out."""
    names: list[str] = []
    for name, value in data.items():
        names += field_names(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [prefix + name]
    return names


def separate_fields(plan: Mapping[str, Any]) -> list[str]:
    """The dotted fields in which cells of `plan` differ by intent: those of its axes, and what a head has for itself.

    plan: as a dict; one that was written down before heads could have settings has none
    """
    return [*plan["axes"], *(f"agent.critic.{name}" for own in plan.get("heads", {}).values() for name in own)]


def shared_part(config: Mapping[str, Any], separate: Iterable[str]) -> dict[str, Any]:
    """What all cells must share: a training config (nested dict) without loss, task, seed and the `separate` fields.

    How often a resume point is written is left out as well: no score depends on it.
    """
    data = copy.deepcopy(dict(config))
    for name in dict.fromkeys(("env.name", "agent.critic.loss", "seed", "checkpoint.run_every", *separate)):
        section, last = _place(data, name)
        del section[last]
    return data


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """A training config that was written down earlier, with the defaults of fields that are younger than it.

    What was trained before a field existed did what the field's default does. Fields that are gone stay as they are.
    """
    kind = {"kind": config["agent"]["kind"]} if "kind" in config["agent"] else {}
    return presets.overlaid(Config.model_validate({"agent": kind}).model_dump(mode="json"), config)


def shared_part_hash(config: Mapping[str, Any], separate: Iterable[str]) -> str:
    """sha256 of `shared_part`: equal for all cells of a comparison, the proof that nothing else differed."""
    return hashlib.sha256(json.dumps(shared_part(config, separate), sort_keys=True).encode()).hexdigest()


def _place(data: dict[str, Any], name: str) -> tuple[dict[str, Any], str]:
    """The section of nested dicts that holds the field with this dotted name, and the name that it has there."""
    *sections, last = name.split(".")
    for part in sections:
        data = data[part]
    return data, last
