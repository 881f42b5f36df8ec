"""Squared error: one output, the value itself."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from robo_rl.config import HeadConfig
from robo_rl.critics.checks import require
from robo_rl.critics.head import Target, bellman


@dataclasses.dataclass(frozen=True)
class MSE:
    """Half the squared temporal difference error. No support, so nothing is ever clipped."""

    num_outputs: int = dataclasses.field(default=1, init=False)

    def value(self, outputs: ArrayLike) -> jax.Array:
        """The single entry `[]` of `outputs [1]`."""
        return require("outputs", outputs, 1)[0]

    def target(self, reward: ArrayLike, discount: ArrayLike, next_outputs: ArrayLike, bonus: ArrayLike) -> Target:
        """The scalar Bellman target `[]`; arguments as in `ValueHead.target`."""
        y = bellman(reward, discount, self.value(next_outputs), bonus)
        return Target(y, jnp.zeros_like(y))

    def loss(self, outputs: ArrayLike, target: Target) -> jax.Array:
        """(target - value)^2 / 2, `[]`."""
        return 0.5 * jnp.square(require("target.value", target.value) - self.value(outputs))

    def mixture(self, outputs: ArrayLike) -> jax.Array:
        """The mean `[1]` of `outputs [E, 1]`."""
        return jnp.mean(require("outputs", outputs, None, 1), axis=0)


def from_config(config: HeadConfig, lo: float, hi: float) -> MSE:
    """The head; it has nothing to configure, and no range."""
    del config, lo, hi
    return MSE()
