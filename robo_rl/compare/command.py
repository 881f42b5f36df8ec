"""`robo-rl compare`: the cells that are still to be trained, then scores and report."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from robo_rl import presets
from robo_rl.compare import inputs
from robo_rl.compare.cell import CellWork
from robo_rl.compare.cell_folder import FINISHED, RUNNING
from robo_rl.compare.cohorts import Cohort
from robo_rl.compare.folder import ComparisonFolder
from robo_rl.compare.plan import Cell, CompareConfig
from robo_rl.compare.report import check_libraries, write_report
from robo_rl.compare.schedule import run_cells
from robo_rl.compare.statistics import REPETITIONS
from robo_rl.config import Config
from robo_rl.errors import ConfigError, RunFailedError, UserError
from robo_rl.metrics.progress import Progress

ROUGH_REPETITIONS = 2000
"""Resamples behind the intervals of a report that the next cell will replace."""


def compare_command(
    name: str,
    run: Path | None,
    jobs: int,
    flags: Sequence[str],
    accelerator: Mapping[str, str],
    listen: Callable[[], Callable[[], bool]],
    report_only: bool = False,
) -> int:
    """Train what is not finished yet and report; 0 if every cell is finished or a stop was asked for, else 1.

    `listen` is called when work begins; what it gives says from then on whether to stop. With `report_only` nothing is
    trained, and the report is that of what is there.

    Raises:
        ConfigError: a plan that cannot run, or a folder that holds another comparison.
        UserError: there is nothing to report yet, though only a report was asked for.
        RunFailedError: no cell is finished at the end.
    """
    if jobs < 1:
        raise ConfigError(f"--jobs is {jobs}; at least one cell must be trained at a time.")
    plan = inputs.parse(name, flags)
    configs = inputs.checked_configs(plan)
    folder = ComparisonFolder(run or Path("runs") / presets.find(name).stem)
    planned = list(configs)
    check_libraries()
    with folder.lock():
        folder.begin(plan, configs)
        if report_only:
            write_scores_and_report(folder, plan, planned, REPETITIONS)
            print(f"Scores and report are in {folder.path}.")
            return 0
        works = _works(folder, plan, configs, jobs)
        cohorts = folder.cohorts(plan, planned)
        stop = listen()
        with Progress(plan.env_steps * len(cohorts), folder.path.name) as progress:
            display = Display(progress, plan, len(cohorts), len(cohorts) - len(works))

            def report(cell: str, kind: str, what: Any) -> None:
                """Show it; a cell that ended also changes what the whole comparison says."""
                display.show(cell, kind, what)
                if kind in ("finished", "failed"):
                    try:
                        publish(folder, plan, planned, ROUGH_REPETITIONS)
                    except (UserError, OSError) as error:  # cells are at work, and the last report says it again
                        progress.note(f"there is no new report: {error}")

            failed = run_cells(works, jobs, accelerator, report, stop)
        publish(folder, plan, planned, REPETITIONS)
    return _conclude(folder, folder.cohorts(plan, planned), failed, stopped=stop())


def publish(folder: ComparisonFolder, plan: CompareConfig, planned: Sequence[Cell], repetitions: int) -> None:
    """Write the scores of all cells, and the report, with so many resamples, once there is a finished cell."""
    if any(cohort.status == FINISHED for cohort in folder.cohorts(plan, planned)):
        write_scores_and_report(folder, plan, planned, repetitions)
    else:
        folder.write_scores(plan, planned)


def write_scores_and_report(
    folder: ComparisonFolder, plan: CompareConfig, planned: Sequence[Cell], repetitions: int
) -> None:
    """Write the scores of all cells, and the report, with so many resamples.

    Raises:
        UserError: no cell is finished, or as `write_report`.
    """
    folder.write_scores(plan, planned)
    folder.write_devices(plan, planned)
    write_report(folder.path, repetitions)


def _works(folder: ComparisonFolder, plan: CompareConfig, configs: Mapping[Cell, Config], jobs: int) -> list[CellWork]:
    """What is to be done: every cohort that is not finished, in the order of the cells."""
    workers = plan.workers or max(1, (os.cpu_count() or 1) // jobs)
    works = []
    for cell, config in configs.items():
        for cohort in folder.cohorts(plan, [cell]):
            # An interrupted attempt goes on; one that failed is followed by another.
            attempts = cohort.record.get("attempts", 0) + (cohort.status != RUNNING)
            record = {"name": cohort.name, "loss": cell.loss, "task": cell.task, "axes": cell.axes}
            if cohort.status != FINISHED:
                works.append(CellWork(cohort.folder.path, record, config, list(cohort.seeds), workers, attempts))
    return works


def _conclude(folder: ComparisonFolder, cohorts: Sequence[Cohort], failed: Sequence[str], stopped: bool) -> int:
    """Say how it ended; the exit code."""
    finished = sum(cohort.status == FINISHED for cohort in cohorts)
    if stopped and finished + len(failed) < len(cohorts):
        print(f"Stopped: {finished} of {len(cohorts)} cells are finished. The same command goes on with the rest.")
        return 0
    errors = "\n".join(f"  {cohort.name}: {_error(cohort)}" for cohort in cohorts if cohort.name in failed)
    if not finished:
        raise RunFailedError(f"None of the {len(cohorts)} cells of {folder.path} could be finished:\n{errors}")
    print(f"{finished} of {len(cohorts)} cells are finished. Scores and report are in {folder.path}.")
    if failed:
        print(f"Failed, each tried twice (the same command tries them again):\n{errors}")
    return 1 if failed else 0


def _error(cohort: Cohort) -> str:
    text = cohort.record.get("error") or "no reason was recorded"
    return text.strip().splitlines()[-1]


class Display:
    """Sums up what the cells say for the progress display."""

    def __init__(self, progress: Progress, plan: CompareConfig, cells: int, finished: int) -> None:
        """A display of `cells` cells, of which so many are finished."""
        self._progress, self._plan = progress, plan
        self._cells, self._finished = cells, finished
        self._rows: dict[str, dict[str, Any]] = {}

    def show(self, cell: str, kind: str, what: Any) -> None:
        """One report, as `schedule.CellReport` describes it."""
        if kind == "row":
            self._rows[cell] = what
            self._update()
        elif kind == "evaluation":
            self._progress.note(f"{cell}: return {what['return']:.4g} at {what['env_steps']:,} environment steps")
        else:
            if kind != "stopped":  # what that one has reached still stands
                self._rows.pop(cell, None)
            self._finished += kind == "finished"
            done = f" ({self._finished} of {self._cells} cells are finished)" if kind == "finished" else ""
            self._progress.note(f"{cell} {kind}{done}" + (f": {what}" if what else ""))
            self._update()

    def _update(self) -> None:
        rows = self._rows.values()
        summed = ("env_steps_per_second", "updates_per_second")
        self._progress.update(
            {
                "env_steps": self._finished * self._plan.env_steps + sum(row["env_steps"] for row in rows),
                **{name: sum(row[name] for row in rows) for name in summed if rows},
            }
        )
