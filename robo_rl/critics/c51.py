"""C51: the whole next distribution, shifted by reward, discount and bonus, projected back onto the atoms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from robo_rl.config import HeadConfig
from robo_rl.critics.checks import require
from robo_rl.critics.head import Target, bellman
from robo_rl.critics.support import (
    check_support,
    cross_entropy,
    decode,
    mixture_logits,
    neighbour_weights,
    positions,
)


@dataclasses.dataclass(frozen=True)
class C51:
    """`bins` atoms evenly from `lo` to `hi`, both included (Bellemare et al. 2017, arXiv 1707.06887, algorithm 1).

    The entropy bonus moves every atom, as in SimbaV2 (arXiv 2502.15280).
    """

    lo: float
    hi: float
    bins: int

    def __post_init__(self) -> None:
        """Refuse an empty support."""
        check_support(self.lo, self.hi, self.bins)

    @property
    def num_outputs(self) -> int:
        """One logit per atom."""
        return self.bins

    def value(self, outputs: ArrayLike) -> jax.Array:
        """The mean `[]` of softmax(`outputs [O]`) over the atoms."""
        return decode(jax.nn.softmax(require("outputs", outputs, self.bins)), self.lo, self.hi)

    def target(self, reward: ArrayLike, discount: ArrayLike, next_outputs: ArrayLike, bonus: ArrayLike) -> Target:
        """Probabilities `[O]` of reward + discount * (next atom + bonus); arguments as in `ValueHead.target`.

        The projection keeps the mean wherever no atom is clipped. `clipped` is the probability, not the number, of
        the atoms that fell outside.
        """
        mass = jax.nn.softmax(require("next_outputs", next_outputs, self.bins))
        atoms = np.linspace(self.lo, self.hi, self.bins).astype(mass.dtype)
        index, outside = positions(bellman(reward, discount, atoms, bonus), self.lo, self.hi, self.bins)
        projected = jnp.sum(mass[:, None] * neighbour_weights(index, self.bins), axis=0)
        # Adding hundreds of equal float32 terms to one atom drifts by some 1e-6; the division takes that back.
        return jax.lax.stop_gradient(Target(projected / jnp.sum(projected), jnp.sum(mass * outside)))

    def loss(self, outputs: ArrayLike, target: Target) -> jax.Array:
        """Cross-entropy `[]` of softmax(`outputs [O]`) against the projected distribution."""
        probabilities = require("target.value", target.value, self.bins)
        return cross_entropy(probabilities, require("outputs", outputs, self.bins))

    def mixture(self, outputs: ArrayLike) -> jax.Array:
        """Logits `[O]` of the mean of the members' distributions, from `outputs [E, O]`."""
        return mixture_logits(require("outputs", outputs, None, self.bins))


def from_config(config: HeadConfig, lo: float, hi: float) -> C51:
    """The head on [lo, hi]."""
    return C51(lo, hi, config.bins)
