"""Size and SHA-256 of every file of a checkpoint, so that damage is found and named before anything is restored.

Orbax checks only part of what it reads: some flipped bytes would come back as different weights. The list is written
into the temporary folder just before its rename, so it commits with the step and is never older or newer than it.
Whole files are hashed, not arrays, because that names the damaged file, also covers tree structure and metadata, and
runs in the thread that writes, not in the one that trains.
"""

import hashlib
import pathlib
from typing import Any

from robo_rl.errors import UserError
from robo_rl.files import read_json, write_json_atomic

HASHES = "hashes.json"


def write_hashes(step_folder: pathlib.Path, items: tuple[str, ...]) -> None:
    """List every file under the item folders of `step_folder` in its hashes.json; OSError where that fails."""
    files = sorted(path for item in items for path in (step_folder / item).rglob("*") if path.is_file())
    write_json_atomic(step_folder / HASHES, {str(path.relative_to(step_folder)): _entry(path) for path in files})


def listed_items(step_folder: pathlib.Path) -> set[str]:
    """The items that the step was written with, be they intact or not; none where hashes.json cannot be read."""
    return {name.partition("/")[0] for name in _listed(step_folder)}


def listed_files(step_folder: pathlib.Path) -> list[str]:
    """The path below `step_folder` of every file the step was written with; none where hashes.json cannot be read."""
    return sorted(_listed(step_folder))


def item_digest(step_folder: pathlib.Path, item: str) -> str | None:
    """12 hexadecimal digits that stand for the content of one item as it was written; None if it cannot be told.

    Two checkpoints of one step, before and after a run was resumed, differ in it.
    """
    entries = sorted(
        (name, entry["sha256"]) for name, entry in _listed(step_folder).items() if name.startswith(f"{item}/")
    )
    return hashlib.sha256(repr(entries).encode()).hexdigest()[:12] if entries else None


def find_damage(step_folder: pathlib.Path, item: str) -> str | None:
    """What is wrong with the first bad file of one item, naming the file with its path, or None if all is well."""
    entries = {name: entry for name, entry in _listed(step_folder).items() if name.startswith(f"{item}/")}
    if not entries:
        return f"{step_folder / HASHES} is missing, damaged, or lists no file of {item!r}"
    for name, expected in sorted(entries.items()):
        problem = _file_problem(step_folder / name, expected)
        if problem:
            return problem
    return None


def _listed(step_folder: pathlib.Path) -> dict[str, Any]:
    try:
        entries = read_json(step_folder / HASHES)
    except (OSError, UserError):
        return {}
    is_list = isinstance(entries, dict) and all(isinstance(one, dict) and "sha256" in one for one in entries.values())
    return entries if is_list else {}


def _entry(path: pathlib.Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _file_problem(path: pathlib.Path, expected: Any) -> str | None:
    try:
        actual = _entry(path)
    except FileNotFoundError:
        return f"{path} is missing"
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    if actual == expected:
        return None
    return f"{path} is damaged (is {actual}, was written as {expected})"
