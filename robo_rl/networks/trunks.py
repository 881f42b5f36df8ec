"""Trunks over flat inputs `[..., D]`: a plain MLP, and pre-norm residual blocks."""

import itertools

import jax
from flax import nnx

from robo_rl.config import NetworkConfig
from robo_rl.networks.layer_norm import LayerNorm
from robo_rl.specs import Array


class MLP(nnx.Module):
    """`depth` layers of Dense, LayerNorm (optional) and ReLU; `[..., D] -> [..., width]`."""

    def __init__(self, inputs: int, width: int, depth: int, layer_norm: bool, *, rngs: nnx.Rngs) -> None:
        """Layers of `width` units on `inputs` features."""
        sizes = [inputs, *[width] * depth]
        self.layers = nnx.List(
            [nnx.Linear(i, o, kernel_init=orthogonal(2**0.5), rngs=rngs) for i, o in itertools.pairwise(sizes)]
        )
        self.norms = nnx.List([LayerNorm(width, rngs=rngs) for _ in range(depth)] if layer_norm else [])

    def __call__(self, x: Array) -> Array:
        """Features of `x [..., D]`."""
        return self.after_first(self.first(x))

    @property
    def first(self) -> nnx.Linear:
        """The layer that sees the inputs."""
        return self.layers[0]

    def after_first(self, x: Array) -> Array:
        """Features from what the first layer gave, `[..., width]`."""
        for index, layer in enumerate(self.layers):
            x = layer(x) if index else x
            if self.norms:
                x = self.norms[index](x)
            x = jax.nn.relu(x)
        return x


class Residual(nnx.Module):
    """Dense embedding, `depth` blocks x + W2 relu(W1 LayerNorm(x)) with 4x wide insides, then LayerNorm.

    Source: SimBa, Lee et al. 2025, arXiv 2410.09754, section 4 (feedforward residual block, post-layer norm).
    """

    def __init__(self, inputs: int, width: int, depth: int, *, rngs: nnx.Rngs) -> None:
        """`depth` blocks of `width` units on `inputs` features."""
        self.embed = nnx.Linear(inputs, width, kernel_init=orthogonal(1.0), rngs=rngs)
        he = nnx.initializers.he_normal()
        self.norms = nnx.List([LayerNorm(width, rngs=rngs) for _ in range(depth)])
        self.wide = nnx.List([nnx.Linear(width, 4 * width, kernel_init=he, rngs=rngs) for _ in range(depth)])
        self.narrow = nnx.List([nnx.Linear(4 * width, width, kernel_init=he, rngs=rngs) for _ in range(depth)])
        self.final_norm = LayerNorm(width, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Features of `x [..., D]`."""
        return self.after_first(self.first(x))

    @property
    def first(self) -> nnx.Linear:
        """The layer that sees the inputs."""
        return self.embed

    def after_first(self, x: Array) -> Array:
        """Features from what the first layer gave, `[..., width]`."""
        for norm, wide, narrow in zip(self.norms, self.wide, self.narrow, strict=True):
            x = x + narrow(jax.nn.relu(wide(norm(x))))
        return self.final_norm(x)


def orthogonal(scale: float) -> nnx.Initializer:
    """Orthogonal kernels of this gain."""
    return nnx.initializers.orthogonal(scale)


def make_trunk(config: NetworkConfig, inputs: int, rngs: nnx.Rngs) -> MLP | Residual:
    """The trunk that the config names; its outputs have `config.width` features."""
    if config.kind == "residual":
        return Residual(inputs, config.width, config.depth, rngs=rngs)
    return MLP(inputs, config.width, config.depth, config.layer_norm, rngs=rngs)
