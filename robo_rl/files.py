"""JSON files that are either whole or absent."""

import json
import os
import pathlib
from typing import Any

from robo_rl.errors import UserError


def write_json_atomic(path: str | os.PathLike[str], data: Any) -> None:
    """Write `data` as indented JSON so that a reader sees the old file or the whole new one, never a part.

    The text goes to a file beside `path` that no other process uses, reaches the disk, and is renamed over `path`.

    Raises:
        TypeError, ValueError: `data` holds something JSON does not know; NaN and infinity count as that.
        OSError: the folder is missing or cannot be written. No temporary file is left.
    """
    path = pathlib.Path(path)
    text = json.dumps(data, indent=2, allow_nan=False)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: str | os.PathLike[str]) -> Any:
    """What `write_json_atomic` wrote.

    Raises:
        UserError: the content is not JSON text.
        OSError: the file is missing or cannot be read.
    """
    try:
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{path} should hold JSON and does not: {error}. The file was damaged or edited; restore it from a copy,"
            " or delete it if it can be made again."
        ) from error
