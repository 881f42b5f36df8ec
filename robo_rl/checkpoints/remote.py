"""Reading a checkpoint that lies in an object store: its files are copied here first, then checked and restored.

What evaluating needs of a checkpoint is small, and a copy makes the reader the same for every store: the hashes are
compared on the very bytes that are restored.
"""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

from robo_rl.checkpoints.hashes import HASHES, listed_files
from robo_rl.checkpoints.layout import committed_steps
from robo_rl.errors import CheckpointError
from robo_rl.files import as_path, is_remote


@contextlib.contextmanager
def within_reach(folder: str | os.PathLike[str], step: int, item: str) -> Iterator[pathlib.Path]:
    """The `checkpoints` folder itself, or of a remote one a copy with one item of one step while the block lasts.

    Raises:
        CheckpointError: the remote folder holds no such step. What the block raises of a copy names the remote folder.
    """
    place = as_path(folder)
    if not is_remote(place):
        yield place.absolute()
        return
    if step not in (steps := committed_steps(place)):
        raise CheckpointError(
            f"{place} holds no committed step {step}; it holds {steps or 'none'}. It may have been removed: choose one "
            "of those."
        )
    with tempfile.TemporaryDirectory(prefix="robo_rl-") as name:
        copy = pathlib.Path(name)
        for file in [HASHES, *(file for file in listed_files(place / str(step)) if file.startswith(f"{item}/"))]:
            target = copy / str(step) / file
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # the check that follows names what is missing
                target.write_bytes((place / str(step) / file).read_bytes())
        try:
            yield copy
        except CheckpointError as error:
            raise CheckpointError(str(error).replace(name, str(place))) from error


def is_whole(step_folder: pathlib.Path) -> bool:
    """Whether a step can be read: locally as soon as it has hashes.json, remotely when all that is listed has come.

    A step that is copied into a store arrives file by file, in whatever order the copying program chose.
    """
    if not (step_folder / HASHES).is_file():
        return False
    return not is_remote(step_folder) or all((step_folder / file).is_file() for file in listed_files(step_folder))
