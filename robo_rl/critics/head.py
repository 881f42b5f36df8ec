"""What every value head offers: a network's outputs become a value, a Bellman target becomes a loss."""

from typing import Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from robo_rl.critics.checks import require
from robo_rl.errors import ConfigError


class Target(NamedTuple):
    """What one example's outputs are to become; no gradient flows through it.

    value:   scaled return `[]` (all scalar targets), atom probabilities `[O]` (c51) or samples `[O]`
             (quantile); where the head has a support, already clipped to it
    clipped: `[]` in [0, 1], the probability mass that lay outside the support (0 or 1 for a scalar target)
    """

    value: jax.Array
    clipped: jax.Array


class ValueHead(Protocol):
    """Pure functions of ONE example; the caller vmaps. Implementations are frozen dataclasses, so they hash.

    Everything is in scaled return units: `reward` and `bonus` come already divided by `return_scaling.scale`.
    """

    @property
    def num_outputs(self) -> int:
        """O, how many numbers the critic network gives for one state and action."""
        ...

    def value(self, outputs: ArrayLike) -> jax.Array:
        """The decoded mean `[]` of `outputs [O]`. Zero outputs decode to exactly the middle of the support."""
        ...

    def target(self, reward: ArrayLike, discount: ArrayLike, next_outputs: ArrayLike, bonus: ArrayLike) -> Target:
        """The Bellman target reward + discount * (next value + bonus), without gradient.

        Args:
            reward: `[]`, sum of the discounted rewards of the window, scaled.
            discount: `[]`, gamma^n; 0 only on real termination, where the target is `reward` whatever the rest holds.
            next_outputs: `[O]` of the (combined) target critic at the next state and action.
            bonus: `[]`, the entropy bonus -temperature * log pi(a'|s'), scaled. Standing inside the discount, it is
                never paid on a terminal step (Haarnoja et al. 2018, arXiv 1812.05905, equations 2, 3 and 5).
        """
        ...

    def loss(self, outputs: ArrayLike, target: Target) -> jax.Array:
        """The loss `[]` of `outputs [O]` against `target`; the gradient reaches `outputs` only."""
        ...

    def mixture(self, outputs: ArrayLike) -> jax.Array:
        """Outputs `[O]` of the mean of an ensemble's `outputs [E, O]`; decodes to the mean of the members' values."""
        ...


def bellman(reward: ArrayLike, discount: ArrayLike, next_value: ArrayLike, bonus: ArrayLike) -> jax.Array:
    """reward + discount * (next_value + bonus), without gradient: the one place where the bonus meets the discount.

    `reward`, `discount` and `bonus` are `[]`; `next_value` is `[]`, or `[O]` atoms or samples that shift together.
    """
    reward, discount, bonus = require("reward", reward), require("discount", discount), require("bonus", bonus)
    return jax.lax.stop_gradient(reward + discount * (next_value + bonus))


def combine(head: ValueHead, outputs: ArrayLike, how: Literal["mean", "min"]) -> jax.Array:
    """Outputs `[O]` that stand for an ensemble's `outputs [E, O]` in the target.

    `mean` is `head.mixture`; `min` takes the outputs of the member with the smallest decoded value (clipped double
    Q-learning, Fujimoto et al. 2018, arXiv 1802.09477, for a whole distribution as SimbaV2 does).

    Raises:
        ConfigError: `how` is something else.
    """
    outputs = require("outputs", outputs, None, head.num_outputs)
    if how == "mean":
        return head.mixture(outputs)
    if how == "min":
        return outputs[jnp.argmin(jax.vmap(head.value)(outputs))]
    raise ConfigError(f"critic.combine is {how!r}; allowed: 'mean', 'min'.")
