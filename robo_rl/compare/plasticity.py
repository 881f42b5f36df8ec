"""The plasticity test: does a value head stay able to learn new values when its targets move, without any environment?

Protocol of Farebrother et al. 2024 (arXiv 2403.03950, section 5.2; after Lyle et al. 2023, arXiv 2303.01486): one
network learns y = sin(1e5 f(x)) + b again and again, f being a new random network each time and b growing, as returns
do while a policy improves. Their x are the images of CIFAR10; here they are fixed Gaussian vectors, so that nothing has
to be downloaded. What has to be memorised is as arbitrary either way: f is random, and the sine breaks any smoothness.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from pydantic import Field

from robo_rl import seeds
from robo_rl.config import CriticConfig, NetworkConfig, Section
from robo_rl.critics import make_head
from robo_rl.critics.head import ValueHead
from robo_rl.networks.network import Network, Params, functional
from robo_rl.networks.trunks import make_trunk, orthogonal
from robo_rl.specs import Array


class PlasticityConfig(Section):
    """The test; every loss has the same inputs, targets, batches and first weights."""

    losses: tuple[str, ...] = Field(
        default=("mse", "softmax_mse", "two_hot", "hl_gauss"), min_length=1, description="Value heads to compare."
    )
    offsets: tuple[float, ...] = Field(
        default=(0.0, 8.0, 16.0, 24.0, 32.0), min_length=1, description="b of each target in turn (value units)."
    )
    members: int = Field(default=4, ge=1, le=1000, description="Seeds, trained side by side: seed, seed + 1, ...")
    seed: int = Field(default=0, ge=0, lt=2**30, description="First seed.")
    steps: int = Field(default=2000, ge=1, description="Updates on each target.")
    measurements: int = Field(default=10, ge=1, description="Measurements on each target, evenly over its updates.")
    batch_size: int = Field(default=128, ge=1, description="Examples per update.")
    inputs: int = Field(default=1000, ge=2, description="Input vectors, the same for all targets of a member.")
    input_size: int = Field(default=64, ge=1, description="Length of an input vector.")
    frequency: float = Field(default=1e5, gt=0, description="Of the sine, per unit of f.")
    learning_rate: float = Field(default=1e-3, gt=0, description="Adam, never reset.")
    network: NetworkConfig = NetworkConfig(width=128)
    critic: CriticConfig = CriticConfig(v_max=40.0)


class Regressor(nnx.Module):
    """A trunk and a linear layer: `[B, D] -> [B, O]`."""

    def __init__(
        self, config: NetworkConfig, inputs: int, outputs: int, last: nnx.Initializer, *, rngs: nnx.Rngs
    ) -> None:
        """`last` draws the kernel of the linear layer."""
        self.trunk = make_trunk(config, inputs, rngs)
        self.head = nnx.Linear(config.width, outputs, kernel_init=last, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Outputs `[B, O]`."""
        return self.head(self.trunk(x))


class Member(NamedTuple):
    """What moves from update to update."""

    params: Params
    optimizer: optax.OptState
    key: Array


def mean_squared_errors(config: PlasticityConfig, loss: str) -> np.ndarray:
    """Mean squared error of the decoded values over all inputs, `[members, offsets, measurements]`, value units squared.

    A head that knows b and nothing of the sine has 0.5.

    Raises:
        ConfigError: an unknown loss, or fields of `critic` that do not fit together.
    """
    head = make_head(config.critic.model_copy(update={"loss": loss}))
    keys = [jax.random.key(seeds.child(config.seed + member, "plasticity")) for member in range(config.members)]
    return np.asarray(jax.jit(jax.vmap(lambda key: one_member(config, head, key)))(jnp.stack(keys)))


def one_member(config: PlasticityConfig, head: ValueHead, key: Array) -> Array:
    """The errors `[offsets, measurements]` of one network that meets all targets in turn."""
    key_inputs, key_weights, key_targets, key_batches = jax.random.split(key, 4)
    x = jax.random.normal(key_inputs, (config.inputs, config.input_size))
    learner = regressor(config, head.num_outputs, nnx.initializers.zeros)
    optimizer = optax.adam(config.learning_rate)
    params = learner.init(key_weights)

    def one_target(member: Member, target: tuple[Array, Array]) -> tuple[Member, Array]:
        offset, key = target
        y = target_values(config, key, x, offset)
        return jax.lax.scan(lambda m, _: between_measurements(m, y), member, length=config.measurements)

    def between_measurements(member: Member, y: Array) -> tuple[Member, Array]:
        updates = config.steps // config.measurements
        member, _ = jax.lax.scan(lambda m, _: (update(m, y), None), member, length=updates)
        values = jax.vmap(head.value)(learner.apply(member.params, x))
        return member, jnp.mean(jnp.square(values - y))

    def update(member: Member, y: Array) -> Member:
        key, key_batch = jax.random.split(member.key)
        chosen = jax.random.randint(key_batch, (config.batch_size,), 0, config.inputs)
        gradient = jax.grad(batch_loss)(member.params, x[chosen], y[chosen])
        changes, state = optimizer.update(gradient, member.optimizer, member.params)
        return Member(optax.apply_updates(member.params, changes), state, key)

    def batch_loss(params: Params, x: Array, y: Array) -> Array:
        outputs = learner.apply(params, x)
        # Discount 0: the Bellman target is the reward itself, clipped to the support where the head has one.
        targets = jax.vmap(head.target, in_axes=(0, None, 0, None))(y, 0.0, outputs, 0.0)
        return jnp.mean(jax.vmap(head.loss)(outputs, targets))

    keys = jax.random.split(key_targets, len(config.offsets))
    start = Member(params, optimizer.init(params), key_batches)
    return jax.lax.scan(one_target, start, (jnp.array(config.offsets, jnp.float32), keys))[1]


def target_values(config: PlasticityConfig, key: Array, x: Array, offset: Array) -> Array:
    """y `[B]` = sin(frequency f(x)) + offset for inputs `x [B, D]`, f being the random network of `key`."""
    random = regressor(config, 1, orthogonal(1.0))
    return jnp.sin(config.frequency * random.apply(random.init(key), x)[:, 0]) + offset


def regressor(config: PlasticityConfig, outputs: int, last: nnx.Initializer) -> Network:
    """Pure functions of a network over the inputs; `apply(params, x [B, D]) -> [B, outputs]`."""
    return functional(lambda rngs: Regressor(config.network, config.input_size, outputs, last, rngs=rngs))
