"""The folder of a comparison: what was asked and on which machine, the proof of equal conditions, and every score."""

import contextlib
import csv
import io
import os
import platform
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robo_rl.checkpoints.locks import exclusive
from robo_rl.checkpoints.manifest import differences, processor, revision, versions
from robo_rl.compare.cell_folder import CellFolder
from robo_rl.compare.plan import Cell, CompareConfig, shared_part, shared_part_hash
from robo_rl.compare.scores import COLUMNS
from robo_rl.config import Config
from robo_rl.errors import ConfigError, UserError
from robo_rl.files import read_json, write_atomic, write_json_atomic

MAY_CHANGE = ("question", "checkpoint_every", "workers")
"""Fields in which a resumed comparison may differ from the one that began it: no score depends on them."""

MAY_CHANGE_IN_CELL = ("checkpoint.run_every", "seed")
"""The same for the training config of a cell; its seeds are compared by themselves."""


class ComparisonFolder:
    """Paths of a comparison, and reading and writing the files that belong to all of its cells."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """A comparison at `path`, which need not exist yet."""
        self.path = Path(path).absolute()
        self.comparison_file = self.path / "comparison.json"
        self.scores_file = self.path / "scores.csv"

    def cell(self, cell: Cell) -> CellFolder:
        """The folder of one cell."""
        return CellFolder(self.path / "cells" / cell.name)

    def begin(self, plan: CompareConfig, configs: Mapping[Cell, Config]) -> None:
        """Make the folder ready for this comparison; `configs` are the training configs of its cells.

        Raises:
            ConfigError: the folder holds another comparison, a run, or a cell (brought from elsewhere, say) that was
                trained with other fields; every differing field is named.
            UserError: it cannot be written.
        """
        new, command = plan.model_dump(mode="json"), shlex.join(["robo-rl", *sys.argv[1:]])
        any_config = next(iter(configs.values())).model_dump(mode="json")
        training = shared_part(any_config, plan.axes)
        if self.comparison_file.exists():
            about = read_json(self.comparison_file)
            fields = differences(
                {**about["config"], "training": about["training"]}, {**new, "training": training}, MAY_CHANGE
            )
            if fields:
                raise ConfigError(
                    f"{self.path} holds another comparison. Fields that differ (there -> now):\n  "
                    + "\n  ".join(fields)
                    + "\nGive this one a folder of its own (--run DIR), or start it with the same fields to resume. "
                    "(training: fields of the training config, which the cells share.)"
                )
            command = about["command"]
        elif (self.path / "config.yaml").exists():
            raise ConfigError(f"{self.path} holds a training run. Give the comparison a folder of its own (--run DIR).")
        for cell, config in configs.items():
            _refuse_stranger(self.cell(cell), config, plan.seeds)
        about = {
            "config": new,
            "training": training,
            "command": command,
            "reporting_seeds": plan.seeds,
            "tuning_seeds": plan.tuning_seeds,
            "equal_part_sha256": {
                cell.name: shared_part_hash(config.model_dump(mode="json"), plan.axes)
                for cell, config in configs.items()
            },
            "versions": versions(),
            "git": revision(),
            "machine": {
                "platform": platform.platform(),
                "processor": processor(),
                "cores": os.cpu_count(),
                "devices": self._devices([self.cell(cell) for cell in configs]),
            },
        }
        self.path.mkdir(parents=True, exist_ok=True)
        write_json_atomic(self.comparison_file, about)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only one who works on this comparison; the lock goes with the process, however it ends.

        Raises:
            UserError: another process holds it (its id is named), or the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be made ({error.strerror or error}). Choose another folder (--run DIR)."
            ) from error
        with exclusive(
            self.path / "compare.lock",
            str(os.getpid()),
            lambda owner: f"Process {owner} is at work on {self.path}. Wait for it, stop it, or choose another folder.",
        ):
            yield

    def write_scores(self, plan: CompareConfig, cells: Sequence[Cell]) -> None:
        """Write `scores.csv` anew: a row for every evaluation of every seed of every cell, finished or not.

        `return` is the mean over the episodes (environment units), `success` the share of them that succeeded, empty
        for tasks without that notion.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*COLUMNS, *plan.axes])
        for cell in cells:
            for row in self.cell(cell).evaluations():
                episodes = row["episodes"]
                mean = float(np.mean([episode["return"] for episode in episodes]))
                judged = [episode["success"] for episode in episodes if episode["success"] is not None]
                success = float(np.mean(judged)) if judged else ""
                values = [str(value) for value in cell.axes.values()]
                writer.writerow([cell.loss, cell.task, row["seed"], row["env_steps"], mean, success, *values])
        write_atomic(self.scores_file, text.getvalue().encode())

    def write_devices(self, cells: Sequence[Cell]) -> None:
        """Note in `comparison.json` on which devices the cells were trained."""
        about: dict[str, Any] = read_json(self.comparison_file)
        about["machine"]["devices"] = self._devices([self.cell(cell) for cell in cells])
        write_json_atomic(self.comparison_file, about)

    def _devices(self, folders: Sequence[CellFolder]) -> list[str]:
        records = (folder.record() for folder in folders)
        return sorted({device for record in records if record for device in record.get("devices", [])})


def _refuse_stranger(cell: CellFolder, config: Config, seeds: Sequence[int]) -> None:
    """Raise ConfigError if what was trained in the folder of a cell is not what is asked for now."""
    record = cell.record() or {}
    if not record.get("config"):  # it died before it could say
        return
    fields = differences(
        {**record["config"], "seeds": record["seeds"]},
        {**config.model_dump(mode="json"), "seeds": list(seeds)},
        MAY_CHANGE_IN_CELL,
    )
    if fields:
        raise ConfigError(
            f"{cell.path} holds a cell of another comparison. Fields that differ (there -> now):\n  "
            + "\n  ".join(fields)
            + "\nMove the folder away, and the cell is trained anew."
        )
