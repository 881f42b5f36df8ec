"""Where checkpoints lie in a run folder, and which of them count. Lists folders only; loads neither JAX nor Orbax.

    RUN/checkpoints/STEP/policy/       all an evaluation worker needs
                         run/          all a resume needs; only some steps hold it
                         meta/         JSON: environment spec, config, versions
                         hashes.json   size and SHA-256 of every file above
    RUN/checkpoints/STEP.orbax-checkpoint-tmp   a save in flight, or what a killed writer left
    RUN/checkpoints/.deleted/STEP               taken out of use by retention, erased a little later

STEP counts environment steps. A step folder gets its name by one rename, when all of it is written, and loses it by
one rename: so a folder with a plain number for a name and with hashes.json in it is whole.
"""

import os
import pathlib
import shutil

from robo_rl.checkpoints.hashes import HASHES
from robo_rl.errors import CheckpointError
from robo_rl.files import as_path, names_in

POLICY, RUN, META = "policy", "run", "meta"
ITEMS = (POLICY, RUN, META)
UNFINISHED_SUFFIX = ".orbax-checkpoint-tmp"
DELETED = ".deleted"
FORMAT_VERSION = 1
"""Goes up when a reader of the former format could misread the new one."""


def committed_steps(folder: str | os.PathLike[str]) -> list[int]:
    """Every whole checkpoint in the `checkpoints` folder, ascending, in environment steps; none if it is missing.

    Raises:
        CheckpointError: the folder is there and cannot be listed.
    """
    place = as_path(folder)
    try:
        names = names_in(place)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint folder {folder} cannot be listed: {error.strerror}. It must be a folder that this user"
            " may read."
        ) from error
    steps = (int(name) for name in names if name.isdecimal())
    return sorted(step for step in steps if (place / str(step) / HASHES).is_file())


def restorable_steps(folder: str | os.PathLike[str]) -> list[int]:
    """The committed steps a training run can be resumed from: those that hold `run`; ascending."""
    return [step for step in committed_steps(folder) if (as_path(folder) / str(step) / RUN).is_dir()]


def remove_unfinished(folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Erase what killed writers left: half-written saves and steps on their way out. Returns what was erased.

    The caller makes sure that no writer is alive on this folder.
    """
    folder = pathlib.Path(folder)
    leftovers = sorted(folder.glob(f"*{UNFINISHED_SUFFIX}*")) + sorted((folder / DELETED).glob("*"))
    for leftover in leftovers:
        shutil.rmtree(leftover)
    return leftovers


def remove_later(folder: str | os.PathLike[str], step: int) -> list[int]:
    """Take every committed step after `step` out of use, and erase it: a run that resumes from `step` makes its own.

    The caller makes sure that no writer is alive on this folder. Returns the steps that were removed.
    """
    folder = pathlib.Path(folder)
    later = [other for other in committed_steps(folder) if other > step]
    if later:
        (folder / DELETED).mkdir(exist_ok=True)
    for other in later:
        (folder / str(other)).replace(folder / DELETED / str(other))
    shutil.rmtree(folder / DELETED, ignore_errors=True)
    return later
