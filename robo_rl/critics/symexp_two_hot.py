"""Symexp Two-Hot: Two-Hot on atoms that lie closer together near zero, for values of very different sizes."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from robo_rl.config import HeadConfig
from robo_rl.critics.checks import require
from robo_rl.critics.head import Target, bellman
from robo_rl.critics.support import EDGE_TOLERANCE, check_support, cross_entropy, mixture_logits


@dataclasses.dataclass(frozen=True)
class SymexpTwoHot:
    """`bins` atoms sign(x) (exp|x| - 1), x even from -reach to reach, as in DreamerV3 (arXiv 2301.04104).

    Values are means over the atoms themselves, not over their logarithms as in TD-MPC2 (arXiv 2310.16828): only then
    does the mean of several distributions have the mean of their values.

    reach: log(1 + the greatest value), scaled return units
    """

    reach: float
    bins: int

    def __post_init__(self) -> None:
        """Refuse an empty support."""
        check_support(-self.reach, self.reach, self.bins)

    @property
    def num_outputs(self) -> int:
        """One logit per atom."""
        return self.bins

    @property
    def atoms(self) -> np.ndarray:
        """The atoms `[O]`, float64, ascending; those of a mirrored pair are equal but for their sign."""
        above = np.expm1(np.linspace(-self.reach, self.reach, self.bins)[(self.bins + 1) // 2 :])
        return np.concatenate([-above[::-1], np.zeros(self.bins % 2), above])

    def value(self, outputs: ArrayLike) -> jax.Array:
        """The mean `[]` of softmax(`outputs [O]`) over the atoms."""
        return self.decode(jax.nn.softmax(require("outputs", outputs, self.bins)))

    def decode(self, probabilities: jax.Array) -> jax.Array:
        """The mean `[]` of `probabilities [O]` over the atoms; over mirrored pairs, as `support.decode` explains."""
        half = self.bins // 2
        upper, lower = probabilities[::-1][:half], probabilities[:half]
        return jnp.sum((upper - lower) * self.atoms[::-1][:half].astype(probabilities.dtype))

    def target(self, reward: ArrayLike, discount: ArrayLike, next_outputs: ArrayLike, bonus: ArrayLike) -> Target:
        """The scalar Bellman target `[]`, clipped to the atoms; arguments as in `ValueHead.target`."""
        y = bellman(reward, discount, self.value(next_outputs), bonus)
        last, before = self.atoms[-1], self.atoms[-2]
        clipped = jnp.abs(y) > last + EDGE_TOLERANCE * (last - before)
        return Target(y.clip(-last, last), clipped.astype(y.dtype))

    def encode(self, y: ArrayLike) -> jax.Array:
        """Probabilities `[O]` whose mean is `y []` clipped to the atoms; at most two neighbours are above 0."""
        y = require("y", y)
        atoms = jnp.asarray(self.atoms, y.dtype)
        clipped = y.clip(atoms[0], atoms[-1])
        # The last interval holds its upper end, so that no mass falls beyond the last atom.
        below = jnp.clip(jnp.searchsorted(atoms, clipped, side="right") - 1, 0, self.bins - 2)
        share = (clipped - atoms[below]) / (atoms[below + 1] - atoms[below])
        return jax.nn.one_hot(below, self.bins) * (1 - share) + jax.nn.one_hot(below + 1, self.bins) * share

    def loss(self, outputs: ArrayLike, target: Target) -> jax.Array:
        """Cross-entropy `[]` of softmax(`outputs [O]`) against the encoded target."""
        return cross_entropy(self.encode(target.value), require("outputs", outputs, self.bins))

    def mixture(self, outputs: ArrayLike) -> jax.Array:
        """Logits `[O]` of the mean of the members' distributions, from `outputs [E, O]`."""
        return mixture_logits(require("outputs", outputs, None, self.bins))


def from_config(config: HeadConfig, lo: float, hi: float) -> SymexpTwoHot:
    """The head on the smallest symmetric range that holds [lo, hi]: its atoms lie symmetrically about 0."""
    return SymexpTwoHot(math.log1p(max(-lo, hi)), config.bins)
