"""Whether one checkpoint is better than another: a paired bootstrap over the same episodes of both."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Comparison(NamedTuple):
    """What the episodes of evidence say.

    candidate, incumbent: mean score, variations weighing the same   gain: their difference
    low: lower end of the one-sided confidence interval of the gain   episodes: pairs
    """

    candidate: float
    incumbent: float
    gain: float
    low: float
    episodes: int


def paired_comparison(
    candidate: Mapping[str, Sequence[float]],
    incumbent: Mapping[str, Sequence[float]],
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare scores `[n]` per variation, the same variations and episode seeds in the same order on both sides.

    Differences of pairs are resampled within each variation, and variations weigh the same: seeds are paired because
    both checkpoints met the same initial conditions, whose luck cancels. Equal inputs give equal results.

    Source: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap" (1993), sections 8.3 and 13.3.

    Raises:
        ValueError: variations or numbers of episodes differ, there are none, or a score is not finite.
    """
    if not candidate or candidate.keys() != incumbent.keys():
        raise ValueError(f"Needs the same variations on both sides; got {sorted(candidate)} and {sorted(incumbent)}.")
    generator = np.random.default_rng(seed)
    gains = np.zeros(resamples)
    means = np.zeros(2)
    episodes = 0
    for name in sorted(candidate):
        pair = np.asarray(candidate[name], np.float64), np.asarray(incumbent[name], np.float64)
        if pair[0].shape != pair[1].shape or pair[0].ndim != 1 or not pair[0].size:
            raise ValueError(f"{name}: needs as many scores on both sides; got {pair[0].shape} and {pair[1].shape}.")
        difference = pair[0] - pair[1]
        if not np.isfinite(difference).all():
            raise ValueError(f"{name}: a score is not finite.")
        for row in range(resamples):  # one row at a time: a table of all would not fit for large suites
            gains[row] += difference[generator.integers(difference.size, size=difference.size)].mean()
        means += [pair[0].mean(), pair[1].mean()]
        episodes += difference.size
    means, gains = means / len(candidate), gains / len(candidate)
    low = float(np.quantile(gains, 1 - confidence))
    return Comparison(float(means[0]), float(means[1]), float(means[0] - means[1]), low, episodes)
