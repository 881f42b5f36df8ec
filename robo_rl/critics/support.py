"""Evenly spaced supports: where the atoms and bins lie, how mass is spread over them, how they are decoded."""

import jax
import jax.numpy as jnp
import numpy as np

from robo_rl.errors import ConfigError

EDGE_TOLERANCE = 1e-3
"""Widths a target may lie outside the support and still count as on the edge: the float32 rounding of r + d * z."""


def check_support(lo: float, hi: float, bins: int) -> None:
    """Refuse a support that holds no interval.

    Raises:
        ConfigError: a bound is not finite, `lo >= hi`, or fewer than two bins.
    """
    if not (np.isfinite(lo) and np.isfinite(hi) and lo < hi):
        raise ConfigError(f"The support [{lo}, {hi}] is empty or unbounded; give finite lo < hi (critic.v_max > 0).")
    if bins < 2:
        raise ConfigError(f"critic.bins is {bins}; a support needs at least 2.")


def decode(probabilities: jax.Array, first: float, last: float) -> jax.Array:
    """The mean `[]` of `probabilities [O]` over O evenly spaced points from `first` to `last`.

    The sum runs over mirrored pairs, so that equal weights on both sides cancel to the last bit and the result is
    exactly the middle; a plain dot product leaves a bias of rounding there. Written without a matrix product because
    accelerators may round its inputs to fewer bits.
    """
    count = probabilities.shape[0]
    half = count // 2
    offsets = (last - first) * (0.5 - np.arange(half) / (count - 1))
    upper, lower = probabilities[::-1][:half], probabilities[:half]
    return (first + last) / 2 + jnp.sum((upper - lower) * offsets.astype(probabilities.dtype))


def positions(y: jax.Array, lo: float, hi: float, atoms: int) -> tuple[jax.Array, jax.Array]:
    """Where `y [...]` lies among `atoms` points on [lo, hi]: the clipped index `[...]`, and whether it was clipped.

    Measured from the middle, where float32 is finest. The clip is on the index and not only on `y`, because
    (y - lo) / width may round above `atoms - 1`, and mass beyond the last atom would be lost.
    """
    width = (hi - lo) / (atoms - 1)
    index = (y - (lo + hi) / 2) / width + (atoms - 1) / 2
    clipped = (index < -EDGE_TOLERANCE) | (index > atoms - 1 + EDGE_TOLERANCE)
    return jnp.clip(index, 0, atoms - 1), clipped.astype(index.dtype)


def neighbour_weights(index: jax.Array, atoms: int) -> jax.Array:
    """The weights `[..., atoms]` that share each `index [...]` between its two neighbours; they sum to 1.

    An index between i and i + 1 gives (i + 1 - index) to i and (index - i) to i + 1; an index on an atom gives it
    all. Farebrother et al. 2024 (arXiv 2403.03950, v1) print equations 3.2 and 3.4 with these two exchanged.
    """
    return jnp.maximum(0.0, 1.0 - jnp.abs(index[..., None] - np.arange(atoms, dtype=index.dtype)))


def cross_entropy(probabilities: jax.Array, logits: jax.Array) -> jax.Array:
    """-sum p log softmax(logits) `[]` for `probabilities [O]` and `logits [O]`."""
    return -jnp.sum(probabilities * jax.nn.log_softmax(logits))


def mixture_logits(logits: jax.Array) -> jax.Array:
    """The log `[O]` of the mean over E of softmax(`logits [E, O]`)."""
    return jax.nn.logsumexp(jax.nn.log_softmax(logits), axis=0) - np.log(logits.shape[0])
