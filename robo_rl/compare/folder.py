"""The folder of a comparison: what was asked and on which machine, the proof of equal conditions, and every score."""

import contextlib
import csv
import io
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robo_rl.checkpoints.locks import exclusive
from robo_rl.checkpoints.manifest import differences, processor, revision, versions
from robo_rl.compare.cohorts import Cohort, cohorts
from robo_rl.compare.plan import Cell, CompareConfig, separate_fields, shared_part, shared_part_hash, with_defaults
from robo_rl.compare.scores import COLUMNS
from robo_rl.compare.unread import ANGLES, angles_are_alike
from robo_rl.config import Config
from robo_rl.critics.heads import unread_fields
from robo_rl.errors import ConfigError, UserError
from robo_rl.files import read_json, write_atomic, write_json_atomic

MAY_CHANGE = ("question", "tuning_seeds", "checkpoint_every", "workers", "base", "overrides", "heads")
"""Fields in which a resumed comparison may differ from the one that began it.

No score depends on the first four. What base and overrides come to is compared as the training config, so that flags
can bring back what a preset was; what a head has for itself, with the cells that were trained with it.
"""

MAY_GROW = ("losses", "tasks", "seeds")
"""Fields to which a resumed comparison may add; so may it to the values of each axis. What is there stays as it is."""

MAY_CHANGE_IN_CELL = ("checkpoint.run_every", "seed")
"""The same for the training config of a cell; its seeds are compared by themselves."""


class ComparisonFolder:
    """Paths of a comparison, and reading and writing the files that belong to all of its cells."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """A comparison at `path`, which need not exist yet."""
        self.path = Path(path).absolute()
        self.comparison_file = self.path / "comparison.json"
        self.scores_file = self.path / "scores.csv"

    def cohorts(self, plan: CompareConfig, cells: Iterable[Cell]) -> list[Cohort]:
        """The cohorts of all `cells`, each with its own seeds, begun or not.

        Raises:
            UserError: as `cohorts.cohorts`.
        """
        return [cohort for cell in cells for cohort in cohorts(self.path / "cells", cell, plan.seeds)]

    def begin(self, plan: CompareConfig, configs: Mapping[Cell, Config]) -> None:
        """Make the folder ready for this comparison; `configs` are the training configs of its cells.

        The folder may hold the same comparison of fewer losses, tasks, seeds or values of an axis: what is new is then
        trained beside the rest.

        Raises:
            ConfigError: the folder holds another comparison, a run, or a cell (brought from elsewhere, say) that was
                trained with other fields; every differing field is named.
            UserError: it cannot be written, or holds a damaged record.
        """
        new, command = plan.model_dump(mode="json"), shlex.join(["robo-rl", *sys.argv[1:]])
        any_config = next(iter(configs.values())).model_dump(mode="json")
        training = shared_part(any_config, separate_fields(new))
        if self.comparison_file.exists():
            about = read_json(self.comparison_file)
            if "training" not in about:
                raise ConfigError(
                    f"{self.comparison_file} is of an older version, which did not write down the training config. "
                    "Move cells/ into a new folder and give the same command there: what is finished is taken as it is."
                )
            before, now = _crossed(about["config"]), _crossed(new)
            whole = [name for name, values in before.items() if _are_among(values, now.get(name, []))]
            added = any(not _are_among(now[name], before[name]) for name in whole)
            # Fields that are a head's own only now were shared before, or the reverse.
            separate = [*separate_fields(about["config"]), *separate_fields(new)]
            fields = differences(
                {**about["config"], "training": shared_part(with_defaults(about["training"]), separate)},
                {**new, "training": shared_part(any_config, separate)},
                (*MAY_CHANGE, *whole),
            )
            if fields:
                raise ConfigError(
                    f"{self.path} holds another comparison. Fields that differ (there -> now):\n  "
                    + "\n  ".join(fields)
                    + "\nGive this one a folder of its own (--run DIR), or start it with the same fields to resume. "
                    "(training: fields of the training config, which the cells share.)"
                )
            command = command if added else about["command"]
        elif (self.path / "config.yaml").exists():
            raise ConfigError(f"{self.path} holds a training run. Give the comparison a folder of its own (--run DIR).")
        for cell, config in configs.items():
            for cohort in self.cohorts(plan, [cell]):
                _refuse_stranger(cohort, config, plan.seeds)
        about = {
            "config": new,
            "training": training,
            "command": command,
            "reporting_seeds": plan.seeds,
            "tuning_seeds": plan.tuning_seeds,
            "equal_part_sha256": {
                cell.name: shared_part_hash(config.model_dump(mode="json"), separate_fields(new))
                for cell, config in configs.items()
            },
            "versions": versions(),
            "git": revision(),
            "machine": {
                "platform": platform.platform(),
                "processor": processor(),
                "cores": os.cpu_count(),
                "devices": _devices(self.cohorts(plan, configs)),
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
        rows = ((cell, row) for cell in cells for one in self.cohorts(plan, [cell]) for row in one.folder.evaluations())
        for cell, row in rows:
            episodes = row["episodes"]
            mean = float(np.mean([episode["return"] for episode in episodes]))
            judged = [episode["success"] for episode in episodes if episode["success"] is not None]
            success = float(np.mean(judged)) if judged else ""
            values = [str(value) for value in cell.axes.values()]
            writer.writerow([cell.loss, cell.task, row["seed"], row["env_steps"], mean, success, *values])
        write_atomic(self.scores_file, text.getvalue().encode())

    def write_devices(self, plan: CompareConfig, cells: Sequence[Cell]) -> None:
        """Note in `comparison.json` on which devices the cells were trained."""
        about: dict[str, Any] = read_json(self.comparison_file)
        about["machine"]["devices"] = _devices(self.cohorts(plan, cells))
        write_json_atomic(self.comparison_file, about)


def _crossed(config: Mapping[str, Any]) -> dict[str, list[Any]]:
    """All that a comparison crosses with each other, by dotted name."""
    axes = {f"axes.{field}": values for field, values in config["axes"].items()}
    return {name: config[name] for name in MAY_GROW} | axes


def _are_among(some: Iterable[Any], values: Sequence[Any]) -> bool:
    return all(value in values for value in some)


def _devices(among: Iterable[Cohort]) -> list[str]:
    return sorted({device for cohort in among for device in cohort.record.get("devices", [])})


def _refuse_stranger(cohort: Cohort, config: Config, seeds: Sequence[int]) -> None:
    """Raise ConfigError if what was trained in the folder of a cohort is not part of what is asked for now.

    Fields that its loss or its task does not read may differ: a cell of MSE is the same whatever the bins.
    """
    if not cohort.record.get("config"):  # it died before it could say
        return
    is_part = set(cohort.seeds) <= set(seeds)
    there, now = with_defaults(cohort.record["config"]), config.model_dump(mode="json")
    unread = [f"agent.critic.{name}" for name in unread_fields(config.agent.critic)]
    unread += [f"agent.{ANGLES}"] if angles_are_alike(there, now) else []
    fields = differences(
        {**there, "seeds": cohort.seeds},
        {**now, "seeds": cohort.seeds if is_part else list(seeds)},
        (*MAY_CHANGE_IN_CELL, *unread),
    )
    if fields:
        raise ConfigError(
            f"{cohort.folder.path} holds a cell of another comparison. Fields that differ (there -> now):\n  "
            + "\n  ".join(fields)
            + "\nMove the folder away, and the cell is trained anew."
        )
