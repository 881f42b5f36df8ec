"""`robo-rl compare`: the cells that are still to be trained, then scores and report."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from robo_rl import presets
from robo_rl.compare import inputs
from robo_rl.compare.cell import CellWork
from robo_rl.compare.cell_folder import FINISHED
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
) -> int:
    """Train what is not finished yet and report; 0 if every cell is finished or a stop was asked for, else 1.

    `listen` is called when work begins; what it gives says from then on whether to stop.

    Raises:
        ConfigError: a plan that cannot run, or a folder that holds another comparison.
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
        works = [work for cell in planned if (work := _work(folder, plan, cell, configs[cell], jobs)) is not None]
        stop = listen()
        with Progress(plan.env_steps * len(planned), folder.path.name) as progress:
            display = Display(progress, plan, len(planned), len(planned) - len(works))

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
    return _conclude(folder, planned, failed, stopped=stop())


def publish(folder: ComparisonFolder, plan: CompareConfig, planned: Sequence[Cell], repetitions: int) -> None:
    """Write the scores of all cells, and the report, with so many resamples, once there is a finished cell."""
    folder.write_scores(plan, planned)
    folder.write_devices(planned)
    if any(_is_finished(folder, cell) for cell in planned):
        write_report(folder.path, repetitions)


def _work(folder: ComparisonFolder, plan: CompareConfig, cell: Cell, config: Config, jobs: int) -> CellWork | None:
    """What is to be done for a cell; None if it is finished."""
    if _is_finished(folder, cell):
        return None
    record = {"name": cell.name, "loss": cell.loss, "task": cell.task, "axes": cell.axes}
    before = folder.cell(cell).record() or {}
    # An interrupted attempt goes on; one that failed is followed by another.
    attempts = before.get("attempts", 0) + (before.get("status") != "running")
    workers = plan.workers or max(1, (os.cpu_count() or 1) // jobs)
    return CellWork(folder.cell(cell).path, record, config, plan.seeds, workers, attempts)


def _is_finished(folder: ComparisonFolder, cell: Cell) -> bool:
    record = folder.cell(cell).record()
    return record is not None and record["status"] == FINISHED


def _conclude(folder: ComparisonFolder, planned: Sequence[Cell], failed: Sequence[str], stopped: bool) -> int:
    """Say how it ended; the exit code."""
    finished = sum(_is_finished(folder, cell) for cell in planned)
    if stopped and finished + len(failed) < len(planned):
        print(f"Stopped: {finished} of {len(planned)} cells are finished. The same command goes on with the rest.")
        return 0
    errors = "\n".join(f"  {cell.name}: {_error(folder, cell)}" for cell in planned if cell.name in failed)
    if not finished:
        raise RunFailedError(f"None of the {len(planned)} cells of {folder.path} could be finished:\n{errors}")
    print(f"{finished} of {len(planned)} cells are finished. Scores and report are in {folder.path}.")
    if failed:
        print(f"Failed, each tried twice (the same command tries them again):\n{errors}")
    return 1 if failed else 0


def _error(folder: ComparisonFolder, cell: Cell) -> str:
    text = (folder.cell(cell).record() or {}).get("error") or "no reason was recorded"
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
