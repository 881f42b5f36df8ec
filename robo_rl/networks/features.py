"""From named observations to the one vector that an actor and a critic read.

Images go through an encoder that the critic's loss trains; the actor reads its outputs and sends no gradient back
(SAC-AE, Yarats et al. 2019, arXiv 1910.01741, section 4.3; DrQ-v2, arXiv 2107.09645, does the same and, like here,
encodes next observations with the encoder itself rather than with a slow copy of it).
"""

import jax.numpy as jnp
from flax import nnx

from robo_rl.config import ImageConfig
from robo_rl.networks.actor_critic import flatten
from robo_rl.networks.convolutional import ImageEncoder
from robo_rl.networks.network import Network, functional
from robo_rl.networks.normalizer import is_image
from robo_rl.specs import Array, EnvSpec, Observation


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


def make_encoder(config: ImageConfig, spec: EnvSpec) -> Network:
    """Pure functions from observations to the vector `[B, D]`; without images it has no parameters and flattens.

    Raises:
        ConfigError: an image that cannot be cut into patches.
    """
    if not any(is_image(array) for array in spec.observation.values()):
        return Network(init=lambda key: {}, apply=lambda params, observation: flatten(observation))
    return functional(lambda rngs: ImageEncoders(config, spec, rngs=rngs))
