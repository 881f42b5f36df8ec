"""`robo-rl fleet`: the coordinator with processes of this machine as workers, and the tables at the end."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.envs import needs_renderer
from robo_rl.errors import ConfigError
from robo_rl.files import is_remote, require_reachable
from robo_rl.fleet.blocks import merge
from robo_rl.fleet.coordinator import Mode, Tally, run_fleet
from robo_rl.fleet.executor import ProcessExecutor
from robo_rl.fleet.report import leaderboard
from robo_rl.fleet.suite import Suite, load_suite, run_config, suite_for
from robo_rl.fleet.table import read_environments, read_table, require_parquet, write_csv, write_file, write_parquet
from robo_rl.fleet.worker import evaluate_block, warm_up
from robo_rl.render import gl_backend
from robo_rl.runtimes.processes import ACTOR_ENVIRONMENT


def fleet_command(
    paths: Sequence[Path],
    *,
    suite_name: str | None,
    workers: int,
    mode: Mode,
    every: int,
    with_report: bool,
    with_parquet: bool = False,
    listen: Callable[[], Callable[[], bool]],
) -> int:
    """Judge the checkpoints of the runs at `paths`; 1 if one of them could not be read, else 0.

    `listen` is called when work begins; what it gives says from then on whether to stop.

    Raises:
        UserError, RunFailedError: as `run_fleet`; also two paths to one run, counts below 1, or no suite for a task.
    """
    if with_parquet:
        require_parquet()
    for path in paths:
        require_reachable(path)
    runs = [RunFolder(path if is_remote(path) else path.resolve()) for path in paths]
    if workers < 1 or every < 1:
        raise ConfigError(f"--workers is {workers} and --every is {every}; both must be at least 1.")
    if len({run.path for run in runs}) < len(runs):
        raise ConfigError("The same run is named twice. Name each run once.")
    tasks = {str(run.path): run_config(run).env for run in runs}
    suites = {path: suite_for(task) if suite_name is None else load_suite(suite_name) for path, task in tasks.items()}
    draws = any(needs_renderer(task) for task in tasks.values())
    environment = {**ACTOR_ENVIRONMENT, "MUJOCO_GL": gl_backend(draws)}
    with ProcessExecutor(workers, environment) as executor:
        if mode != "once":
            for _ in range(workers):
                executor.submit(warm_up, str(runs[0].path))
        tally = run_fleet(
            runs,
            lambda run: suites[str(run.path)],
            executor,
            workers,
            (evaluate_block, merge),
            mode=mode,
            every=every,
            report=lambda note: print(note, flush=True),
            stop=listen(),
        )
    print(_told(tally))
    if with_report or with_parquet:
        _write_report(runs, suites, with_parquet)
    return 1 if tally.unreadable else 0


def _write_report(runs: Sequence[RunFolder], suites: dict[str, Suite], with_parquet: bool) -> None:
    """leaderboard.html, .csv (and .parquet): in the run's folder, or in the one all local runs share, or here."""
    if len(runs) == 1:
        folder = runs[0].path
    elif any(is_remote(run.path) for run in runs):
        folder = Path.cwd()
    else:
        folder = Path(os.path.commonpath([run.path for run in runs]))
    named = [(run, suites[str(run.path)].name) for run in runs]
    rows = read_table(named)
    write_csv(folder / "leaderboard.csv", rows)
    write_file(folder / "leaderboard.html", leaderboard(rows, read_environments(named)).encode())
    if with_parquet:
        write_parquet(folder / "leaderboard.parquet", rows)
    print(f"{len(rows)} rows in {folder / 'leaderboard.html'} and leaderboard.csv")


def _told(tally: Tally) -> str:
    lines = [f"{tally.blocks} blocks evaluated, {tally.merged} rows merged, {tally.deaths} workers lost."]
    lines += [f"Could not be judged: {where}: {why}" for where, why in tally.unreadable.items()]
    return "\n".join(lines)
