"""From named observations to the one vector that an actor and a critic read.

Images go through an encoder that the critic's loss trains; the actor reads its outputs and sends no gradient back
(SAC-AE, Yarats et al. 2019, arXiv 1910.01741, section 4.3; DrQ-v2, arXiv 2107.09645, does the same and, like here,
encodes next observations with the encoder itself rather than with a slow copy of it).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx

from robo_rl.config import ImageConfig
from robo_rl.networks.convolutional import ImageEncoder, encoded_size
from robo_rl.networks.network import Network, functional
from robo_rl.networks.normalizer import is_image
from robo_rl.networks.trunks import orthogonal
from robo_rl.specs import Array, EnvSpec, Observation


class FeatureSize(NamedTuple):
    """Lengths of the two parts of the vector: encoded images first, then all other observations."""

    encoded: int
    measured: int


class ImageEncoders(nnx.Module):
    """One encoder for each image of an observation: `[B, ...]` -> `[B, D]`, encoded images, then the rest by name."""

    def __init__(self, config: ImageConfig, spec: EnvSpec, *, rngs: nnx.Rngs) -> None:
        """Encoders for the images that `spec` names."""
        self.encoders = nnx.Dict(
            {
                name: ImageEncoder(config, array.shape, rngs=rngs)
                for name, array in sorted(spec.observation.items())
                if is_image(array)
            }
        )

    def __call__(self, observation: Observation) -> Array:
        """The vector of an observation whose measurements are normalised already."""
        encoded = [self.encoders[name](observation[name]) for name in sorted(self.encoders)]
        measured = {name: array for name, array in observation.items() if name not in self.encoders}
        return jnp.concatenate([*encoded, *([flatten(measured)] if measured else [])], axis=-1)


class Glimpse(nnx.Module):
    """What one network reads out of the encoded images: Dense, LayerNorm and tanh, beside the measurements.

    `[B, encoded + measured] -> [B, features + measured]`. The encoder is shared, this bottleneck is not (DrQ: 50
    features); it also keeps the few numbers of an action from drowning among hundreds of an image.
    """

    def __init__(self, size: FeatureSize, features: int, *, rngs: nnx.Rngs) -> None:
        """A bottleneck of `features` numbers."""
        self.encoded = size.encoded
        self.project = nnx.Linear(size.encoded, features, kernel_init=orthogonal(1.0), rngs=rngs)
        self.norm = nnx.LayerNorm(features, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """The shorter vector of `x`."""
        seen = jnp.tanh(self.norm(self.project(x[..., : self.encoded])))
        return jnp.concatenate([seen, x[..., self.encoded :]], axis=-1)


def make_glimpse(config: ImageConfig, size: FeatureSize, rngs: nnx.Rngs) -> tuple[Callable[[Array], Array], int]:
    """A Glimpse of features of this `size` and the length of what it gives; the features themselves without images."""
    if size.encoded == 0:
        return lambda x: x, size.measured
    return Glimpse(size, config.features, rngs=rngs), config.features + size.measured


def make_encoder(config: ImageConfig, spec: EnvSpec) -> Network:
    """Pure functions from observations to the vector `[B, D]`; without images it has no parameters and flattens.

    Raises:
        ConfigError: an image that cannot be cut into patches.
    """
    if not any(is_image(array) for array in spec.observation.values()):
        return Network(init=lambda key: {}, apply=lambda params, observation: flatten(observation))
    return functional(lambda rngs: ImageEncoders(config, spec, rngs=rngs))


def feature_size(config: ImageConfig, spec: EnvSpec) -> FeatureSize:
    """Lengths of the parts of what `make_encoder` gives."""
    arrays = spec.observation.values()
    return FeatureSize(
        encoded=sum(encoded_size(config, array.shape) for array in arrays if is_image(array)),
        measured=sum(math.prod(array.shape) for array in arrays if not is_image(array)),
    )


def flatten(observation: Observation) -> Array:
    """The named arrays `[..., *shape]`, sorted by name, as one vector `[..., D]` per example of a batch `[B, ...]`."""
    parts = [observation[name] for name in sorted(observation)]
    return jnp.concatenate([part.reshape(part.shape[0], -1).astype(jnp.float32) for part in parts], axis=-1)
