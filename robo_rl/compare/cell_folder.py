"""The folder of one cell: its record, its rows, and where it keeps what it needs to go on."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from robo_rl.files import read_json, write_atomic, write_json_atomic
from robo_rl.metrics.rows import plain_row
from robo_rl.metrics.sinks import append_lines, read_rows

FINISHED, FAILED, RUNNING = "finished", "failed", "running"


class CellFolder:
    """Paths of a cell, and reading and writing the small files in it.

    cell.json         what the cell is, where it stands, and what it cost     policies/STEP   the trained policies
    metrics.jsonl     rows with a `seed`, several per interval                checkpoints/    gone once it is finished
    evaluations.jsonl seed, env_steps and the list of episodes of every evaluation
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """A cell at `path`, which need not exist yet."""
        self.path = Path(path).absolute()
        self.record_file = self.path / "cell.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.evaluations_file = self.path / "evaluations.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.policies = self.path / "policies"

    def record(self) -> dict[str, Any] | None:
        """The cell's record; None if it never began.

        Raises:
            UserError: it is not JSON.
        """
        return read_json(self.record_file) if self.record_file.exists() else None

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Replace the record, whole or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json_atomic(self.record_file, dict(record))

    def log(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows of metrics.

        Raises:
            DivergedError: a number is NaN or infinite; nothing is written.
        """
        _append(self.metrics_file, [plain_row(row) for row in rows])

    def add_evaluations(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows of evaluations."""
        _append(self.evaluations_file, rows)

    def evaluations(self) -> list[dict[str, Any]]:
        """Every evaluation so far, oldest first."""
        return read_rows(self.evaluations_file) if self.evaluations_file.exists() else []

    def truncate_after(self, env_steps: int) -> None:
        """Forget every row beyond `env_steps`: a resumed cell passes them again."""
        for file in (self.metrics_file, self.evaluations_file):
            rows = [row for row in read_rows(file) if row["env_steps"] <= env_steps] if file.exists() else []
            write_atomic(file, "".join(f"{json.dumps(row)}\n" for row in rows).encode())


def _append(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    # One write, so that a kill tears at most the last line, which readers leave out.
    with file.open("ab", buffering=0) as handle:
        append_lines(handle, "".join(f"{json.dumps(row, allow_nan=False)}\n" for row in rows).encode())
