"""Log-loss: one sigmoid output scaled to the support, trained by cross-entropy on the share of the range."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from robo_rl.config import HeadConfig
from robo_rl.critics.checks import require
from robo_rl.critics.head import Target, bellman
from robo_rl.critics.support import check_support

SLACK = 1e-5
"""Share of the range a target may lie outside it and still count as on the edge: the float32 rounding of r + d * z."""


@dataclasses.dataclass(frozen=True)
class LogLoss:
    """The critic of QT-Opt (Kalashnikov et al. 2018, arXiv 1806.10293, section 4.2) on [lo, hi] instead of [0, 1].

    The least loss is the entropy of the target's share, not 0: compare it between runs by its fall alone.
    """

    lo: float
    hi: float
    num_outputs: int = dataclasses.field(default=1, init=False)

    def __post_init__(self) -> None:
        """Refuse an empty support."""
        check_support(self.lo, self.hi, 2)

    def value(self, outputs: ArrayLike) -> jax.Array:
        """lo + (hi - lo) sigmoid(logit) `[]`, for the single logit in `outputs [1]`."""
        # The sigmoid as a tanh, so that 0 gives the middle to the last bit.
        half_range = (self.hi - self.lo) / 2
        return (self.lo + self.hi) / 2 + half_range * jnp.tanh(require("outputs", outputs, 1)[0] / 2)

    def target(self, reward: ArrayLike, discount: ArrayLike, next_outputs: ArrayLike, bonus: ArrayLike) -> Target:
        """The scalar Bellman target `[]`, clipped to [lo, hi]; arguments as in `ValueHead.target`."""
        y = bellman(reward, discount, self.value(next_outputs), bonus)
        slack = SLACK * (self.hi - self.lo)
        clipped = (y < self.lo - slack) | (y > self.hi + slack)
        return Target(y.clip(self.lo, self.hi), clipped.astype(y.dtype))

    def loss(self, outputs: ArrayLike, target: Target) -> jax.Array:
        """-p log sigmoid(logit) - (1 - p) log(1 - sigmoid(logit)) `[]`, where p is the target's share of the range."""
        share = (require("target.value", target.value) - self.lo) / (self.hi - self.lo)
        logit = require("outputs", outputs, 1)[0]
        return jax.nn.softplus(logit) - share * logit

    def mixture(self, outputs: ArrayLike) -> jax.Array:
        """The logit `[1]` of the mean of the members' sigmoids, from `outputs [E, 1]`."""
        logits = require("outputs", outputs, None, 1)
        # log p - log(1 - p) of the mean p, each in its own log space, where a sigmoid near 0 or 1 is not rounded off.
        above = jax.nn.logsumexp(jax.nn.log_sigmoid(logits), axis=0)
        below = jax.nn.logsumexp(jax.nn.log_sigmoid(-logits), axis=0)
        return above - below


def from_config(config: HeadConfig, lo: float, hi: float) -> LogLoss:
    """The head on [lo, hi]."""
    return LogLoss(lo, hi)
