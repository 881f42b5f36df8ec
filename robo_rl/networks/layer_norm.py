"""Layer normalisation whose row sums are matrix products."""

import jax
import jax.numpy as jnp
from flax import nnx

from robo_rl.specs import Array

EPSILON = 1e-6
"""Added to the variance; flax's default, so that its parameters give the same outputs here."""


class LayerNorm(nnx.Module):
    """Each row of `[..., D]` less its mean, over its deviation, then scaled and shifted (Ba et al. 2016).

    The two means are products with a column of 1/D: XLA's CPU compiler makes slow loops of row sums, and fast kernels
    of products. In a search over actions, flax's layer costs three times as much (`tests/benchmarks/cem.py`).
    """

    def __init__(self, width: int, *, rngs: nnx.Rngs) -> None:
        """For rows of `width` features, with scale 1 and bias 0; `rngs` is not used, other layers take it."""
        del rngs
        self.scale = nnx.Param(jnp.ones(width))
        self.bias = nnx.Param(jnp.zeros(width))

    def __call__(self, x: Array) -> Array:
        """Normalised `x [..., D]`."""
        centred = x - _mean(x)
        return centred * jax.lax.rsqrt(_mean(centred * centred) + EPSILON) * self.scale + self.bias


def _mean(x: Array) -> Array:
    """Over the last axis, which stays: `[..., 1]`."""
    width = x.shape[-1]
    # Whatever precision products have elsewhere (TF32, bfloat16): a rounded mean would not centre.
    return jnp.matmul(x, jnp.full((width, 1), 1 / width, x.dtype), precision=jax.lax.Precision.HIGHEST)
