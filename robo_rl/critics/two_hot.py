"""Two-Hot: a scalar target shared between its two neighbouring atoms, learned by cross-entropy."""

import dataclasses

import jax
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
class TwoHot:
    """`bins` atoms evenly from `lo` to `hi`, both included (Farebrother et al. 2024, arXiv 2403.03950, section 3.1)."""

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
        """The scalar Bellman target `[]`, clipped to the support; arguments as in `ValueHead.target`."""
        y = bellman(reward, discount, self.value(next_outputs), bonus)
        _, clipped = positions(y, self.lo, self.hi, self.bins)
        return Target(y.clip(self.lo, self.hi), clipped)

    def encode(self, y: ArrayLike) -> jax.Array:
        """Probabilities `[O]` whose mean is `y []` clipped to the support; at most two are above 0."""
        index, _ = positions(require("y", y), self.lo, self.hi, self.bins)
        return neighbour_weights(index, self.bins)

    def loss(self, outputs: ArrayLike, target: Target) -> jax.Array:
        """Cross-entropy `[]` of softmax(`outputs [O]`) against the encoded target."""
        return cross_entropy(self.encode(target.value), require("outputs", outputs, self.bins))

    def mixture(self, outputs: ArrayLike) -> jax.Array:
        """Logits `[O]` of the mean of the members' distributions, from `outputs [E, O]`."""
        return mixture_logits(require("outputs", outputs, None, self.bins))


def from_config(config: HeadConfig, lo: float, hi: float) -> TwoHot:
    """The head on [lo, hi]."""
    return TwoHot(lo, hi, config.bins)
