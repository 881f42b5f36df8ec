"""Cohorts: the seeds of a cell that train together. A cell has one, and another for seeds that were asked for later."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from robo_rl.compare.cell_folder import CellFolder
from robo_rl.compare.plan import Cell
from robo_rl.errors import UserError


class Cohort(NamedTuple):
    """Some seeds of a cell, trained as one population.

    name: of its folder: the cell's own, and for the n-th cohort `@n` behind it
    record: its cell.json, empty if it has not begun
    """

    name: str
    folder: CellFolder
    seeds: Sequence[int]
    record: Mapping[str, Any]

    @property
    def status(self) -> str:
        """`finished`, `failed`, `running` or `not begun`."""
        return self.record.get("status", "not begun")


def cohorts(folder: Path, cell: Cell, seeds: Sequence[int]) -> list[Cohort]:
    """The cohorts of a cell that have begun, in order, and one of those of `seeds` that are in none of them.

    What a member becomes does not depend on who else is in its population, so that a later cohort adds to the former
    ones as if all had trained together.

    folder: the comparison's folder of cells

    Raises:
        UserError: a record is damaged or of another cell, or a seed is in two cohorts.
    """
    found: list[Cohort] = []
    for number in itertools.count(1):
        name = cell.name if number == 1 else f"{cell.name}@{number}"
        place = CellFolder(folder / name)
        record = place.record()
        if record is None:
            break
        _check(place, record, cell)
        found.append(Cohort(name, place, record["seeds"], record))
    begun = [seed for cohort in found for seed in cohort.seeds]
    twice = sorted({seed for seed in begun if begun.count(seed) > 1})
    if twice:
        raise UserError(f"Seeds {twice} are in more than one of {', '.join(str(c.folder.path) for c in found)}.")
    missing = [seed for seed in seeds if seed not in begun]
    return [*found, Cohort(name, place, missing, {})] if missing else found


def _check(place: CellFolder, record: Mapping[str, Any], cell: Cell) -> None:
    wrong = [name for name, own in (("loss", cell.loss), ("task", cell.task)) if record.get(name) != own]
    wrong += [] if isinstance(record.get("seeds"), list) else ["seeds"]
    if wrong:
        raise UserError(
            f"{place.record_file} is no record of the cell that its folder is named after (wrong: {', '.join(wrong)}). "
            "Remove that folder and run the same `robo-rl compare` command again to train it anew."
        )
