"""What a comparison folder holds so far: the plan, the state of each cell, and the score matrices of each group."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from robo_rl.compare.cohorts import cohorts
from robo_rl.compare.plan import Cell
from robo_rl.compare.scores import SUITE_RETURN, Group, Score, group_of, largest, normalised, quantity, read_scores
from robo_rl.errors import UserError
from robo_rl.files import read_json

_PLAN_FIELDS = ("question", "losses", "tasks", "seeds", "env_steps")


class CellState(NamedTuple):
    """How far one cohort of a group got on one task.

    status: "finished", "failed", "running" or "not begun"    record: its cell.json, empty if not begun
    """

    group: Group
    task: str
    seeds: tuple[int, ...]
    status: str
    record: Mapping[str, Any]


class Results(NamedTuple):
    """A comparison as far as it got.

    plan: the resolved config of the comparison     about: comparison.json whole (versions, machine, command, ...)
    groups: every planned group, in the plan's order     cells: every cohort of every planned cell
    scores: every row of scores.csv
    """

    folder: Path
    plan: Mapping[str, Any]
    about: Mapping[str, Any]
    groups: tuple[Group, ...]
    cells: tuple[CellState, ...]
    scores: tuple[Score, ...]

    def finished(self, group: Group) -> list[str]:
        """The tasks that `group` finished with any seeds, in the plan's order."""
        done = {cell.task for cell in self.cells if cell.group == group and cell.status == "finished"}
        return [task for task in self.plan["tasks"] if task in done]

    def compared(self) -> tuple[list[Group], list[str]]:
        """The groups that finished any task, and the tasks that all of those finished: what aggregates are over.

        Averages over different tasks say nothing about the losses, so a task that one of the groups has not finished
        counts for none; nor does a task without a common scale.
        """
        groups = [group for group in self.groups if self.finished(group)]
        scaled = [task for task in self.plan["tasks"] if task not in self.without_scale()]
        return groups, [task for task in scaled if all(task in self.finished(group) for group in groups)]

    def without_scale(self) -> list[str]:
        """The tasks whose scores cannot be averaged with those of others: their largest value is not known."""
        found = {score.task for score in self.scores if largest(score) is None}
        found |= {cell.task for cell in self.cells if _is_cut_short(cell.record) and self._has_returns(cell.task)}
        return [task for task in self.plan["tasks"] if task in found]

    def _has_returns(self, task: str) -> bool:
        return any(score.success is None for score in self.scores if score.task == task)

    def common_seeds(self, group: Group, tasks: Sequence[str]) -> list[int]:
        """The seeds for which `group` finished every one of `tasks`, ascending."""
        done = [cell for cell in self.cells if cell.group == group and cell.status == "finished"]
        seeds = [{seed for cell in done if cell.task == task for seed in cell.seeds} for task in tasks]
        return sorted(set.intersection(*seeds)) if seeds else []


def read_results(folder: Path) -> Results:
    """Read a comparison folder, finished or not.

    Raises:
        UserError: it is no comparison folder, a file in it is damaged, no cell is finished, or a finished cell lacks
            scores.
    """
    about_file = folder / "comparison.json"
    if not about_file.is_file():
        raise UserError(
            f"{folder} is no comparison: it holds no comparison.json. Name a folder that `robo-rl compare` wrote."
        )
    about = read_json(about_file)
    plan = about.get("config") if isinstance(about, dict) else None
    missing = [name for name in _PLAN_FIELDS if not plan or name not in plan]
    if plan is None or missing:
        raise UserError(f"{about_file} lacks config.{', config.'.join(missing)}: damaged, or of another version.")
    axes: Mapping[str, list[Any]] = plan.get("axes") or {}
    groups = tuple(
        group_of(loss, dict(zip(axes, values, strict=True)), axes)
        for values in itertools.product(*axes.values())
        for loss in plan["losses"]
    )
    cells = tuple(
        CellState(group, task, tuple(cohort.seeds), cohort.status, cohort.record)
        for group in groups
        for task in plan["tasks"]
        for cohort in cohorts(folder / "cells", Cell(group.loss, dict(group.axes), task), plan["seeds"])
    )
    # Before the scores are read: a comparison that has only just begun may not have the file yet.
    if not any(cell.status == "finished" for cell in cells):
        counts = ", ".join(f"{sum(c.status == s for c in cells)} {s}" for s in ("failed", "running", "not begun"))
        raise UserError(
            f"No cell of {folder} is finished ({counts}), so there is nothing to report yet. Look into its cells/ for "
            "errors, and run the same `robo-rl compare` command again: it goes on where it stopped."
        )
    scores = read_scores(folder / "scores.csv", list(axes), plan["losses"], plan["tasks"])
    results = Results(folder, plan, about, groups, cells, tuple(scores))
    _check_complete(results)
    return results


def final_scores(results: Results, group: Group, tasks: Sequence[str]) -> np.ndarray:
    """Normalised scores `[seed, task]` of the last evaluation of each run of finished cells."""
    # The last and never the best: a maximum over noisy evaluations is too high, the more so the noisier a loss is.
    last = {(s.task, s.seed): normalised(s) for s in _of(results, group, tasks)}
    return np.array([[last[task, seed] for task in tasks] for seed in results.common_seeds(group, tasks)])


def raw_final_scores(results: Results, group: Group, task: str) -> list[float]:
    """The returns (success rates where the task knows them) of each seed's last evaluation of a finished cell."""
    last = {s.seed: quantity(s) for s in _of(results, group, [task])}
    return [last[seed] for seed in results.common_seeds(group, [task])]


def curves(
    results: Results,
    group: Group,
    tasks: Sequence[str],
    seeds: Sequence[int],
    of: Callable[[Score], float] = normalised,
) -> tuple[list[int], np.ndarray]:
    """Environment steps `[step]` at which every run has a score, and scores `[seed, task, step]`.

    of: what is taken of each score
    """
    by_run: dict[tuple[str, int], dict[int, float]] = {}
    for score in _of(results, group, tasks):
        by_run.setdefault((score.task, score.seed), {})[score.env_steps] = of(score)
    runs = [[by_run.get((task, seed), {}) for task in tasks] for seed in seeds]
    steps = sorted(set.intersection(*(set(run) for of_seed in runs for run in of_seed))) if seeds and tasks else []
    values = np.array([[[run[step] for step in steps] for run in of_seed] for of_seed in runs])
    return steps, values


def _of(results: Results, group: Group, tasks: Sequence[str]) -> list[Score]:
    """The scores of a group on `tasks`, earliest first, so that the last of a run overwrites the others in a dict."""
    found = (score for score in results.scores if score.group == group and score.task in tasks)
    return sorted(found, key=lambda score: score.env_steps)


def _is_cut_short(record: Mapping[str, Any]) -> bool:
    """Whether evaluation episodes end before the task's own limit, and with them the largest possible return."""
    config = record.get("config") or {}
    env, evaluation = config.get("env", {}), config.get("evaluation", {})
    steps = evaluation.get("episode_steps") or env.get("episode_steps")
    return steps is not None and steps * env.get("action_repeat", 1) < SUITE_RETURN


def _check_complete(results: Results) -> None:
    """Raise UserError unless every seed of every finished cell has a score at the end of its budget."""
    last: dict[tuple[Group, str, int], int] = {}
    for score in results.scores:
        run = (score.group, score.task, score.seed)
        last[run] = max(score.env_steps, last.get(run, 0))
    for cell in results.cells:
        for seed in cell.seeds if cell.status == "finished" else []:
            reached = last.get((cell.group, cell.task, seed), 0)
            if reached < results.plan["env_steps"]:
                raise UserError(
                    f"{results.folder / 'scores.csv'}: cell {cell.record.get('name')} is finished, but seed {seed} has "
                    f"no score at {results.plan['env_steps']:,} environment steps (the last is at {reached:,}). Run "
                    "the same `robo-rl compare` command again to have the file written anew."
                )
