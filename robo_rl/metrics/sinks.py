"""Where metric rows go: `metrics.jsonl`, one JSON object per line, and the same scalars as TensorBoard events."""

import contextlib
import errno
import io
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

from robo_rl.errors import UserError
from robo_rl.files import as_path
from robo_rl.metrics.rows import Value, plain_row

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a `metrics.jsonl`, oldest first.

    A last line without its newline was torn by a crash or is being written now, and is left out.

    Raises:
        UserError: the file cannot be read, or a line before the last is no JSON object with `env_steps`.
    """
    path = as_path(path)
    with _disk_errors(path):
        # As bytes: a tear may go through the middle of a character. What follows the last newline is no whole row.
        lines = path.read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: not JSON ({error}). Delete that line and try again.") from error
        if not isinstance(row, dict) or not isinstance(row.get("env_steps"), int):
            raise UserError(f"{path}, line {number}: no JSON object with env_steps. Delete that line and try again.")
        rows.append(row)
    return rows


class MetricsWriter:
    """Appends rows to `FOLDER/metrics.jsonl` and their numbers to `FOLDER/tensorboard/`; a context manager.

    On an existing folder it goes on where the file ends, after cutting off a torn last line. A resumed run calls
    `truncate_after` with the env_steps of its checkpoint first, so that the curve has one value per step.
    One process writes; readers may look at any time, since a row is one write that ends in a newline.
    """

    def __init__(self, folder: str | Path) -> None:
        """Open or create both sinks under `folder`.

        Raises:
            UserError: the folder cannot be written, or its metrics file is damaged before the last line.
        """
        self._path = Path(folder) / METRICS_FILE
        self._tensorboard = Path(folder) / TENSORBOARD_FOLDER
        self._event_files = 0
        with _disk_errors(self._path):
            self._tensorboard.mkdir(parents=True, exist_ok=True)
            self._path.touch()
            _cut_torn_line(self._path)
            self._last_env_steps = max((row["env_steps"] for row in read_rows(self._path)), default=0)
            # Unbuffered: a row that did not fit on the disk must not come back at the next write or at close.
            self._file = self._path.open("ab", buffering=0)
            self._events = self._new_event_file()

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close both sinks."""
        self.close()

    def write(self, row: Mapping[str, Any]) -> None:
        """Append `row`, whose values are scalars (Python, NumPy or JAX), text or None; see `rows.COLUMNS`.

        Raises:
            DivergedError: a number is NaN or infinite; nothing is written.
            ValueError: no `env_steps`, one that is lower than the last row's, or a value that is no scalar.
            UserError: the disk is full or the folder went away.
        """
        plain = plain_row(row)
        env_steps = int(plain["env_steps"] or 0)
        if env_steps < self._last_env_steps:
            raise ValueError(
                f"env_steps fell from {self._last_env_steps} to {env_steps} in {self._path}: "
                "after a resume call truncate_after(env_steps of the checkpoint) first."
            )
        with _disk_errors(self._path):
            append_lines(self._file, json.dumps(plain, allow_nan=False).encode() + b"\n")
            self._events.write_event(_scalar_event(plain, env_steps))
            self._events.flush()
        self._last_env_steps = env_steps

    def truncate_after(self, env_steps: int) -> int:
        """Forget every row beyond `env_steps` (environment steps); returns how many there were.

        The file is replaced as a whole, so a crash leaves the old one or the new one. TensorBoard's files are never
        rewritten: a new one begins with the mark that tells TensorBoard to drop what lies beyond.

        Raises:
            UserError: the disk is full or the folder went away.
        """
        rows = read_rows(self._path)
        kept = [row for row in rows if row["env_steps"] <= env_steps]
        if len(kept) == len(rows):
            return 0
        # One name per process: a file left by a crash is overwritten, never mixed into.
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        with _disk_errors(self._path):
            self._file.close()
            temporary.write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in kept))
            os.replace(temporary, self._path)
            self._file = self._path.open("ab", buffering=0)
            self._events.close()
            self._events = self._new_event_file()
            self._events.write_event(
                Event(wall_time=time.time(), step=env_steps + 1, session_log=SessionLog(status=SessionLog.START))
            )
            self._events.flush()
        self._last_env_steps = max((row["env_steps"] for row in kept), default=0)
        return len(rows) - len(kept)

    def close(self) -> None:
        """Flush and close both sinks; a second call does nothing.

        Raises:
            UserError: the disk is full.
        """
        if not self._file.closed:
            self._file.close()
            with _disk_errors(self._path):
                self._events.close()

    def _new_event_file(self) -> EventsWriter:
        # SummaryWriter hands events to a thread that dies on a full disk and then blocks its caller for ever; this
        # layer below it writes in the calling thread. The suffix keeps two files of one second apart.
        self._event_files += 1
        suffix = f".{os.getpid()}.{time.monotonic_ns()}.{self._event_files}"
        return EventsWriter(str(self._tensorboard / "events"), suffix)


def _scalar_event(row: Mapping[str, Value], env_steps: int) -> Event:
    values = [
        Summary.Value(tag=name, simple_value=float(value))
        for name, value in row.items()
        if isinstance(value, int | float) and name != "env_steps"
    ]
    return Event(wall_time=time.time(), step=env_steps, summary=Summary(value=values))


def append_lines(file: io.FileIO, lines: bytes) -> None:
    """Append all of `lines` or, where the disk has no room, nothing of it: half a row would swallow the next one."""
    size = os.fstat(file.fileno()).st_size
    if file.write(lines) != len(lines):
        file.truncate(size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _cut_torn_line(path: Path) -> None:
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"Cannot write or read the metrics in {path}: {error.strerror or error}. Free space on that disk or give "
            "the run a folder that you may write to (--run DIR), then start the same command again to resume."
        ) from error
