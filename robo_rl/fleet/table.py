"""The merged rows of all runs a fleet follows, as one table: in memory, as CSV and as Parquet."""

import csv
import importlib.util
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from robo_rl.checkpoints.hashes import item_digest
from robo_rl.checkpoints.layout import POLICY, committed_steps
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.errors import UserError
from robo_rl.files import is_remote, names_in, read_json, write_atomic
from robo_rl.fleet.blocks import suite_folder


class Row(NamedTuple):
    """One checkpoint in one variation. `score`, `low`, `high`: success rate where the task knows it, else return."""

    run: str
    suite: str
    variation: str
    step: int
    policy: str
    episodes: int
    score: float
    low: float
    high: float
    return_mean: float
    return_low: float
    return_high: float
    success_rate: float | None
    is_there: bool
    worst: list[dict[str, Any]]


def read_table(runs: Iterable[tuple[RunFolder, str]]) -> list[Row]:
    """Every merged row of these (run, suite's name), ordered by run, suite, variation and step.

    Raises:
        UserError: a row's file is damaged.
    """
    rows = []
    for run, suite in runs:
        # By its policy too: a resumed run may have passed the same step again with other weights
        steps = committed_steps(run.checkpoints)
        there = {(step, item_digest(run.checkpoints / str(step), POLICY)) for step in steps}
        shown = str(run.path) if is_remote(run.path) else os.path.relpath(run.path)
        folder = suite_folder(run, suite)
        for checkpoint in names_in(folder):
            if "-" not in checkpoint:  # suite.json
                continue
            for name in names_in(folder / checkpoint):
                if name.endswith(".json") and not name.startswith("."):
                    rows.append(_row(shown, read_json(folder / checkpoint / name), there))
    return sorted(rows, key=lambda row: (row.run, row.suite, row.variation, row.step, row.policy))


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """Write all columns but the worst episodes.

    Raises:
        UserError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields[:-1])
    writer.writerows(row[:-1] for row in rows)
    write_file(path, text.getvalue().encode())


def require_parquet() -> None:
    """Refuse to promise a Parquet file where nothing can write one; UserError."""
    if importlib.util.find_spec("pyarrow") is None:
        raise UserError("--parquet needs pyarrow: pip install 'robo-rl[parquet]'. The same table as CSV needs nothing.")


def write_parquet(path: Path, rows: Sequence[Row]) -> None:
    """Write all columns, the worst episodes as a list of records, for pandas, polars, DuckDB and the like.

    Raises:
        UserError: the file cannot be written, or `require_parquet`.
    """
    require_parquet()
    import pyarrow
    import pyarrow.parquet

    content = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row._asdict() for row in rows]), content)
    write_file(path, content.getvalue())


def write_file(path: Path, content: bytes) -> None:
    """Write `content` so that a reader sees the old file or the whole new one.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        write_atomic(path, content)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error}). Choose another place.") from error


def _row(run: str, record: dict[str, Any], there: set[tuple[int, str | None]]) -> Row:
    returned, success = record["return"], record["success"]
    score = success["rate"] if success else returned["mean"]
    return Row(
        run=run,
        suite=record["suite"],
        variation=record["variation"],
        step=record["step"],
        policy=record["policy"],
        episodes=record["episodes"],
        score=score,
        low=(success or returned)["low"],
        high=(success or returned)["high"],
        return_mean=returned["mean"],
        return_low=returned["low"],
        return_high=returned["high"],
        success_rate=success["rate"] if success else None,
        is_there=(record["step"], record["policy"]) in there,
        worst=record["worst"],
    )
