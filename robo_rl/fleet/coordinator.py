"""The fleet's loop: see which checkpoints came, keep every worker busy with a block, take note of what is done."""

import concurrent.futures
import contextlib
import dataclasses
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Literal

from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.errors import CheckpointError, RunFailedError, UserError
from robo_rl.fleet.blocks import Block, CheckpointGoneError, block_file, remove_temporaries, row_file
from robo_rl.fleet.executor import Executor, WorkerDiedError
from robo_rl.fleet.followed import FollowedRun
from robo_rl.fleet.presence import fleet_lock, write_presence
from robo_rl.fleet.suite import Suite

POLL_SECONDS = 0.2
"""Pause between looks for new checkpoints (s)."""

TELL_SECONDS = 2.0
"""Pause between words of the fleet about itself in the run folders (s), see presence.py."""

MOST_DEATHS = 10
"""Workers that may die at one block before the block is to blame."""

Mode = Literal["once", "until_done", "follow"]
"""End when all that is there is judged; when training has ended besides; or never."""

Call = Callable[[Suite, Block], None]
"""Does a block and writes its file; sent to workers, so it is a function of a module."""


@dataclasses.dataclass
class Tally:
    """What a fleet did. `unreadable`: `RUN/checkpoints/STEP` -> why it could not be judged."""

    blocks: int = 0
    merged: int = 0
    deaths: int = 0
    unreadable: dict[str, str] = dataclasses.field(default_factory=dict)


def run_fleet(
    runs: Sequence[RunFolder],
    suite_of: Callable[[RunFolder], Suite],
    executor: Executor,
    workers: int,
    calls: tuple[Call, Call],
    *,
    mode: Mode = "once",
    every: int = 1,
    report: Callable[[str], None] = print,
    stop: Callable[[], bool] = lambda: False,
) -> Tally:
    """Judge the checkpoints of `runs` until `mode` or `stop()` says that it is enough.

    Args:
        suite_of: what each run is judged by.
        workers: blocks handed out at a time; no more than there are workers, so that the newest checkpoint goes first.
        calls: what evaluates a block, and what merges the blocks of a variation.
        every: judge only every so-manieth checkpoint of each run.
        report: takes notes for people.

    Raises:
        UserError: another fleet is at work on one of the runs, a folder is no run, has no checkpoint (`once`), cannot
            be written, or the suite does not fit.
        RunFailedError: a block killed its worker time and again, or evaluation failed in a way nobody foresaw.
    """
    tally = Tally()
    with contextlib.ExitStack() as held:
        for run in runs:
            held.enter_context(fleet_lock(run))
        followed = [FollowedRun(run, suite_of(run), every) for run in runs]
        for one in followed:
            held.callback(one.close)
            one.poll()
        if mode == "once":
            _require_checkpoints(followed)
        try:
            _loop(followed, executor, workers, calls, mode, tally, report, stop)
        finally:
            _take_leave(followed)
    for one in followed:
        for step, reason in one.unreadable.items():
            tally.unreadable[str(one.run.checkpoints / str(step))] = reason
    return tally


def _loop(
    followed: list[FollowedRun],
    executor: Executor,
    workers: int,
    calls: tuple[Call, Call],
    mode: Mode,
    tally: Tally,
    report: Callable[[str], None],
    stop: Callable[[], bool],
) -> None:
    evaluate, merge = calls
    flying: dict[concurrent.futures.Future[Any], tuple[FollowedRun, Block]] = {}
    turns = deque(followed)
    deaths: Counter[Block] = Counter()
    last_poll, last_told = time.monotonic(), -TELL_SECONDS
    while not stop():
        if time.monotonic() - last_poll > POLL_SECONDS:
            for one in followed:
                one.poll()
            last_poll = time.monotonic()
        if time.monotonic() - last_told > TELL_SECONDS:
            _tell(followed, list(flying.values()), workers, mode)
            last_told = time.monotonic()
        while len(flying) < workers and (work := _next(turns)) is not None:
            one, block = work
            call = merge if block.index is None else evaluate
            flying[executor.submit(call, one.suite, block)] = work
        if flying:
            done, _ = concurrent.futures.wait(flying, POLL_SECONDS, concurrent.futures.FIRST_COMPLETED)
            for future in done:
                _settle(future, *flying.pop(future), tally, deaths, report)
        elif mode == "once" or (mode == "until_done" and all(one.is_over() for one in followed)):
            if not _is_anything_left(followed):
                return
        else:
            time.sleep(POLL_SECONDS)
    # Asked to stop: blocks in flight are finished, so that no half-written file stays.
    for future in concurrent.futures.wait(flying).done:
        _settle(future, *flying.pop(future), tally, deaths, report)


def _is_anything_left(followed: Sequence[FollowedRun]) -> bool:
    """Whether a last look finds work: a checkpoint may have been committed after the one before."""
    for one in followed:
        one.poll(at_once=True)
    return any(not one.backlog.is_empty() for one in followed)


def _tell(followed: Sequence[FollowedRun], at_work: list[tuple[FollowedRun, Block]], workers: int, mode: Mode) -> None:
    """Leave word of the fleet in each run's folder, for `robo-rl status`."""
    for one in followed:
        progress, count = one.progress(), sum(other is one for other, _ in at_work)
        if count:
            waits_for = f"workers, at {count} blocks"
        elif progress["open_blocks"]:
            waits_for = "a free worker: they are busy with other runs"
        elif mode == "once" or (mode == "until_done" and one.is_over()):
            waits_for = "other runs"
        else:
            waits_for = "the next checkpoint"
        what = {"suite": one.suite.name, "workers": workers, "mode": mode, "waits_for": waits_for}
        write_presence(one.run, state="at work", **what, **progress)


def _take_leave(followed: Sequence[FollowedRun]) -> None:
    """Leave word that the fleet has ended. What may have ended it, a full disk say, matters more than these words."""
    for one in followed:
        with contextlib.suppress(UserError):
            write_presence(one.run, state="ended", suite=one.suite.name, **one.progress())


def _next(turns: deque[FollowedRun]) -> tuple[FollowedRun, Block] | None:
    """A block of the run whose turn it is, or of the next one that has any."""
    for _ in range(len(turns)):
        one = turns[0]
        turns.rotate(-1)
        if (block := one.next_block()) is not None:
            return one, block
    return None


def _settle(
    future: "concurrent.futures.Future[Any]",
    one: FollowedRun,
    block: Block,
    tally: Tally,
    deaths: Counter[Block],
    report: Callable[[str], None],
) -> None:
    """Take note of what became of a block."""
    what = _name(one, block)
    try:
        future.result()
    except WorkerDiedError as error:
        tally.deaths += 1
        deaths[block] += 1
        remove_temporaries(row_file(one.suite, block) if block.index is None else block_file(one.suite, block))
        if deaths[block] > MOST_DEATHS:
            raise RunFailedError(f"{what} killed its worker {deaths[block]} times; the last time: {error}.") from error
        report(f"{what}: {error}; another takes it over")
        one.give_back(block)
    except CheckpointGoneError as error:
        report(f"{what}: {error}")
        one.forget(block.step)
    except CheckpointError as error:
        report(f"{what}: {error}")
        one.give_up(block.step, str(error))
    except UserError:
        raise
    except Exception as error:
        told = "\n".join(getattr(error, "__notes__", ())) or repr(error)
        raise RunFailedError(f"Evaluating {what} failed:\n{told}") from error
    else:
        one.completed(block)
        if block.index is None:
            tally.merged += 1
            report(f"{one.run.path.name}: step {block.step} is judged in {block.variation}")
        else:
            tally.blocks += 1


def _name(one: FollowedRun, block: Block) -> str:
    return f"{one.run.path.name}/{block.step} {block.variation} {'merge' if block.index is None else block.index}"


def _require_checkpoints(followed: Sequence[FollowedRun]) -> None:
    for one in followed:
        if not one.has_checkpoints():
            raise CheckpointError(
                f"{one.run.path} holds no committed checkpoint yet. Use --follow to wait for the first one."
            )
