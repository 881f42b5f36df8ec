"""scores.csv: every evaluation of every seed, read with a check of each line, and put on a common scale."""

import ast
import csv
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from robo_rl.errors import UserError

COLUMNS = ("loss", "task", "seed", "env_steps", "return", "success")
"""Columns that every scores.csv has; one more for each axis, named by its dotted field."""

SUITE_RETURN = 1000.0
"""The largest return of a dm_control suite task: 1000 control steps (or their repeats) of at most 1 each."""


class Group(NamedTuple):
    """What is compared: a loss at one value of each axis, over all tasks and seeds.

    axes: (dotted field, value) for each axis; empty without axes
    """

    loss: str
    axes: tuple[tuple[str, Any], ...] = ()


class Score(NamedTuple):
    """One evaluation of one seed.

    env_steps: environment steps of training before it    value: mean return (environment units)
    success: share of episodes that ended in success, 0..1; None for a task without that notion
    """

    group: Group
    task: str
    seed: int
    env_steps: int
    value: float
    success: float | None


def axis_value(value: Any) -> Any:
    """An axis value in the one form in which values of a CSV cell, of JSON and of YAML can be compared.

    Numbers, booleans and None written as text become what they say; other text stays text.
    """
    if not isinstance(value, str):
        return value
    for parse in (ast.literal_eval, json.loads):
        try:
            return parse(value)
        except (ValueError, SyntaxError):
            continue
    return value


def group_of(loss: str, axes: Mapping[str, Any], fields: Iterable[str]) -> Group:
    """The group of `loss` with the values that `axes` has for `fields`, in the order of `fields`."""
    return Group(loss, tuple((field, axis_value(axes[field])) for field in fields))


def read_scores(path: Path, axes: Sequence[str], losses: Collection[str], tasks: Collection[str]) -> list[Score]:
    """Every row of scores.csv, in the order of the file.

    axes: dotted fields that have a column    losses, tasks: what the comparison consists of

    Raises:
        UserError: the file is missing, lacks a column, or has a row that is not a score of this comparison; the line
            is named.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = [(reader.line_num, row) for row in reader]
            columns = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read ({error}). It is written by `robo-rl compare`: run that again on this folder."
        ) from error
    missing = [name for name in (*COLUMNS, *axes) if name not in columns]
    if missing:
        raise UserError(
            f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(columns) or 'none'}. The file is of "
            "another comparison or was edited; run `robo-rl compare` again on this folder to have it written anew."
        )
    # A resumed cell may judge a step again, on the same episodes: a row that says the same again counts once.
    scores: dict[tuple[Group, str, int, int], Score] = {}
    for line, row in rows:
        try:
            score = _score(row, axes, losses, tasks)
            if scores.setdefault(score[:4], score) != score:
                raise ValueError(
                    "an earlier line gives another score for the same loss, task, seed, env_steps and axes"
                )
        except ValueError as error:
            raise UserError(
                f"{path}, line {line}: {error}. Mend or remove the line, or let `robo-rl compare` write the file anew."
            ) from error
    return list(scores.values())


def quantity(score: Score) -> float:
    """What a task is judged by, in its own unit: the success rate where it knows one, else the return."""
    return score.value if score.success is None else score.success


def largest(score: Score) -> float | None:
    """The largest value that `quantity` can have, the least being 0; None if one of them is not known.

    1 for success, 1000 for the return of a whole suite episode. The rewards of lqr have no lower bound.
    """
    if score.success is not None:
        return 1.0
    return SUITE_RETURN if score.task.startswith("suite/") and not score.task.startswith("suite/lqr-") else None


def normalised(score: Score) -> float:
    """The score on a common scale, 0..1.

    Raises:
        ValueError: the task has no known largest value, so its scores cannot be averaged with those of others.
    """
    bound = largest(score)
    if bound is None:
        raise ValueError(f"task {score.task!r} has neither a success rate nor a known largest return")
    return quantity(score) / bound


def _score(row: Mapping[str, Any], axes: Sequence[str], losses: Collection[str], tasks: Collection[str]) -> Score:
    if None in row or None in row.values():
        raise ValueError("it has not as many cells as the header")
    for name, known in (("loss", losses), ("task", tasks)):
        if row[name] not in known:
            raise ValueError(f"{name} {row[name]!r} is not of this comparison, which has {', '.join(known)}")
    seed, env_steps = _whole(row, "seed"), _whole(row, "env_steps")
    value = _number(row, "return")
    success = None if row["success"] == "" else _number(row, "success")
    # A percentage here would make the task count a hundredfold in every average.
    if success is not None and not 0 <= success <= 1:
        raise ValueError(f"success is {success}; a rate lies in 0..1")
    return Score(group_of(row["loss"], row, axes), row["task"], seed, env_steps, value, success)


def _whole(row: Mapping[str, str], name: str) -> int:
    if not row[name].strip().isdecimal():
        raise ValueError(f"{name} is {row[name]!r}; it must be a whole number >= 0")
    return int(row[name])


def _number(row: Mapping[str, str], name: str) -> float:
    try:
        value = float(row[name])
    except ValueError:
        raise ValueError(f"{name} is {row[name]!r}; it must be a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}; it must be finite")
    return value
