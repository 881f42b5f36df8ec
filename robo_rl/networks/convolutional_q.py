"""A Q-network that sees: the action joins the image in the middle of the trunk (QT-Opt, arXiv 1806.10293, section 4.3).

What lies before that point depends on the state alone and is computed once, however many actions are asked about.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from robo_rl.config import ImageConfig, NetworkConfig
from robo_rl.errors import ConfigError
from robo_rl.networks.actor_critic import flatten
from robo_rl.networks.convolutional import ImageEncoder, encoded_grid, neighbourhoods
from robo_rl.networks.network import Params, separated
from robo_rl.networks.normalizer import is_image
from robo_rl.networks.q_network import QNetwork
from robo_rl.networks.trunks import make_trunk, orthogonal
from robo_rl.specs import Array, EnvSpec, Observation


class ConvolutionalQ(nnx.Module):
    """Image -> grid of channels; plus measurements, plus action, on every place of it; one more convolution; trunk.

    The sum over the grid is QT-Opt's way of merging: action and measurements become one number per channel, added at
    each place.
    """

    def __init__(
        self, config: NetworkConfig, image: ImageConfig, spec: EnvSpec, outputs: int, *, rngs: nnx.Rngs
    ) -> None:
        """A Q-function with `outputs` head outputs; the last layer starts at zero."""
        (self.image,) = (name for name, array in spec.observation.items() if is_image(array))
        measured = sum(math.prod(array.shape) for array in spec.observation.values() if not is_image(array))
        channels, shape = image.channels, spec.observation[self.image].shape
        self.grid = encoded_grid(image, shape)
        self.encoder = ImageEncoder(image, shape, rngs=rngs)
        self.measurements = nnx.Linear(measured, channels, kernel_init=orthogonal(1.0), rngs=rngs) if measured else None
        self.action = nnx.Linear(spec.action.shape[0], channels, kernel_init=orthogonal(1.0), rngs=rngs)
        self.convolution = nnx.Linear(9 * channels, image.features, kernel_init=orthogonal(2**0.5), rngs=rngs)
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for width in (channels, image.features)])
        last = math.ceil(self.grid[0] / 2) * math.ceil(self.grid[1] / 2) * image.features
        self.trunk = make_trunk(config, last, rngs)
        self.head = nnx.Linear(config.width, outputs, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def encode(self, observation: Observation) -> Array:
        """What the state says before any action, `[B, h, w, channels]`."""
        x = self.encoder(observation[self.image]).reshape(-1, *self.grid, self.encoder.channels)
        measured = {name: array for name, array in observation.items() if name != self.image}
        return x if self.measurements is None else x + self.measurements(flatten(measured))[:, None, None, :]

    def value(self, features: Array, action: Array) -> Array:
        """Head outputs `[B, S, O]` for features `[B, h, w, channels]` and actions `[B, S, A]`."""
        batch, samples = action.shape[:2]
        x = features[:, None] + self.action(action)[:, :, None, None, :]
        x = jax.nn.relu(self.norms[0](x)).reshape(batch * samples, *features.shape[1:])
        x = jax.nn.relu(self.norms[1](self.convolution(neighbourhoods(x))))
        return self.head(self.trunk(x.reshape(batch, samples, -1)))


def make_convolutional_q_network(config: NetworkConfig, image: ImageConfig, spec: EnvSpec, outputs: int) -> QNetwork:
    """The Q-network of an observation with one image; its features are `[B, h, w, channels]`.

    Raises:
        ConfigError: not exactly one image, or one that cannot be cut into patches.
    """
    images = [name for name, array in spec.observation.items() if is_image(array)]
    if len(images) != 1:
        raise ConfigError(f"A convolutional Q-network takes observations with one image; {spec.name} has {images}.")
    init_params, restore = separated(lambda rngs: ConvolutionalQ(config, image, spec, outputs, rngs=rngs))

    def init(key: Array, first_outputs: Array) -> Params:
        params = init_params(key)
        # The last kernel starts at zero, so the bias alone decides what a new network says.
        params["head"]["bias"] = jnp.broadcast_to(first_outputs, params["head"]["bias"].shape)
        return params

    def value(params: Params, features: Array, action: Array) -> Array:
        if action.ndim != 3 or action.shape[-1] != spec.action.shape[0] or len(features) != len(action):
            raise ValueError(
                f"A Q-network takes features [B, ...] and actions [B, S, {spec.action.shape[0]}], got "
                f"{list(features.shape)} and {list(action.shape)}."
            )
        return restore(params).value(features, action)

    return QNetwork(init, lambda params, observation: restore(params).encode(observation), value)
