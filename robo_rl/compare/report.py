"""What a comparison says: so far the mean final score of each loss on each task, as `summary.json`."""

import csv
from pathlib import Path

import numpy as np

from robo_rl.files import write_json_atomic


def write_report(folder: Path) -> None:
    """Write `summary.json` from `scores.csv`: per loss and task, mean and number of the seeds' last returns."""
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    last = {(row["loss"], row["task"], *list(row.values())[6:], row["seed"]): float(row["return"]) for row in rows}
    groups: dict[str, list[float]] = {}
    for key, value in last.items():
        groups.setdefault(" ".join(key[:-1]), []).append(value)
    summary = {name: {"mean": float(np.mean(values)), "seeds": len(values)} for name, values in groups.items()}
    write_json_atomic(folder / "summary.json", summary)
