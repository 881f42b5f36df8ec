"""Published scores on the dm_control suite, beside which our own can be set.

`published.csv` travels with the package. Each row is a mean over seeds that was computed from the result files that the
authors keep in their repositories; `source` names the file and the commit. Steps are environment steps.
"""

import csv
import functools
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("published.csv")

STEP_TOLERANCE = 0.01
"""How far apart, relative to the published one, two step counts may be to count as the same."""


class Published(NamedTuple):
    """One method on one task at one step.

    task: cartpole-swingup    mean, std: over seeds, of the return (environment units); one seed alone has no std
    """

    method: str
    task: str
    env_steps: int
    mean: float
    std: float | None
    seeds: int
    source: str


class PublishedOver(NamedTuple):
    """One method over several tasks at one step: mean and median of the tasks' means, and the fewest seeds of any."""

    method: str
    mean: float
    median: float
    seeds: int


@functools.cache
def published() -> tuple[Published, ...]:
    """Every row of the file, in its order: methods one after another, steps ascending."""
    with FILE.open(newline="", encoding="utf-8") as file:
        return tuple(
            Published(
                row["method"],
                row["task"],
                int(row["env_steps"]),
                float(row["mean"]),
                float(row["std"]) if row["std"] else None,
                int(row["seeds"]),
                row["source"],
            )
            for row in csv.DictReader(file)
        )


def published_at(task: str, steps: list[int]) -> list[Published]:
    """What was published for one of our tasks at steps that we have scores at; none for tasks outside the suite.

    task: the name of our environment, suite/cartpole-swingup    steps: environment steps of our evaluations
    """
    family, _, name = task.partition("/")
    if family != "suite":
        return []
    name = name.replace("_", "-")  # dm_control writes finger-turn_hard, the tables finger-turn-hard
    return [row for row in published() if row.task == name and any(_same(row.env_steps, step) for step in steps)]


def published_over(tasks: Sequence[str], env_steps: int) -> list[PublishedOver]:
    """Every method that was published on all of `tasks` (names of our environments) at `env_steps`, in file order."""
    by_method: dict[str, list[Published]] = {}
    for task in tasks:
        for row in published_at(task, [env_steps]):
            by_method.setdefault(row.method, []).append(row)
    return [
        PublishedOver(
            method,
            statistics.fmean(row.mean for row in rows),
            statistics.median(row.mean for row in rows),
            min(row.seeds for row in rows),
        )
        for method, rows in by_method.items()
        if len({row.task for row in rows}) == len(tasks)
    ]


def _same(theirs: int, ours: int) -> bool:
    return abs(theirs - ours) <= STEP_TOLERANCE * theirs
