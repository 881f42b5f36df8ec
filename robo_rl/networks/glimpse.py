"""How an actor or critic reads encoded images: through a bottleneck of its own, in front of its first layer."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import nnx

from robo_rl.config import ImageConfig
from robo_rl.networks.convolutional import encoded_size
from robo_rl.networks.network import Network, functional
from robo_rl.networks.normalizer import is_image
from robo_rl.networks.trunks import orthogonal
from robo_rl.specs import Array, EnvSpec


class FeatureSize(NamedTuple):
    """Lengths of the two parts of a feature vector: encoded images first, then all other observations."""

    encoded: int
    measured: int


def feature_size(image: ImageConfig | None, spec: EnvSpec) -> FeatureSize:
    """Lengths of what `features.make_encoder` gives; without `image` an image counts as measurements, one by one."""
    arrays = spec.observation.values()
    images = [array for array in arrays if image is not None and is_image(array)]
    return FeatureSize(
        encoded=sum(encoded_size(image, array.shape) for array in images if image is not None),
        measured=sum(math.prod(array.shape) for array in arrays if array not in images),
    )


class Glimpse(nnx.Module):
    """A network behind a bottleneck for the encoded part of its first input: Dense, LayerNorm and tanh.

    The encoder is shared, this is not (SAC-AE, arXiv 1910.01741, section 4.3; DrQ, arXiv 2004.13649, has 50 features).
    It also keeps the few numbers of an action from drowning among the hundreds of an image.
    """

    def __init__(self, size: FeatureSize, features: int, network: nnx.Module, *, rngs: nnx.Rngs) -> None:
        """`network` takes `features + size.measured` numbers where this takes `size.encoded + size.measured`."""
        self.encoded = size.encoded
        self.project = nnx.Linear(size.encoded, features, kernel_init=orthogonal(1.0), rngs=rngs)
        self.norm = nnx.LayerNorm(features, rngs=rngs)
        self.network = network

    def __call__(self, x: Array, *rest: Array) -> Array:
        """What the network gives for features `x [B, D]` and the `rest` of its inputs."""
        seen = jnp.tanh(self.norm(self.project(x[..., : self.encoded])))
        network: Any = self.network
        return network(jnp.concatenate([seen, x[..., self.encoded :]], axis=-1), *rest)


def glancing(image: ImageConfig | None, spec: EnvSpec, build: Callable[[int, nnx.Rngs], nnx.Module]) -> Network:
    """Pure functions of the module that `build(inputs, rngs)` makes, behind a Glimpse where there are images."""
    size = feature_size(image, spec)
    if image is None or size.encoded == 0:
        return functional(lambda rngs: build(size.measured, rngs))
    features = image.features
    return functional(lambda rngs: Glimpse(size, features, build(features + size.measured, rngs), rngs=rngs))
