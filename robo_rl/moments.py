"""Count, mean and variance of a stream of numbers, taken in group by group in a way that float32 can carry."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Moments(NamedTuple):
    """What is known of the numbers seen so far, in their unit.

    count:    `[]` float32, how many were counted; at 2^24 single additions it stands still
    mean:     `[*shape]`    variance: `[*shape]`, population variance
    """

    count: jax.Array
    mean: jax.Array
    variance: jax.Array


def of_group(values: jax.Array, mask: jax.Array) -> Moments:
    """The moments of `values [*B, *shape]` where the bool `mask [*B]` is true, over the axes of the mask.

    What is masked may hold anything, NaN included. An empty group has count, mean and variance 0.

    Raises:
        ValueError: `values` does not begin with the axes of `mask`.
    """
    if values.shape[: mask.ndim] != mask.shape:
        raise ValueError(f"values have shape {list(values.shape)}; it must begin with {list(mask.shape)}, the mask's.")
    axes = tuple(range(mask.ndim))
    chosen = mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim))
    count = jnp.sum(mask, dtype=jnp.float32)
    # max(., 1) only acts when there is nothing to divide.
    mean = jnp.sum(jnp.where(chosen, values, 0.0), axis=axes) / jnp.maximum(count, 1)
    squares = jnp.where(chosen, jnp.square(values - mean), 0.0)
    return Moments(count, mean, jnp.sum(squares, axis=axes) / jnp.maximum(count, 1))


def merge(stats: Moments, group: Moments) -> Moments:
    """The moments of both together (Chan, Golub and LeVeque 1983), in means instead of sums.

    Sums would lose the small group beside the large one in float32. An empty group has share 0 and changes nothing.
    """
    count = stats.count + group.count
    share = group.count / jnp.maximum(count, 1)
    gap = group.mean - stats.mean
    return Moments(
        count=count,
        mean=stats.mean + share * gap,
        variance=(1 - share) * stats.variance + share * (group.variance + (1 - share) * jnp.square(gap)),
    )
