"""Which fleet is at work on a run, how far it is and what it waits for: RUN/fleet.lock and RUN/fleet.json.

On a file system the lock says who is alive: it goes with its process. An object store knows no locks; there a fleet is
at work as long as it keeps writing RUN/fleet.json. Two fleets that start there within one second can both pass: that
costs double work and nothing else, since a block evaluated twice is the same file.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from robo_rl.checkpoints.locks import exclusive, is_held
from robo_rl.checkpoints.pins import FLEET_LOCK, pins_folder
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.errors import UserError
from robo_rl.files import is_remote, read_json, write_json_atomic

SILENT_SECONDS = 60.0
"""A fleet on a remote run that has said nothing for so long is dead."""


def fleet_name() -> str:
    """Machine and process of this fleet."""
    return f"{socket.gethostname()} process {os.getpid()}"


def write_presence(run: RunFolder, **said: Any) -> None:
    """Say on the run what this fleet does; UserError if the folder cannot be written."""
    try:
        write_json_atomic(run.path / "fleet.json", {"fleet": fleet_name(), "time": time.time(), **said})
    except OSError as error:
        raise UserError(
            f"{run.path} cannot be written ({error.strerror or error}); a fleet writes its results there."
        ) from error


def read_presence(run: RunFolder) -> dict[str, Any] | None:
    """What the last fleet on this run said, with `is_alive`; None if there was none."""
    try:
        said = read_json(run.path / "fleet.json")
    except FileNotFoundError:
        return None
    if is_remote(run.path):
        is_alive = said["state"] == "at work" and time.time() - said["time"] < SILENT_SECONDS
    else:
        is_alive = is_held(run.path / FLEET_LOCK)
    return {**said, "is_alive": is_alive}


@contextmanager
def fleet_lock(run: RunFolder) -> Iterator[None]:
    """Be the only fleet on this run.

    Raises:
        UserError: another fleet is (it is named), or the folder is missing or cannot be written.
    """

    def refusal(owner: str) -> str:
        return (
            f"{run.path} is already followed by the fleet of {owner}. One is enough: give that one more workers, or "
            "stop it first. Nothing is lost: the next fleet goes on from its files."
        )

    if not run.path.is_dir():
        raise UserError(f"{run.path} is no run folder: there is no such folder.")
    if is_remote(run.path):
        said = read_presence(run)
        if said is not None and said["is_alive"] and said["fleet"] != fleet_name():
            raise UserError(refusal(f"{said['fleet']} (heard {time.time() - said['time']:.0f} s ago)"))
        write_presence(run, state="at work")
        yield
        return
    try:
        lock = exclusive(run.path / FLEET_LOCK, fleet_name(), refusal)
        lock.__enter__()
    except OSError as error:
        raise UserError(
            f"{run.path} cannot be written ({error.strerror}); a fleet writes its results there."
        ) from error
    try:
        for folder in (run.path, pins_folder(run.checkpoints)):
            for leftover in folder.glob(".fleet.json.*.tmp"):  # of a fleet that was killed while it wrote
                leftover.unlink(missing_ok=True)
        yield
    finally:
        lock.__exit__(None, None, None)
