"""Quantile regression: the outputs are quantiles of the return; no support has to be chosen."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from robo_rl.config import HeadConfig
from robo_rl.critics.checks import require
from robo_rl.critics.head import Target, bellman
from robo_rl.critics.huber import huber
from robo_rl.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Quantile:
    """`quantiles` outputs at the fixed levels (i + 1/2) / N, N = `quantiles`.

    Dabney et al. 2018 (arXiv 1710.10044, equation 10), with the Huber loss divided by `kappa` (scaled return units)
    as in Bodnar et al. 2020 (arXiv 1910.02787), so that a small kappa tends to the pinball loss. Nothing is clipped.
    """

    quantiles: int
    kappa: float = 1.0

    def __post_init__(self) -> None:
        """Refuse an empty set of quantiles and a threshold that is not positive."""
        if self.quantiles < 1 or not self.kappa > 0:
            raise ConfigError(
                f"critic.quantiles is {self.quantiles} and critic.huber_kappa is {self.kappa}; "
                "the first must be at least 1, the second above 0."
            )

    @property
    def num_outputs(self) -> int:
        """One output per quantile."""
        return self.quantiles

    def value(self, outputs: ArrayLike) -> jax.Array:
        """The mean `[]` of the quantiles `outputs [O]`."""
        return jnp.mean(require("outputs", outputs, self.quantiles))

    def target(self, reward: ArrayLike, discount: ArrayLike, next_outputs: ArrayLike, bonus: ArrayLike) -> Target:
        """Samples `[O]` reward + discount * (next quantile + bonus); arguments as in `ValueHead.target`."""
        samples = bellman(reward, discount, require("next_outputs", next_outputs, self.quantiles), bonus)
        return Target(samples, jnp.zeros((), samples.dtype))

    def loss(self, outputs: ArrayLike, target: Target) -> jax.Array:
        """Quantile Huber loss `[]`: the mean over target samples, summed over quantiles.

        `target.value` may hold any number of samples `[M]`.
        """
        outputs = require("outputs", outputs, self.quantiles)
        error = require("target.value", target.value, None)[None, :] - outputs[:, None]
        levels = ((np.arange(self.quantiles) + 0.5) / self.quantiles).astype(outputs.dtype)
        weights = jnp.where(error < 0, 1 - levels[:, None], levels[:, None])
        return jnp.sum(jnp.mean(weights * huber(error, self.kappa) / self.kappa, axis=1))

    def mixture(self, outputs: ArrayLike) -> jax.Array:
        """The mean `[O]` per quantile of `outputs [E, O]`."""
        return jnp.mean(require("outputs", outputs, None, self.quantiles), axis=0)


def from_config(config: HeadConfig, lo: float, hi: float) -> Quantile:
    """The head with the configured number of quantiles and threshold; it has no range."""
    del lo, hi
    return Quantile(config.quantiles, config.huber_kappa)
