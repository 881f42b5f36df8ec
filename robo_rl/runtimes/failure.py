"""How a run that had begun fails, whichever runtime it has."""

import contextlib
from collections.abc import Callable, Iterator

from robo_rl.errors import RunFailedError, UserError


@contextlib.contextmanager
def begun(write_status: Callable[[str], None]) -> Iterator[None]:
    """The part of a run that can only fail, and no longer be refused.

    If it raises, `write_status` leaves the state "failed" in status.json.

    Raises:
        RunFailedError: with the words of any UserError of the block; all else leaves it as it is.
    """
    try:
        yield
    except BaseException as error:
        # What may have ended it, a full disk say, matters more than these words.
        with contextlib.suppress(UserError):
            write_status("failed")
        if isinstance(error, UserError) and not isinstance(error, RunFailedError):
            # The others mean that the input was bad, and the command would exit with the code for that.
            raise RunFailedError(str(error)) from error
        raise
