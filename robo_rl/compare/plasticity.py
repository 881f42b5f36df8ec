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
from robo_rl.compilation import compiled
from robo_rl.config import CriticConfig, NetworkConfig, Section
from robo_rl.critics import make_head
from robo_rl.critics.head import ValueHead
from robo_rl.errors import ConfigError
from robo_rl.networks.network import Network, Params, functional, one_after_another
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
    steps: int = Field(default=800, ge=1, description="Updates on each target.")
    measurements: int = Field(default=8, ge=1, description="Measurements on each target, evenly over its updates.")
    batch_size: int = Field(default=128, ge=1, description="Examples per update.")
    inputs: int = Field(default=2000, ge=2, description="Input vectors, the same for all targets of a member.")
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


def check(config: PlasticityConfig) -> None:
    """Refuse what cannot be trained.

    Raises:
        ConfigError: an unknown loss or one named twice, fields of `critic` that do not fit together, offsets beyond
            the support, or updates that the measurements do not divide.
    """
    for loss in config.losses:
        make_head(config.critic.model_copy(update={"loss": loss}))
    if len(set(config.losses)) < len(config.losses):
        raise ConfigError(f"losses is {', '.join(config.losses)}; name each once.")
    if config.steps % config.measurements:
        raise ConfigError(f"steps is {config.steps} and measurements {config.measurements}; the second must divide it.")
    beyond = [offset for offset in config.offsets if abs(offset) + 1 > config.critic.v_max]
    if beyond:
        raise ConfigError(
            f"offsets holds {beyond[0]:g}, whose targets leave the support [-{config.critic.v_max:g}, "
            f"{config.critic.v_max:g}]. Raise critic.v_max or lower the offset."
        )


class Member(NamedTuple):
    """What moves from update to update."""

    params: Params
    optimizer: optax.OptState
    key: Array


class Problems(NamedTuple):
    """What every loss has to learn: inputs `[members, inputs, D]`, and targets in turn `[members, offsets, inputs]`."""

    x: Array
    y: Array


def make_problems(config: PlasticityConfig) -> Problems:
    """The problems of all members; the same for every loss, to the last bit."""
    random = regressor(config, 1, orthogonal(1.0))

    def one_target(x: Array, offset: Array, key: Array) -> Array:
        return jnp.sin(config.frequency * random.apply(random.init(key), x)[:, 0]) + offset

    def one_member(key: Array) -> Problems:
        key_inputs, key_targets = jax.random.split(key)
        x = jax.random.normal(key_inputs, (config.inputs, config.input_size))
        keys, offsets = jax.random.split(key_targets, len(config.offsets)), jnp.array(config.offsets, jnp.float32)
        return Problems(x, jax.lax.map(lambda pair: one_target(x, *pair), (offsets, keys)))

    return jax.jit(lambda keys: one_after_another(one_member, keys))(member_keys(config, "problem"))


def mean_squared_errors(config: PlasticityConfig, loss: str, problems: Problems) -> np.ndarray:
    """Mean squared errors of the decoded values over all inputs, `[members, offsets, measurements]` (value units^2).

    A network that knows b and nothing of the sine has 0.5.

    Raises:
        ConfigError: as `check`.
    """
    check(config)
    head = make_head(config.critic.model_copy(update={"loss": loss}))
    # Zero as in our critics: every head then starts by saying the middle of its support.
    learner = regressor(config, head.num_outputs, nnx.initializers.zeros)
    params = jax.jit(lambda keys: one_after_another(learner.init, keys))(member_keys(config, "weights"))
    members = compiled(jax.vmap(lambda *arguments: one_member(config, head, learner, *arguments)))
    return np.asarray(members(params, problems, member_keys(config, "batches")))


def one_member(
    config: PlasticityConfig, head: ValueHead, learner: Network, params: Params, problem: Problems, key: Array
) -> Array:
    """The errors `[offsets, measurements]` of one network that meets all targets in turn, without its leading axis."""
    optimizer = optax.adam(config.learning_rate)

    def one_target(member: Member, y: Array) -> tuple[Member, Array]:
        return jax.lax.scan(lambda m, _: between_measurements(m, y), member, length=config.measurements)

    def between_measurements(member: Member, y: Array) -> tuple[Member, Array]:
        updates = config.steps // config.measurements
        member, _ = jax.lax.scan(lambda m, _: (update(m, y), None), member, length=updates)
        values = jax.vmap(head.value)(learner.apply(member.params, problem.x))
        return member, jnp.mean(jnp.square(values - y))

    def update(member: Member, y: Array) -> Member:
        key, key_batch = jax.random.split(member.key)
        chosen = jax.random.randint(key_batch, (config.batch_size,), 0, config.inputs)
        gradient = jax.grad(batch_loss)(member.params, problem.x[chosen], y[chosen])
        changes, state = optimizer.update(gradient, member.optimizer, member.params)
        return Member(optax.apply_updates(member.params, changes), state, key)

    def batch_loss(params: Params, x: Array, y: Array) -> Array:
        outputs = learner.apply(params, x)
        # Discount 0: the Bellman target is the reward itself, clipped to the support where the head has one.
        targets = jax.vmap(head.target, in_axes=(0, None, 0, None))(y, 0.0, outputs, 0.0)
        return jnp.mean(jax.vmap(head.loss)(outputs, targets))

    # The weights and Adam's averages go on from target to target: that is what is tested.
    return jax.lax.scan(one_target, Member(params, optimizer.init(params), key), problem.y)[1]


def member_keys(config: PlasticityConfig, use: str) -> Array:
    """One random key `[members]` for each seed, not shared with other uses."""
    return jnp.stack(
        [jax.random.key(seeds.child(config.seed + member, "plasticity", use)) for member in range(config.members)]
    )


def regressor(config: PlasticityConfig, outputs: int, last: nnx.Initializer) -> Network:
    """Pure functions of a network over the inputs; `apply(params, x [B, D]) -> [B, outputs]`."""
    return functional(lambda rngs: Regressor(config.network, config.input_size, outputs, last, rngs=rngs))
