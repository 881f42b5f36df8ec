"""Running normalisation of observations: the statistic lives in the agent's state and travels with the policy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from robo_rl import moments
from robo_rl.specs import ArraySpec, EnvSpec, Observation

CLIP = 10.0
"""Standard deviations beyond which a normalised entry is cut; an outlier then cannot saturate the network."""

VARIANCE_FLOOR = 1e-6
"""Added to the variance: an entry that never moved is not blown up when it moves by less than about 1e-3 units."""


class ObservationStatistics(NamedTuple):
    """Mean and population variance of every observation that is not an image.

    count: `[]` float32, observations counted (it stands still at 2^24 single additions)
    mean, variance: name -> float32 `[*shape]`, in the observation's unit and its square
    """

    count: jax.Array
    mean: dict[str, jax.Array]
    variance: dict[str, jax.Array]


def is_image(spec: ArraySpec) -> bool:
    """Whether this is an image `[H, W, C]` of uint8, which the network scales by 1/255 on its own."""
    return len(spec.shape) == 3 and spec.dtype == "uint8"


def init(spec: EnvSpec) -> ObservationStatistics:
    """The statistic of no observations: mean 0 and variance 1, so that `normalize` only clips."""
    shapes = {name: array.shape for name, array in sorted(spec.observation.items()) if not is_image(array)}
    return ObservationStatistics(
        count=jnp.zeros((), jnp.float32),
        mean={name: jnp.zeros(shape, jnp.float32) for name, shape in shapes.items()},
        variance={name: jnp.ones(shape, jnp.float32) for name, shape in shapes.items()},
    )


def update(stats: ObservationStatistics, observation: Observation, mask: ArrayLike) -> ObservationStatistics:
    """`stats` with the observations (each `[B, *shape]`) where `mask [B]` is true; masked ones may hold anything.

    Raises:
        KeyError: an observation of the spec is missing.
        ValueError: the mask is not `[B]`, or an array is not `[B, *shape]`.
    """
    mask = jnp.asarray(mask, bool)
    if mask.ndim != 1:
        raise ValueError(f"mask has shape {list(mask.shape)}; expected [B]: flatten further batch axes first.")
    mean, variance = {}, {}
    for name, old_mean in stats.mean.items():
        values = jnp.asarray(observation[name], jnp.float32)
        if values.shape != (*mask.shape, *old_mean.shape):
            raise ValueError(
                f"Observation {name!r} has shape {list(values.shape)}; expected {[*mask.shape, *old_mean.shape]} "
                "(batch of the mask, then the shape in the environment's spec)."
            )
        merged = moments.merge(
            moments.Moments(stats.count, old_mean, stats.variance[name]), moments.of_group(values, mask)
        )
        mean[name], variance[name] = merged.mean, merged.variance
    return ObservationStatistics(stats.count + jnp.sum(mask, dtype=jnp.float32), mean, variance)


def normalize(stats: ObservationStatistics, observation: Observation) -> dict[str, jax.Array]:
    """Every observation `[..., *shape]` less its mean, over its deviation, cut to [-CLIP, CLIP]; float32.

    Images pass as they are.

    Raises:
        KeyError: an array that is no image is not in the statistic.
        ValueError: an array does not end in the shape that the statistic has for it.
    """
    result = {}
    for name, array in observation.items():
        if name not in stats.mean:
            if array.dtype != jnp.uint8 or array.ndim < 3:
                raise KeyError(f"Observation {name!r} is no image and not in the statistic: {sorted(stats.mean)}.")
            result[name] = jnp.asarray(array)
            continue
        values, mean = jnp.asarray(array, jnp.float32), stats.mean[name]
        if values.shape[values.ndim - mean.ndim :] != mean.shape:
            raise ValueError(
                f"Observation {name!r} has shape {list(values.shape)}; it must end in {list(mean.shape)}, "
                "its shape in the environment's spec."
            )
        deviation = jnp.sqrt(stats.variance[name] + VARIANCE_FLOOR)
        result[name] = jnp.clip((values - mean) / deviation, -CLIP, CLIP)
    return result
