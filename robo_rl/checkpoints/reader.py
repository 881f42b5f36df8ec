"""Restores checkpoints, on this machine's devices whichever wrote them, after checking every byte that is read."""

import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from robo_rl.checkpoints.hashes import find_damage, listed_items
from robo_rl.checkpoints.layout import FORMAT_VERSION, META, POLICY, RUN, committed_steps
from robo_rl.checkpoints.remote import within_reach
from robo_rl.errors import CheckpointError
from robo_rl.files import read_json


def load_policy(folder: str | os.PathLike[str], step: int, template: Any | None = None) -> Any:
    """The policy of one step.

    Args:
        folder: the `checkpoints` folder of a run.
        step: a committed step, in environment steps.
        template: pytree of arrays of this machine with the structure, shapes and dtypes to restore; the result has
            its containers and lies on its devices. Without one the result is NumPy arrays in dicts and lists, Python
            numbers stay what they are, and a typed random key comes as its uint32 data.

    Raises:
        CheckpointError: the step is not there, damaged (names the file and an earlier good step), removed meanwhile,
            or does not fit the template (names the leaves).
    """
    return _load(folder, step, POLICY, template)


def load_run(folder: str | os.PathLike[str], step: int, template: Any) -> Any:
    """All a resume needs, in the containers and on the devices of `template`; arguments and errors of `load_policy`."""
    return _load(folder, step, RUN, template)


def load_meta(folder: str | os.PathLike[str], step: int) -> dict[str, Any]:
    """What was saved as `meta`, with `step` and `format`; errors of `load_policy`, and one for a newer format."""
    with within_reach(folder, step, META) as here:
        path = _checked_item(here, step, META)
        meta = read_json(path / "metadata")
    if meta["format"] > FORMAT_VERSION:
        raise CheckpointError(
            f"{path.parent} has checkpoint format {meta['format']}, this program reads up to {FORMAT_VERSION}. Use the"
            f" version of robo_rl that wrote it, or a newer one."
        )
    return meta


def _load(folder: str | os.PathLike[str], step: int, item: str, template: Any | None) -> Any:
    with within_reach(folder, step, item) as here:
        return _load_local(here, step, item, template)


def _load_local(folder: pathlib.Path, step: int, item: str, template: Any | None) -> Any:
    path = _checked_item(folder, step, item)
    try:
        # The handler itself, since a Checkpointer around it warns that the item is not a whole step
        handler = ocp.PyTreeCheckpointHandler()
        place = epath.Path(path)
        stored: Any = handler.metadata(place).tree
        if template is None:
            restored = handler.restore(place, args=ocp.args.PyTreeRestore(restore_args=jax.tree.map(_as_numpy, stored)))
        else:
            _check_fit(path, stored, template)
            local = jax.tree.map(_local, template)
            arguments = ocp.checkpoint_utils.construct_restore_args(local)
            restored = handler.restore(place, args=ocp.args.PyTreeRestore(item=local, restore_args=arguments))
            _check_kinds(path, restored, template)
    except CheckpointError:
        raise
    except Exception as error:
        raise _unreadable(folder, step, item, f"{path} cannot be restored ({type(error).__name__}: {error})") from error
    # Retention may have taken the step away between two reads
    if not path.is_dir():
        raise _unreadable(folder, step, item, f"{path} is gone")
    return restored


def _checked_item(folder: pathlib.Path, step: int, item: str) -> pathlib.Path:
    """The folder of one item of a committed step, after comparing its files with their hashes."""
    step_folder = folder / str(step)
    if step not in committed_steps(folder):
        raise CheckpointError(
            f"{folder} holds no committed step {step}; it holds {committed_steps(folder) or 'none'}. It may have been"
            " removed by retention: choose one of those."
        )
    damage = find_damage(step_folder, item)
    if damage is None:
        return step_folder / item
    items = listed_items(step_folder)
    if not items or item in items:
        raise _unreadable(folder, step, item, damage)
    having = [other for other in committed_steps(folder) if item in listed_items(folder / str(other))]
    raise CheckpointError(f"{step_folder} holds no {item!r}; the steps that do are {having or 'none'}.")


def _unreadable(folder: pathlib.Path, step: int, item: str, problem: str) -> CheckpointError:
    if step not in committed_steps(folder):
        return CheckpointError(f"{folder / str(step)} was removed by retention while it was read. Read a newer step.")
    earlier = [other for other in reversed(committed_steps(folder)) if other < step]
    good = next((other for other in earlier if find_damage(folder / str(other), item) is None), None)
    advice = "There is no earlier good step" if good is None else f"The newest good step before it is {good}"
    return CheckpointError(f"Step {step} is unusable: {problem}. {advice}; move {folder / str(step)} away to go on.")


def _as_numpy(stored: Any) -> ocp.RestoreArgs:
    """How to restore one leaf without a template; a Python number keeps its type, all else becomes NumPy."""
    is_number = isinstance(stored, ocp.metadata.ScalarMetadata)
    return ocp.RestoreArgs() if is_number else ocp.RestoreArgs(restore_type=np.ndarray)


def _local(leaf: Any) -> Any:
    """What tells Orbax to restore a leaf as this one, with the device it shall lie on."""
    if isinstance(leaf, np.ndarray | np.generic):
        return np.asarray(leaf)
    leaf = ocp.utils.to_shape_dtype_struct(leaf)
    # Without a device Orbax would ask for the one that wrote the checkpoint
    if isinstance(leaf, jax.ShapeDtypeStruct) and leaf.sharding is None:
        here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here)
    return leaf


def _check_fit(path: pathlib.Path, stored: Any, template: Any) -> None:
    """CheckpointError naming the leaves where structure, shape or dtype differ; Orbax would cast or pad some."""
    there = {name: _shape_and_dtype(leaf) for name, leaf in _leaves(stored)}
    wanted = {name: _shape_and_dtype(leaf) for name, leaf in _leaves(template)}
    differing = [
        f"{name}: stored {there.get(name, 'not')}, expected {wanted.get(name, 'not')}"
        for name in sorted(there.keys() | wanted.keys())
        if there.get(name) != wanted.get(name)
    ]
    if differing:
        more = f" and {len(differing) - 10} more" if len(differing) > 10 else ""
        raise CheckpointError(
            f"{path} does not fit what this program expects: {'; '.join(differing[:10])}{more}. Use the config and"
            " version that wrote the checkpoint (both are in its meta)."
        )


def _check_kinds(path: pathlib.Path, restored: Any, template: Any) -> None:
    """CheckpointError where a random key came back as one of another kind; on disk both are the same integers."""
    differing = [
        f"{name}: stored {actual.dtype}, expected {wanted.dtype}"
        for (name, actual), (_, wanted) in zip(_leaves(restored), _leaves(template), strict=True)
        if hasattr(wanted, "dtype") and actual.dtype != wanted.dtype
    ]
    if differing:
        raise CheckpointError(
            f"{path} holds random keys of another kind: {'; '.join(differing)}. Make the template's keys in the same"
            " way as those that were saved (typed keys, same jax_default_prng_impl)."
        )


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    pairs, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in pairs]


def _shape_and_dtype(leaf: Any) -> str:
    if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    if not hasattr(leaf, "shape"):
        leaf = np.asarray(leaf)
    return f"{np.dtype(leaf.dtype).name}{list(leaf.shape or ())}"
