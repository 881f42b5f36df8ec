"""The learner on several devices: a mesh of 1..n, the replay cut along it, everything else on all of them.

One code path: the updates are the same jitted function; XLA splits each batch along the mesh and adds what the devices
computed. With one device nothing is placed and nothing changes.
"""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from robo_rl.errors import ConfigError
from robo_rl.roles.learner import LearnerState

AXIS = "batch"


def learner_mesh() -> Mesh | None:
    """All local devices in a row, or None where there is only one."""
    devices = jax.local_devices()
    return None if len(devices) == 1 else Mesh(np.array(devices), (AXIS,))


def along_batch(mesh: Mesh) -> NamedSharding:
    """Leading axis cut into equal parts, one per device."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def place(state: LearnerState, mesh: Mesh | None, batch_size: int) -> LearnerState:
    """The state on the mesh: replay storage cut along its capacity, the rest whole on every device.

    Raises:
        ConfigError: capacity or batch size is no multiple of the number of devices.
    """
    if mesh is None:
        return state
    capacity = state.replay.storage.reward.shape[0]
    for field, size in (("replay.capacity", capacity), ("learner.batch_size", batch_size)):
        if size % mesh.size:
            raise ConfigError(
                f"{field} is {size}, which does not divide over the learner's {mesh.size} devices. "
                f"Make it a multiple of {mesh.size}, or hide devices (CUDA_VISIBLE_DEVICES)."
            )
    whole = NamedSharding(mesh, PartitionSpec())
    placed = jax.device_put(state, whole)
    storage = jax.device_put(state.replay.storage, along_batch(mesh))
    placed = placed._replace(replay=placed.replay._replace(storage=storage))
    if state.demonstrations is None or placed.demonstrations is None:
        return placed
    recorded = jax.device_put(state.demonstrations.storage, along_batch(mesh))
    return placed._replace(demonstrations=placed.demonstrations._replace(storage=recorded))
