"""`robo-rl status RUN`: where a run stands, and who waits for what."""

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from robo_rl.checkpoints.layout import committed_steps, restorable_steps
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.files import is_remote
from robo_rl.fleet.presence import read_presence
from robo_rl.metrics.sinks import read_rows


def print_status(folder: Path, console: Console | None = None) -> int:
    """Print what the run folder knows; 0 always, since a stopped run is no error.

    Raises:
        UserError: `folder` is no run folder.
    """
    run = RunFolder(folder)
    config = run.config()
    said = run.status() or {}
    table = Table.grid(padding=(0, 2))
    is_running = run.is_running()
    table.add_row("state", state_line(run, said, is_running))
    rows = read_rows(run.metrics_file) if run.metrics_file.exists() else []
    if rows:
        last = rows[-1]
        table.add_row("env steps", f"{last['env_steps']:,} of {config['env_steps']:,}")
        table.add_row("updates", f"{last['updates']:,}")
        table.add_row("rates", f"{last['env_steps_per_second']} env steps/s, {last['updates_per_second']} updates/s")
    if is_running:
        table.add_row("waiting", said.get("waiting") or "nobody")
        table.add_row("processes", ", ".join(f"{name}: {pid}" for name, pid in said.get("processes", {}).items()))
        table.add_row("said so", f"{time.time() - said.get('time', time.time()):.0f} s ago")
    for name, count in said.get("restarts", {}).items():
        table.add_row("restarts", f"{name}: {count} ({said.get('failures', {}).get(name, 'ended without a word')})")
    steps = committed_steps(run.checkpoints)
    table.add_row("checkpoints", ", ".join(map(str, steps)) or "none")
    table.add_row("resumes from", ", ".join(map(str, restorable_steps(run.checkpoints)[-1:])) or "the start")
    for step, record in list(run.evaluation_records().items())[-5:]:
        success = record["success"]
        rate = (
            "" if success is None else f"success {success['rate']:.1%} [{success['low']:.1%}, {success['high']:.1%}], "
        )
        table.add_row(
            f"evaluation {step}", f"{rate}return {record['return']['mean']:.1f} ({len(record['episodes'])} episodes)"
        )
    for name, text in fleet_lines(read_presence(run)):
        table.add_row(name, text)
    (console or Console()).print(table)
    return 0


def state_line(run: RunFolder, said: dict[str, Any], is_running: bool) -> str:
    """What the training does, by its lock; of a run in an object store, which has none, what it last said and when."""
    state = said.get("state", "never started")
    if state in ("finished", "failed", "stopped", "never started"):
        return state
    if is_remote(run.path):
        return f"{state}, said {time.time() - said['time']:.0f} s ago; an object store does not show whether it lives"
    if not is_running:
        return "stopped"
    return f"{state} (process {said['pid']})" if "pid" in said else state


def fleet_lines(said: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What the fleet said of itself, as rows: who follows, how far it is, what it waits for; none if none ever came."""
    if said is None:
        return []
    if "judged" not in said:  # it has taken the run, and not looked at it yet
        return [("fleet", f"{said['fleet']} begins")]
    who = f"{said['fleet']}, suite {said['suite']}"
    if said["is_alive"] and said["state"] == "at work":
        rows = [("fleet", f"{who}, {said['workers']} workers, mode {said['mode']}")]
    else:
        rows = [("fleet", f"none now; the last was {who} ({'ended' if said['state'] == 'ended' else 'killed'})")]
    left = said["open_checkpoints"]
    far = (
        f"{said['judged']} checkpoints, {left} to go ({said['open_blocks']} blocks); newest {said['newest'] or 'none'}"
    )
    rows.append(("judged", far))
    if said["unreadable"]:
        rows.append(("unreadable", ", ".join(map(str, said["unreadable"]))))
    if said["is_alive"] and said["state"] == "at work":
        rows.append(("fleet waits for", f"{said['waits_for']}, said {time.time() - said['time']:.0f} s ago"))
    return rows
