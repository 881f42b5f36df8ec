"""How a run that had begun fails, whichever runtime it has."""

import contextlib
from collections.abc import Callable, Iterator

from robo_rl.errors import UserError


@contextlib.contextmanager
def said_to_fail(write_status: Callable[[str], None]) -> Iterator[None]:
    """Leave the state "failed" in status.json, through `write_status`, if the block raises."""
    try:
        yield
    except BaseException:
        # What may have ended it, a full disk say, matters more than these words.
        with contextlib.suppress(UserError):
            write_status("failed")
        raise
