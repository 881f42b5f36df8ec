"""JSON files that are either whole or absent, on a disk or in an object store."""

import json
import os
import pathlib
from typing import Any, cast

from robo_rl.errors import ConfigError, UserError

REMOTE_SCHEMES = ("gs", "s3", "az", "hf")
"""What etils.epath opens besides local paths; each asks for its own fsspec package (gcsfs, s3fs, adlfs, ...)."""


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is in an object store: then nothing can be locked, linked or renamed there, only written whole."""
    return os.fspath(path).startswith(tuple(f"{scheme}://" for scheme in REMOTE_SCHEMES))


def as_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """`path` in the form that opens it: a local path, or for one with a scheme that of etils.epath.

    What epath gives has the methods of pathlib.Path that read, write and list, and its `str` is the whole URI.

    Raises:
        ConfigError: a scheme that nobody opens.
    """
    name = os.fspath(path)
    scheme, separator, _ = name.partition("://")
    if not separator:
        return pathlib.Path(path)
    if scheme not in REMOTE_SCHEMES:
        known = ", ".join(f"{one}://" for one in REMOTE_SCHEMES)
        raise ConfigError(f"{name} cannot be opened: known are {known} and local paths, which have no scheme.")
    import fsspec.config
    from etils import epath

    # A listing that was kept would never show what others have written since
    for protocol in {scheme, "gcs" if scheme == "gs" else scheme}:
        fsspec.config.conf.setdefault(protocol, {})["use_listings_cache"] = False
    return cast(pathlib.Path, epath.Path(name))


def require_reachable(path: pathlib.Path) -> None:
    """Refuse a remote path whose store cannot be asked, before any work begins; a local one is fine.

    Raises:
        ConfigError: a package is not installed, or the store does not answer.
    """
    if not is_remote(path):
        return
    try:
        path.exists()
    except ImportError as error:
        raise ConfigError(
            f"{path} cannot be opened: {error}. Install that package, or copy the folder here."
        ) from error
    except Exception as error:  # every store has its own kinds of refusals
        raise ConfigError(
            f"{path} cannot be reached ({type(error).__name__}: {error}). Check name and login."
        ) from error


def names_in(folder: pathlib.Path) -> list[str]:
    """The names in a folder, none if it is missing; in an object store a folder is what begins with its name."""
    try:
        return [path.name for path in folder.iterdir()] if is_remote(folder) else os.listdir(folder)
    except FileNotFoundError:
        return []


def write_atomic(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` so that a reader sees the old file or the whole new one, never a part.

    It goes to a file beside `path` that no other process uses, reaches the disk, and is renamed over `path`. An object
    store does as much with a plain write.

    Raises:
        OSError: the folder is missing or cannot be written. No temporary file is left.
    """
    if is_remote(path):
        as_path(path).write_bytes(content)
        return
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json_atomic(path: str | os.PathLike[str], data: Any) -> None:
    """Write `data` as indented JSON, as `write_atomic` does.

    Raises:
        TypeError, ValueError: `data` holds something JSON does not know; NaN and infinity count as that.
        OSError: the folder is missing or cannot be written. No temporary file is left.
    """
    write_atomic(path, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: str | os.PathLike[str]) -> Any:
    """What `write_json_atomic` wrote.

    Raises:
        UserError: the content is not JSON text.
        OSError: the file is missing or cannot be read.
    """
    place = path if isinstance(path, pathlib.PurePath) else as_path(path)
    try:
        return json.loads(cast(pathlib.Path, place).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{path} should hold JSON and does not: {error}. The file was damaged or edited; restore it from a copy,"
            " or delete it if it can be made again."
        ) from error
