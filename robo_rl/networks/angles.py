"""Angles of joints that turn without limit, as networks read them: by sine and cosine, which a full turn leaves alone.

A joint that was spun has an angle of many turns. Normalised together with such angles, the circle on which a task is
played shrinks to a sliver, and one place has as many names as there are turns: both must be learned again and again.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

from robo_rl.specs import Array, ArraySpec, EnvSpec, Observation


def has_angles(spec: EnvSpec) -> bool:
    """Whether an observation of this environment holds an angle without limits."""
    return any(array.angles for array in spec.observation.values())


def without_turns(spec: EnvSpec) -> EnvSpec:
    """The spec of what `sine_and_cosine` gives for the observations of `spec`."""
    return dataclasses.replace(
        spec, observation={name: _without_turns(name, array) for name, array in spec.observation.items()}
    )


def sine_and_cosine(spec: EnvSpec, observation: Observation) -> dict[str, Array]:
    """`observation`, each `[..., D]`, with the n angles that `spec` names moved behind the rest: `[..., D + n]`.

    First all other entries in their order, then the sines, then the cosines.
    """
    return {name: _encoded(spec.observation[name], array) for name, array in observation.items()}


def _encoded(spec: ArraySpec, array: Array) -> Array:
    if not spec.angles:
        return array
    if array.shape[-1] != spec.shape[0]:
        raise ValueError(f"an observation with angles has shape {list(array.shape)}; it must end in {list(spec.shape)}")
    angles = array[..., np.array(spec.angles)]
    rest = jnp.delete(array, np.array(spec.angles), axis=-1, assume_unique_indices=True)
    return jnp.concatenate([rest, jnp.sin(angles), jnp.cos(angles)], axis=-1)


def _without_turns(name: str, array: ArraySpec) -> ArraySpec:
    if not array.angles:
        return array
    if len(array.shape) != 1 or not all(0 <= entry < array.shape[0] for entry in array.angles):
        raise ValueError(f"observation {name!r} of shape {list(array.shape)} cannot have angles at {array.angles}")
    # Bounds are those of the angles or of the rest; they do not hold for all that is there now.
    return ArraySpec((array.shape[0] + len(array.angles),), array.dtype, array.unit)
