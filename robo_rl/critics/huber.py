"""Huber loss: one output; errors beyond kappa count linearly."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from robo_rl.config import HeadConfig
from robo_rl.critics.checks import require
from robo_rl.critics.head import Target, bellman
from robo_rl.errors import ConfigError


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def huber(error: jax.Array, kappa: float) -> jax.Array:
    """error^2 / 2 where |error| <= kappa, else kappa * (|error| - kappa / 2); elementwise `[...]` (Huber 1964)."""
    # One formula for both pieces: no square of a large error that could overflow.
    slope = jnp.clip(error, -kappa, kappa)
    return slope * (error - 0.5 * slope)


@huber.defjvp
def _huber_jvp(kappa: float, primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    # The slope is the derivative. Saying so spares the pieces' selects, which cost the quantile head 9 times its time.
    slope = jnp.clip(primals[0], -kappa, kappa)
    return huber(primals[0], kappa), slope * tangents[0]


@dataclasses.dataclass(frozen=True)
class Huber:
    """Huber loss of the temporal difference error, threshold `kappa` in scaled return units. Nothing is clipped."""

    kappa: float = 1.0
    num_outputs: int = dataclasses.field(default=1, init=False)

    def __post_init__(self) -> None:
        """Refuse a threshold that is not positive."""
        if not self.kappa > 0:
            raise ConfigError(f"critic.huber_kappa is {self.kappa}; it must be above 0.")

    def value(self, outputs: ArrayLike) -> jax.Array:
        """The single entry `[]` of `outputs [1]`."""
        return require("outputs", outputs, 1)[0]

    def target(self, reward: ArrayLike, discount: ArrayLike, next_outputs: ArrayLike, bonus: ArrayLike) -> Target:
        """The scalar Bellman target `[]`; arguments as in `ValueHead.target`."""
        y = bellman(reward, discount, self.value(next_outputs), bonus)
        return Target(y, jnp.zeros_like(y))

    def loss(self, outputs: ArrayLike, target: Target) -> jax.Array:
        """The Huber loss `[]` of target - value."""
        return huber(require("target.value", target.value) - self.value(outputs), self.kappa)

    def mixture(self, outputs: ArrayLike) -> jax.Array:
        """The mean `[1]` of `outputs [E, 1]`."""
        return jnp.mean(require("outputs", outputs, None, 1), axis=0)


def from_config(config: HeadConfig, lo: float, hi: float) -> Huber:
    """The head with the configured threshold; it has no range."""
    del lo, hi
    return Huber(kappa=config.huber_kappa)
