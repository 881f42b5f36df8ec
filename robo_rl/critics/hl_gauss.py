"""HL-Gauss: a scalar target blurred into a Gaussian histogram, learned by cross-entropy."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from robo_rl.config import HeadConfig
from robo_rl.critics.checks import require
from robo_rl.critics.head import Target, bellman
from robo_rl.critics.support import EDGE_TOLERANCE, check_support, cross_entropy, decode, mixture_logits
from robo_rl.errors import ConfigError

EDGE_BIAS = 1e-3
"""Bin widths by which the edge may decode worse than the interior before `from_config` asks for more padding."""


@dataclasses.dataclass(frozen=True)
class HLGauss:
    """`bins` bins on [lo, hi] plus `padding` bins of the same width at each end.

    Imani and White 2018 (arXiv 1806.04613); Farebrother et al. 2024 (arXiv 2403.03950, section 3.1, listings 1 and
    2). The paper neither pads nor clips: at the edge a target then decodes 0.69 bins too low, and outside the support
    it becomes NaN. Here targets are clipped to [lo, hi] and the Gaussian spills into the padding.

    lo, hi: reachable range, scaled return units    bins: number of bins inside it
    padding: bins added at each end (0: the paper's listing)
    sigma_to_width: standard deviation of the Gaussian, in bin widths
    """

    lo: float
    hi: float
    bins: int
    padding: int = 3
    sigma_to_width: float = 0.75

    def __post_init__(self) -> None:
        """Refuse an empty support, negative padding and a Gaussian without width."""
        check_support(self.lo, self.hi, self.bins)
        if self.padding < 0 or not self.sigma_to_width > 0:
            raise ConfigError(
                f"critic.padding_bins is {self.padding} and critic.sigma_to_width is {self.sigma_to_width}; "
                "the first must be at least 0, the second above 0."
            )

    @property
    def num_outputs(self) -> int:
        """One logit per bin, padding included."""
        return self.bins + 2 * self.padding

    @property
    def width(self) -> float:
        """Width of one bin, scaled return units."""
        return (self.hi - self.lo) / self.bins

    def value(self, outputs: ArrayLike) -> jax.Array:
        """The mean `[]` of softmax(`outputs [O]`) over the bin centres."""
        return self.decode(jax.nn.softmax(require("outputs", outputs, self.num_outputs)))

    def decode(self, probabilities: jax.Array) -> jax.Array:
        """The mean `[]` of `probabilities [O]` over the bin centres; the inverse of `encode`."""
        reach = (self.padding - 0.5) * self.width
        return decode(probabilities, self.lo - reach, self.hi + reach)

    def target(self, reward: ArrayLike, discount: ArrayLike, next_outputs: ArrayLike, bonus: ArrayLike) -> Target:
        """The scalar Bellman target `[]`, clipped to [lo, hi]; arguments as in `ValueHead.target`."""
        y = bellman(reward, discount, self.value(next_outputs), bonus)
        slack = EDGE_TOLERANCE * self.width
        clipped = (y < self.lo - slack) | (y > self.hi + slack)
        return Target(y.clip(self.lo, self.hi), clipped.astype(y.dtype))

    def encode(self, y: ArrayLike) -> jax.Array:
        """Probabilities `[O]`: the Gaussian's mass in each bin around `y []`, which is clipped to [lo, hi] first.

        Distances are taken in bin widths from the middle of the support, which keeps float32 exact where it matters
        and makes the histogram of a mirrored target the mirrored histogram.
        """
        clipped = require("y", y).clip(self.lo, self.hi)
        offset = (clipped - (self.lo + self.hi) / 2) / self.width
        edges = (np.arange(self.num_outputs + 1) - self.num_outputs / 2).astype(offset.dtype)
        cumulative = jax.lax.erf((edges - offset) / (math.sqrt(2) * self.sigma_to_width))
        # The clip keeps at least half of the Gaussian inside, so the divisor is never near 0.
        return jnp.diff(cumulative) / (cumulative[-1] - cumulative[0])

    def loss(self, outputs: ArrayLike, target: Target) -> jax.Array:
        """Cross-entropy `[]` of softmax(`outputs [O]`) against the encoded target."""
        return cross_entropy(self.encode(target.value), require("outputs", outputs, self.num_outputs))

    def mixture(self, outputs: ArrayLike) -> jax.Array:
        """Logits `[O]` of the mean of the members' distributions, from `outputs [E, O]`."""
        return mixture_logits(require("outputs", outputs, None, self.num_outputs))


def decode_bias(sigma_to_width: float, padding: float) -> float:
    """Worst |decode(encode(y)) - y|, in bin widths, of targets within one bin of an edge with `padding` bins beyond.

    Computed in float64 on a support that ends nowhere else within reach of the Gaussian.
    """
    reach = math.ceil(9 * sigma_to_width) + 2
    edges = np.arange(-reach, math.ceil(padding) + 1) - math.ceil(padding) + padding
    centres = (edges[:-1] + edges[1:]) / 2
    worst = 0.0
    for y in np.linspace(-1, 0, 33):
        mass = np.diff([math.erf((edge - y) / (math.sqrt(2) * sigma_to_width)) for edge in edges])
        worst = max(worst, abs(float(mass @ centres / mass.sum()) - y))
    return worst


@functools.lru_cache
def sufficient_padding(sigma_to_width: float) -> int:
    """Least whole number of padding bins with which the edge decodes as well as the interior, within EDGE_BIAS.

    The interior has a bias of its own that no padding mends: 5e-6 bins at 0.75, 0.002 at 0.5, 0.09 at 0.25.
    """
    most = math.ceil(6 * sigma_to_width) + 1
    allowed = decode_bias(sigma_to_width, most) + EDGE_BIAS
    return next(padding for padding in range(most + 1) if decode_bias(sigma_to_width, padding) <= allowed)


def from_config(config: HeadConfig, lo: float, hi: float) -> HLGauss:
    """The head on [lo, hi], padded.

    Raises:
        ConfigError: the padding is too small for the smoothing; the message names the least that suffices.
    """
    needed = sufficient_padding(config.sigma_to_width)
    if config.padding_bins < needed:
        bias = decode_bias(config.sigma_to_width, config.padding_bins)
        raise ConfigError(
            f"critic.padding_bins is {config.padding_bins} with critic.sigma_to_width {config.sigma_to_width}: values "
            f"at the edge of the support would be {bias:.3g} bins off. Set critic.padding_bins to at least {needed}."
        )
    return HLGauss(lo, hi, config.bins, config.padding_bins, config.sigma_to_width)
