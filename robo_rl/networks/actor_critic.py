"""The two networks of an actor-critic: a tanh-Gaussian actor and a critic of observation and action."""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from robo_rl.config import ImageConfig, NetworkConfig
from robo_rl.networks.glimpse import glancing
from robo_rl.networks.network import Network
from robo_rl.networks.trunks import make_trunk, orthogonal
from robo_rl.specs import Array, EnvSpec, Observation

LOG_STD_RANGE = (-10.0, 2.0)


def flatten(observation: Observation) -> Array:
    """The named arrays `[..., *shape]`, sorted by name, as one vector `[..., D]` per example of a batch `[B, ...]`."""
    parts = [observation[name] for name in sorted(observation)]
    return jnp.concatenate([part.reshape(part.shape[0], -1).astype(jnp.float32) for part in parts], axis=-1)


def flat_size(spec: EnvSpec) -> int:
    """Length D of the flattened observation."""
    return sum(math.prod(array.shape) for array in spec.observation.values())


class Gaussian(nnx.Module):
    """Trunk, then mean and log standard deviation of a Gaussian before the tanh: `[B, D] -> [B, 2A]`."""

    def __init__(self, config: NetworkConfig, inputs: int, actions: int, *, rngs: nnx.Rngs) -> None:
        """An actor for `actions` dimensions."""
        self.trunk = make_trunk(config, inputs, rngs)
        self.head = nnx.Linear(config.width, 2 * actions, kernel_init=orthogonal(0.01), rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Mean and log deviation, `[B, 2A]`."""
        return self.head(self.trunk(x))


class Critic(nnx.Module):
    """Trunk over observation and action, then the outputs of a value head: `[B, D], [B, A] -> [B, O]`.

    The last layer starts at zero, so that a new critic says exactly the middle of its support.
    """

    def __init__(self, config: NetworkConfig, inputs: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        """A critic over `inputs` = D + A features with `outputs` head outputs."""
        self.trunk = make_trunk(config, inputs, rngs)
        self.head = nnx.Linear(config.width, outputs, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(self, x: Array, action: Array) -> Array:
        """Head outputs `[B, O]`."""
        return self.head(self.trunk(jnp.concatenate([x, action], axis=-1)))


def make_actor(config: NetworkConfig, spec: EnvSpec, image: ImageConfig | None = None) -> Network:
    """Pure functions of the actor; `apply(params, features [B, D]) -> [B, 2A]`.

    D is `flat_size` or, with images in the spec, what `features.make_encoder` gives; `image` says what is read of them.
    """
    actions = spec.action.shape[0]
    return glancing(image, spec, lambda inputs, rngs: Gaussian(config, inputs, actions, rngs=rngs))


def make_critic(config: NetworkConfig, spec: EnvSpec, outputs: int, image: ImageConfig | None = None) -> Network:
    """Pure functions of one critic; `apply(params, features [B, D], action [B, A]) -> [B, O]`; D as in `make_actor`."""
    actions = spec.action.shape[0]
    return glancing(image, spec, lambda inputs, rngs: Critic(config, inputs + actions, outputs, rngs=rngs))


def sample_action(outputs: Array, key: Array) -> tuple[Array, Array]:
    """A tanh-Gaussian action `[B, A]` from actor outputs `[B, 2A]`, and its log-probability `[B]`."""
    return squashed_action(outputs, jax.random.normal(key, (outputs.shape[0], outputs.shape[1] // 2)))


def squashed_action(outputs: Array, noise: Array) -> tuple[Array, Array]:
    """The action `[B, A]` that standard normal `noise [B, A]` makes of actor outputs `[B, 2A]`; log-probability `[B]`.

    The density correction log(1 - tanh(u)^2) is written as 2 (log 2 - u - softplus(-2u)), which does not overflow
    (Haarnoja et al. 2018, arXiv 1812.05905, appendix C).
    """
    mean, log_std = jnp.split(outputs, 2, axis=-1)
    log_std = jnp.clip(log_std, *LOG_STD_RANGE)
    before_tanh = mean + jnp.exp(log_std) * noise
    gaussian = -0.5 * (noise**2 + jnp.log(2 * jnp.pi)) - log_std
    correction = 2 * (jnp.log(2.0) - before_tanh - jax.nn.softplus(-2 * before_tanh))
    return jnp.tanh(before_tanh), jnp.sum(gaussian - correction, axis=-1)


def greedy_action(outputs: Array) -> Array:
    """The action at the mean before the tanh, `[B, A]`, from actor outputs `[B, 2A]`."""
    mean, _ = jnp.split(outputs, 2, axis=-1)
    return jnp.tanh(mean)
