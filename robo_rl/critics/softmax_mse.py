"""Softmax with squared error: the representation of HL-Gauss, trained by regression on the value it decodes to.

Farebrother et al. 2024 (arXiv 2403.03950, section 5.1) ask with it whether the gain of classification comes from the
representation or from the loss. Everything but the loss is HL-Gauss's own, so that nothing else differs.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from robo_rl.config import HeadConfig
from robo_rl.critics import hl_gauss
from robo_rl.critics.checks import require
from robo_rl.critics.head import Target


@dataclasses.dataclass(frozen=True)
class SoftmaxMSE:
    """Half the squared error of the mean of a softmax over the bins of `histogram`."""

    histogram: hl_gauss.HLGauss

    @property
    def num_outputs(self) -> int:
        """One logit per bin, padding included."""
        return self.histogram.num_outputs

    def value(self, outputs: ArrayLike) -> jax.Array:
        """The mean `[]` of softmax(`outputs [O]`) over the bin centres."""
        return self.histogram.value(outputs)

    def target(self, reward: ArrayLike, discount: ArrayLike, next_outputs: ArrayLike, bonus: ArrayLike) -> Target:
        """The scalar Bellman target `[]`, clipped to the support; arguments as in `ValueHead.target`."""
        return self.histogram.target(reward, discount, next_outputs, bonus)

    def loss(self, outputs: ArrayLike, target: Target) -> jax.Array:
        """(target - value)^2 / 2, `[]`."""
        return 0.5 * jnp.square(require("target.value", target.value) - self.value(outputs))

    def mixture(self, outputs: ArrayLike) -> jax.Array:
        """Logits `[O]` of the mean of the members' distributions, from `outputs [E, O]`."""
        return self.histogram.mixture(outputs)


def from_config(config: HeadConfig, lo: float, hi: float) -> SoftmaxMSE:
    """The head over the bins that hl_gauss has for the same config; raises what that raises."""
    return SoftmaxMSE(hl_gauss.from_config(config, lo, hi))
