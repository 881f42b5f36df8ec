"""The learner on several devices: a mesh of 1..n, the replay cut along it, everything else on all of them.

One code path: the updates are the same jitted function; XLA splits each batch along the mesh and adds what the devices
computed. With one device nothing is placed and nothing changes.
"""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from robo_rl.errors import ConfigError
from robo_rl.replay.ring import RingState
from robo_rl.roles.learner import LearnerState

AXIS = "batch"


def learner_mesh() -> Mesh | None:
    """All local devices in a row, or None where there is only one."""
    devices = jax.local_devices()
    return None if len(devices) == 1 else Mesh(np.array(devices), (AXIS,))


def along_batch(mesh: Mesh) -> NamedSharding:
    """Leading axis cut into equal parts, one per device."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def make_placed(make: Callable[[], LearnerState], mesh: Mesh | None, batch_size: int) -> LearnerState:
    """What `make` makes, on the mesh: replay storage cut along its capacity, the rest whole on every device.

    Each device makes its own part, so that a replay may be as large as all of them together.

    Raises:
        ConfigError: capacity or batch size is no multiple of the number of devices.
    """
    if mesh is None:
        return make()
    shapes = jax.eval_shape(make)
    capacity = shapes.replay.storage.reward.shape[0]
    for field, size in (("replay.capacity", capacity), ("learner.batch_size", batch_size)):
        if size % mesh.size:
            raise ConfigError(
                f"{field} is {size}, which does not divide over the learner's {mesh.size} devices. "
                f"Make it a multiple of {mesh.size}, or hide devices (CUDA_VISIBLE_DEVICES)."
            )
    whole, cut = NamedSharding(mesh, PartitionSpec()), along_batch(mesh)

    def of_ring(ring: RingState) -> RingState:
        return jax.tree.map(lambda _: whole, ring)._replace(storage=jax.tree.map(lambda _: cut, ring.storage))

    places = jax.tree.map(lambda _: whole, shapes)._replace(replay=of_ring(shapes.replay))
    if shapes.demonstrations is not None:
        places = places._replace(demonstrations=of_ring(shapes.demonstrations))
    return jax.jit(make, out_shardings=places)()
