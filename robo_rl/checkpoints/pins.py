"""Checkpoints that retention must leave alone, because a fleet is evaluating them.

    RUN/pins/turn             whoever reads or changes the two files below holds it
    RUN/pins/fleet.json       the steps a fleet is at work on; they count only while a fleet holds RUN/fleet.lock
    RUN/pins/condemned.json   the steps that retention has decided to delete; they can no longer be pinned, and count
                              only while a training job holds RUN/run.lock

Orbax deletes a step some time after it has been decided. A pin set in between would come too late, so the decision
itself is written down, and whoever wants to pin one of its steps is told no. A killed fleet pins nothing, and a killed
training job deletes nothing: their locks are gone with them.
"""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

from robo_rl.checkpoints.hashes import HASHES
from robo_rl.checkpoints.locks import is_held, turn
from robo_rl.files import read_json, write_json_atomic

FLEET_LOCK = "fleet.lock"
TRAINING_LOCK = "run.lock"
"""What `RunFolder.lock` holds."""


def pins_folder(checkpoints: Path) -> Path:
    """Where the pins of a `checkpoints` folder lie."""
    return checkpoints.parent / "pins"


def condemn(checkpoints: Path, steps: Collection[int]) -> set[int]:
    """Those of `steps` that may be deleted, now that it is written down; the rest is pinned. OSError if unwritable."""
    folder = pins_folder(checkpoints)
    if not folder.is_dir():  # nobody can have pinned anything: a fleet follows runs, and every run has the folder
        return set(steps)
    with _alone(folder):
        allowed = set(steps) - _pinned(checkpoints)
        write_json_atomic(folder / "condemned.json", sorted(allowed))
    return allowed


def pin(checkpoints: Path, steps: Collection[int], step: int) -> bool:
    """Pin `steps`, to which `step` was just added; False, and nothing changes, if `step` is gone or on its way out.

    The caller holds RUN/fleet.lock. OSError if the folder cannot be written.
    """
    folder = pins_folder(checkpoints)
    folder.mkdir(exist_ok=True)
    with _alone(folder):
        if not may_be_pinned(checkpoints, step):
            return False
        write_json_atomic(folder / "fleet.json", sorted(steps))
    return True


def may_be_pinned(checkpoints: Path, step: int) -> bool:
    """Whether `step` is there and not on its way out, now; only `pin` makes sure that it stays."""
    return step not in _condemned(checkpoints) and (checkpoints / str(step) / HASHES).is_file()


def release(checkpoints: Path, steps: Collection[int]) -> None:
    """Keep only `steps` pinned; the caller holds RUN/fleet.lock. OSError if the folder cannot be written."""
    folder = pins_folder(checkpoints)
    with _alone(folder):
        write_json_atomic(folder / "fleet.json", sorted(steps))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One's turn on `folder`, without what those left who were killed while they had theirs."""
    with turn(folder / "turn"):
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink()
        yield


def _pinned(checkpoints: Path) -> set[int]:
    file = pins_folder(checkpoints) / "fleet.json"
    if not file.exists() or not is_held(checkpoints.parent / FLEET_LOCK):
        return set()
    return set(read_json(file))


def _condemned(checkpoints: Path) -> set[int]:
    file = pins_folder(checkpoints) / "condemned.json"
    if not file.exists() or not is_held(checkpoints.parent / TRAINING_LOCK):
        return set()
    return set(read_json(file))
