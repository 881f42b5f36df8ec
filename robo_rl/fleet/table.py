"""The merged rows of all runs a fleet follows, as one table: in memory, as CSV and as Parquet."""

import csv
import hashlib
import importlib.util
import io
import json
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
    """One checkpoint in one variation. `score`, `low`, `high`: success rate where the task knows it, else return.

    `environment` stands for all fields of what was played (see `read_environments`): a suite leaves to the run what
    its variations do not say, so scores compare only where these are equal. Empty where suite.json no longer tells.
    """

    run: str
    suite: str
    variation: str
    environment: str
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


def read_environments(runs: Iterable[tuple[RunFolder, str]]) -> dict[str, dict[str, Any]]:
    """What these (run, suite's name) were played in: `Row.environment` -> the fields of that environment.

    Raises:
        UserError: a suite.json is damaged.
    """
    played = [environment for run, suite in runs for environment in _environments(run, suite).values()]
    return {_digest(environment): environment for environment in played}


def read_table(runs: Iterable[tuple[RunFolder, str]]) -> list[Row]:
    """Every merged row of these (run, suite's name), ordered by run, suite, variation and step.

    Raises:
        UserError: a row's file or a suite.json is damaged.
    """
    rows = []
    for run, suite in runs:
        environments = {name: _digest(environment) for name, environment in _environments(run, suite).items()}
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
                    rows.append(_row(shown, read_json(folder / checkpoint / name), environments, there))
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


def _environments(run: RunFolder, suite: str) -> dict[str, dict[str, Any]]:
    """variation -> every field of what it is played in, as the suite was written down there; none before its use."""
    try:
        recorded = read_json(suite_folder(run, suite) / "suite.json")
    except FileNotFoundError:
        return {}
    return {name: variation["env"] for name, variation in recorded["variations"].items()}


def _digest(environment: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(environment, sort_keys=True).encode()).hexdigest()[:12]


def _row(run: str, record: dict[str, Any], environments: dict[str, str], there: set[tuple[int, str | None]]) -> Row:
    returned, success = record["return"], record["success"]
    score = success["rate"] if success else returned["mean"]
    return Row(
        run=run,
        suite=record["suite"],
        variation=record["variation"],
        environment=environments.get(record["variation"], ""),
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
