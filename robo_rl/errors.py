"""Errors a user can act on: each says what was wrong, where, what is allowed, and what to do next."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input or a broken machine; the command prints the message without a traceback and exits with 2."""


class ConfigError(UserError):
    """A configuration that cannot be run; raised before any process starts."""


class DivergedError(UserError):
    """A metric or parameter is not finite."""


class CheckpointError(UserError):
    """A checkpoint that is missing, incomplete, corrupt or of another experiment."""


class DataError(UserError):
    """A data set that is missing, damaged, empty, or of another environment; raised before training starts."""


class ExportError(UserError):
    """A policy export that is missing, damaged or foreign, or an observation that does not fit it."""


class RunFailedError(UserError):
    """A run that had begun could not go on; the command prints the message and exits with 1."""


def nearest(name: str, known: Iterable[str], count: int = 5) -> list[str]:
    """The known names most like `name`, best first; what an error about an unknown name should list."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=count, cutoff=0.4)
    return close or sorted(known)[:count]
