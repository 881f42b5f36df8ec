"""Saves checkpoints in the background, whole or not at all, and drops old ones."""

import contextlib
import functools
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np
import orbax.checkpoint as ocp

from robo_rl.checkpoints.hashes import write_hashes
from robo_rl.checkpoints.layout import (
    DELETED,
    FORMAT_VERSION,
    ITEMS,
    META,
    POLICY,
    RUN,
    UNFINISHED_SUFFIX,
    restorable_steps,
)
from robo_rl.checkpoints.pins import condemn
from robo_rl.checkpoints.retention import Retention
from robo_rl.errors import CheckpointError


class CheckpointWriter:
    """The one writer of a `checkpoints` folder; a context manager, since a save in flight is lost without `close`.

    Args:
        folder: the `checkpoints` folder of a run, made if missing.
        keep_newest: newest steps that are kept, at least 1.
        keep_best: best-scored steps that are kept besides.
        scores: asked at each save for step -> score (higher is better) of the steps judged so far.

    Raises:
        ValueError: `keep_newest` or `keep_best` is out of range.
        CheckpointError: the folder cannot be made or read.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        keep_newest: int,
        keep_best: int,
        scores: Callable[[], Mapping[int, float]] = dict,
    ) -> None:
        if keep_newest < 1 or keep_best < 0:
            raise ValueError(f"keep_newest must be >= 1 and keep_best >= 0, not {keep_newest} and {keep_best}")
        self.folder = pathlib.Path(folder).absolute()  # Orbax accepts a relative folder and fails later
        self._scores = scores
        self._retention = Retention(keep_newest, keep_best, condemn=functools.partial(condemn, self.folder))
        self._in_flight: int | None = None
        self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self._retention,
            todelete_subdir=DELETED,  # a step goes by one rename, so no reader finds half of one
            save_root_metadata=False,
            lightweight_initialize=True,
            async_options=ocp.options.AsyncOptions(
                post_finalization_callback=self._before_commit,
                # If made in the background, folders that cannot be made leave threads that wait for them for minutes
                create_directories_asynchronously=False,
            ),
        )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return ocp.CheckpointManager(self.folder, item_names=ITEMS, options=options)
        except Exception as error:
            raise CheckpointError(
                f"The checkpoint folder {self.folder} cannot be used: {error}. Choose a run folder on a disk that can"
                " be written, and whose path holds folders only."
            ) from error

    def save(self, step: int, policy: Any, run: Any | None, meta: Mapping[str, Any]) -> None:
        """Start saving a step. On return the caller may donate JAX arrays and overwrite NumPy ones.

        NumPy arrays are copied. A JAX array on CPU may be held while it is written; donated meanwhile, JAX copies it
        once instead of reusing it. Waits for the save before it, and raises its error if it failed.

        Args:
            step: environment steps so far; greater than that of any earlier save.
            policy: pytree of arrays (JAX, typed keys, NumPy) and Python numbers that acting needs.
            run: pytree of the same kinds that a resume needs, or None to save the policy only.
            meta: what JSON can hold; `step` and `format` are added.

        Raises:
            CheckpointError: the step is not newer than the newest, `meta` is not JSON, a leaf cannot be saved, the
                save before failed, or this one cannot be started. The steps committed before stand.
        """
        self.wait()
        try:
            entries = json.loads(json.dumps({**meta, "step": step, "format": FORMAT_VERSION}, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"The meta of step {step} is not JSON: {error}. Turn arrays into lists.") from error
        newest = self._manager.latest_step()
        if newest is not None and newest >= step:
            raise CheckpointError(
                f"Step {step} cannot be saved: {self.folder} already holds step {newest}. Steps must increase; resume"
                f" from step {newest}, or use another run folder."
            )
        self._retention.scores = dict(self._scores())
        self._retention.restorable = [*restorable_steps(self.folder), *([] if run is None else [step])]
        items: dict[str, Any] = {
            POLICY: ocp.args.StandardSave(_arrays(POLICY, policy)),
            META: ocp.args.JsonSave(entries),
        }
        if run is not None:
            items[RUN] = ocp.args.StandardSave(_arrays(RUN, run))
        self._in_flight = step
        try:
            accepted = self._manager.save(step, args=ocp.args.Composite(**items))
        except Exception as error:
            raise self._failure(error) from error
        if not accepted:
            raise self._failure("Orbax declined the save")

    def wait(self) -> None:
        """Return once nothing is in flight: the last save is committed and what it replaces is out of use.

        Raises:
            CheckpointError: the last save failed; said once. The steps committed before stand.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._failure(error) from error
        self._in_flight = None

    def close(self) -> None:
        """Wait as `wait` does, raise what it raises, and free the threads in any case."""
        try:
            self.wait()
        finally:
            self._manager.close()
            self._erase_deleted()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _before_commit(self) -> None:
        # Orbax calls this in its own thread when every item is written, just before the rename that commits the step.
        write_hashes(self.folder / f"{self._in_flight}{UNFINISHED_SUFFIX}", ITEMS)
        self._erase_deleted()

    def _erase_deleted(self) -> None:
        # What cannot be erased now is out of use already, and is tried again at the next save
        shutil.rmtree(self.folder / DELETED, ignore_errors=True)

    def _failure(self, reason: object) -> CheckpointError:
        """The error for a failed save, after the half-written folder, which may fill the disk, is gone."""
        step, self._in_flight = self._in_flight, None
        # Threads of the failed save may still write, and the manager counts its step; so wait, then start afresh.
        # What closing it raises would only repeat `reason`.
        with contextlib.suppress(Exception):
            self._manager.close()
        shutil.rmtree(self.folder / f"{step}{UNFINISHED_SUFFIX}", ignore_errors=True)
        self._manager = self._open()
        newest = self._manager.latest_step()
        return CheckpointError(
            f"Saving step {step} to {self.folder / str(step)} failed: {reason}. Nothing of it was kept;"
            f" {'no step is committed' if newest is None else f'the newest committed step is {newest}'}. Check the"
            " free space and the permissions of that folder."
        )


def _arrays(item: str, tree: Any) -> Any:
    """The tree as Orbax takes it; CheckpointError naming a leaf that cannot be saved.

    Asked beforehand, because Orbax refuses one item when its threads already write the others.
    """

    def checked(path: tuple[Any, ...], leaf: Any) -> Any:
        """The leaf as Orbax takes it; CheckpointError naming it where Orbax cannot."""
        name = f"{item}.{jax.tree_util.keystr(path, simple=True, separator='.')}"
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic | bool | int | float):
            raise CheckpointError(
                f"{name} is a {type(leaf).__name__}; a checkpoint holds arrays and numbers. Put it in meta."
            )
        # Orbax cannot restore a NumPy scalar by example; a 0-d array holds the same
        leaf = np.asarray(leaf) if isinstance(leaf, np.generic) else leaf
        if np.size(leaf) == 0 or getattr(leaf, "dtype", None) == np.dtype(object):
            raise CheckpointError(
                f"{name} has shape {leaf.shape} and dtype {leaf.dtype}; Orbax cannot save it. Leave it out."
            )
        return leaf

    return jax.tree_util.tree_map_with_path(checked, tree)
