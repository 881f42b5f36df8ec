"""The first lines of every head: refuse arrays whose shape or dtype would broadcast or round in silence."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def require(name: str, array: ArrayLike, *shape: int | None) -> jax.Array:
    """`array` as a JAX array, once its shape is `shape` (None: any length) and its dtype is float32 or float64.

    Shapes are known while tracing, so the check costs nothing in the compiled program.

    Raises:
        ValueError: another shape. A forgotten `vmap` and a `[B]` against `[B, 1]` both end here.
        TypeError: another dtype. Half precision is refused: cross-entropy and the erf need float32.
    """
    array = jnp.asarray(array)
    if array.dtype not in (jnp.float32, jnp.float64):
        raise TypeError(f"{name} has dtype {array.dtype}; value heads take float32 (cast with .astype(jnp.float32)).")
    if len(array.shape) != len(shape) or any(
        want is not None and got != want for got, want in zip(array.shape, shape, strict=True)
    ):
        wanted = ", ".join("*" if want is None else str(want) for want in shape)
        raise ValueError(
            f"{name} has shape {list(array.shape)}; expected [{wanted}]. "
            "Value heads take one example: jax.vmap them over batch axes."
        )
    return array
