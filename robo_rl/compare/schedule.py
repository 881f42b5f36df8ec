"""Trains the cells, each in a process of its own, some side by side: a crash costs one attempt of one cell."""

import contextlib
import dataclasses
import multiprocessing.connection
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from robo_rl import envs
from robo_rl.compare.cell import CellWork, cell_main
from robo_rl.compare.cell_folder import FAILED, FINISHED, CellFolder
from robo_rl.render import gl_backend
from robo_rl.runtimes.processes import Child

ATTEMPTS = 2
"""How often one command begins a cell that crashes. The next command begins a failed one again, from its checkpoint."""

CellReport = Callable[[str, str, object], None]
"""cell name, kind, what: ("row" | "evaluation", numbers), ("began" | "finished", None),
("stopped", None or what broke while it was to stop), or ("retried" | "failed", why)."""


@dataclasses.dataclass
class _Running:
    work: CellWork
    attempts_left: int
    child: Child
    place: int
    ending: str | None = None
    error: str = ""


def run_cells(
    works: Sequence[CellWork],
    jobs: int,
    accelerator: Mapping[str, str],
    report: CellReport,
    stop: Callable[[], bool],
) -> list[str]:
    """Train every cell, at most `jobs` at a time; the names of those that failed.

    A crashed cell is tried once more, from its checkpoint; then its record says `failed` and why, and the others go
    on. After `stop()` every running cell writes its checkpoint, and none is begun or called failed. `accelerator` is
    what the processes have in their environment, beside what is set here.
    """
    waiting = [(work, ATTEMPTS) for work in works]
    running: list[_Running] = []
    failed: list[str] = []
    told = False
    environment = {**accelerator, **_sharing(jobs)}
    try:
        while running or (waiting and not stop()):
            while waiting and len(running) < jobs and not stop():
                work, attempts = waiting.pop(0)
                place = min(set(range(jobs)) - {cell.place for cell in running})
                environment |= {"MUJOCO_GL": gl_backend(envs.needs_renderer(work.config.env)), **_device_of(place)}
                with _cores_of(place, jobs):
                    child = Child(work.record["name"], cell_main, (work,), environment)
                running.append(_Running(work, attempts - 1, child, place))
                report(work.record["name"], "began", None)
            if stop() and not told:
                told = True
                for cell in running:
                    cell.child.tell("stop")
            ends = [end for cell in running for end in (cell.child.connection, cell.child.process.sentinel)]
            multiprocessing.connection.wait(ends, timeout=0.5)
            for cell in [cell for cell in running if _is_over(cell, report)]:
                running.remove(cell)
                name = cell.work.record["name"]
                if cell.ending in ("finished", "stopped"):
                    report(name, cell.ending, None)
                elif stop():  # whoever asked may have ended its workers too: its record stays, and it can go on
                    report(name, "stopped", cell.error)
                elif cell.attempts_left:
                    report(name, "retried", cell.error)
                    waiting.insert(0, (cell.work._replace(attempts=cell.work.attempts + 1), cell.attempts_left))
                else:
                    _record_failure(cell)
                    failed.append(name)
                    report(name, "failed", cell.error)
    finally:
        for cell in running:
            cell.child.kill()
    return failed


def _sharing(jobs: int) -> dict[str, str]:
    """What cells side by side need: one must not take the accelerator's whole memory, nor every core's threads."""
    if jobs == 1:
        return {}
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    return {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "XLA_FLAGS": flags}


def _device_of(place: int) -> dict[str, str]:
    """The GPU of the cell in this place, where CUDA_VISIBLE_DEVICES lists several: the places take them in turn.

    A cell trains on the first device that it sees, so that cells side by side would all sit on one of them.
    """
    visible = [device for device in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if device.strip()]
    return {"CUDA_VISIBLE_DEVICES": visible[place % len(visible)].strip()} if len(visible) > 1 else {}


@contextlib.contextmanager
def _cores_of(place: int, jobs: int) -> Iterator[None]:
    """Children started inside run on their share of the cores alone, where the system can say so (Linux).

    XLA starts a thread per core it may use, so that cells side by side would otherwise share every core with each
    other's threads: 8 % more CPU time per update, measured with two cells on two cores.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    if jobs == 1 or len(cores) < jobs:
        yield
        return
    os.sched_setaffinity(0, cores[place::jobs])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _is_over(cell: _Running, report: CellReport) -> bool:
    """Pass on what the cell said; whether its process is gone, with `ending` and `error` filled in."""
    # Asked first: what a process said before it died is then in the pipe.
    gone = not cell.child.process.is_alive()
    for kind, what in cell.child.messages():
        if kind in ("finished", "stopped"):
            cell.ending = kind
        elif kind == "failed":
            cell.error = what[1].strip()
        else:
            report(cell.work.record["name"], kind, what)
    if not gone:
        return False
    cell.child.kill()  # also what it left behind
    code = cell.child.process.exitcode
    if cell.ending is None and (CellFolder(cell.work.folder).record() or {}).get("status") == FINISHED:
        cell.ending = "finished"  # it died after it had written down everything
    if cell.ending is None and not cell.error:
        cell.error = f"the process of the cell died without a word (exit code {code}); look at the memory in use"
    return True


def _record_failure(cell: _Running) -> None:
    folder = CellFolder(cell.work.folder)
    record = folder.record() or {**cell.work.record, "seeds": cell.work.seeds}
    folder.write_record({**record, "status": FAILED, "error": cell.error, "attempts": cell.work.attempts})
