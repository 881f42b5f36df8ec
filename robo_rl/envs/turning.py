"""Which entries of an observation are angles of joints that turn without limit, found by turning each joint once."""

# mujoco's names come from compiled modules without type stubs.
# pyright: reportAttributeAccessIssue=false

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np


def turning_entries(environment: Any) -> dict[str, tuple[int, ...]]:
    """Observation -> its entries that grow by 2 pi when a hinge without limits is turned once, and no force changes.

    environment: dm_control's control.Environment; it is reset, with the random state of its task as it was
    """
    physics, task = environment.physics, environment.task
    before = task.random.get_state()
    environment.reset()
    task.random.set_state(before)
    found: dict[str, set[int]] = {}
    for address in _hinges_without_limits(physics.model):
        still, forces = _vectors(task, physics), physics.data.qfrc_smooth.copy()
        with _turned_once(physics, address):
            turned, forces_then = _vectors(task, physics), physics.data.qfrc_smooth.copy()
        # Where a spring or a servo now pulls harder, a full turn more is another place.
        if not np.allclose(forces, forces_then, rtol=1e-6, atol=1e-9):
            continue
        for name, values in still.items():
            grown = np.flatnonzero(np.abs(turned[name] - values - 2 * math.pi) < 1e-6)
            found.setdefault(name, set()).update(grown.tolist())
    return {name: tuple(sorted(entries)) for name, entries in found.items() if entries}


def _hinges_without_limits(model: Any) -> list[int]:
    """Addresses of their angles in qpos."""
    # Only now: whoever asks for names of environments has no simulator to wait for.
    import mujoco

    hinge = int(mujoco.mjtJoint.mjJNT_HINGE)
    joints = range(int(model.njnt))
    return [int(model.jnt_qposadr[j]) for j in joints if int(model.jnt_type[j]) == hinge and not model.jnt_limited[j]]


def _vectors(task: Any, physics: Any) -> dict[str, np.ndarray]:
    """The observations that are vectors; copies, since dm_control hands out views into live memory."""
    arrays = {name: np.array(value, np.float64) for name, value in task.get_observation(physics).items()}
    return {name: array for name, array in arrays.items() if array.ndim == 1}


@contextlib.contextmanager
def _turned_once(physics: Any, address: int) -> Iterator[None]:
    angle = float(physics.data.qpos[address])
    physics.data.qpos[address] = angle + 2 * math.pi
    physics.forward()
    try:
        yield
    finally:
        physics.data.qpos[address] = angle
        physics.forward()
