"""Locks on files of a run folder: held by one process, named after it, and gone with it however it ends."""

import contextlib
import fcntl
import pathlib
from collections.abc import Callable, Iterator

from robo_rl.errors import UserError
from robo_rl.files import is_remote


@contextlib.contextmanager
def exclusive(file: pathlib.Path, owner: str, refusal: Callable[[str], str]) -> Iterator[None]:
    """Hold `file`, which then holds the name of its `owner`, as long as the block lasts; never waits.

    Raises:
        UserError: someone else holds it; the message is `refusal(their name)`.
        OSError: the file cannot be written.
    """
    with file.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise UserError(refusal(handle.read().strip() or "(unknown)")) from None
        handle.truncate(0)
        handle.write(f"{owner}\n")
        handle.flush()
        yield


@contextlib.contextmanager
def turn(file: pathlib.Path) -> Iterator[None]:
    """Wait for one's turn on `file`, for work of milliseconds; OSError where it cannot be written."""
    with file.open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def is_held(file: pathlib.Path) -> bool:
    """Whether a living process of this file system holds `file` in `exclusive`; locks do not reach an object store."""
    if is_remote(file) or not file.exists():
        return False
    with file.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
