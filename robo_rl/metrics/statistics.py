"""Intervals that go with a success rate, with a mean return, and with the difference of two means."""

import math
import statistics
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

# Resamples drawn at a time, so that thousands of values do not need gigabytes.
_BLOCK_VALUES = 2_000_000


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a success rate, `(low, high)` in [0, 1]: `successes` out of `n` independent episodes.

    Unlike the interval of the normal approximation it keeps its meaning near 0 and 1 and for a handful of episodes:
    10 out of 10 gives (0.72, 1.00), not (1, 1).

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

    Raises:
        ValueError: `n` < 1, `successes` outside 0..n, or `confidence` outside (0, 1).
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"Needs 0 <= successes <= n and n >= 1; got successes = {successes}, n = {n}.")
    _check_confidence(confidence)
    z = statistics.NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half_width = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # At 0 and n the exact ends are 0 and 1; rounding would put them 1e-17 to the wrong side.
    low = 0.0 if successes == 0 else centre - half_width
    high = 1.0 if successes == n else centre + half_width
    return low, high


def bootstrap_mean_interval(
    values: Sequence[float] | np.ndarray, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """The percentile-bootstrap interval of the mean of `values [n]`, `(low, high)` in their unit.

    Equal inputs give equal intervals: the resampling is seeded. One value alone has no spread to resample, so both
    ends are that value; the caller should print `n` beside the interval.

    Source: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap" (1993), section 13.3.

    Raises:
        ValueError: `values` is empty, not one-dimensional or not finite; `resamples` < 1; `confidence` outside (0, 1).
    """
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(f"Needs values of shape [n] with n >= 1; got shape {sample.shape}.")
    if not np.isfinite(sample).all():
        raise ValueError(f"Value {int(np.argmin(np.isfinite(sample)))} of {sample.size} is not finite.")
    if resamples < 1:
        raise ValueError(f"Needs resamples >= 1; got {resamples}.")
    _check_confidence(confidence)
    generator = np.random.default_rng(seed)
    means = []
    for start in range(0, resamples, block := max(1, _BLOCK_VALUES // sample.size)):
        rows = min(block, resamples - start)
        means.append(sample[generator.integers(sample.size, size=(rows, sample.size))].mean(axis=1))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def welch_interval(
    values: Sequence[float] | np.ndarray, reference: Sequence[float] | np.ndarray, confidence: float = 0.95
) -> tuple[float, float]:
    """The t interval of mean(values [n]) - mean(reference [m]), `(low, high)`; variances may differ.

    For a handful of values on either side, where resampling them gives intervals that are too narrow. Without any
    spread on both sides it has no width.

    Source: B. L. Welch, "The generalization of 'Student's' problem when several different population variances are
    involved", Biometrika 34 (1947); its degrees of freedom by Satterthwaite, Biometrics Bulletin 2 (1946).

    Raises:
        ValueError: fewer than two values on a side, one is not finite, or `confidence` outside (0, 1).
    """
    samples = [np.asarray(side, np.float64) for side in (values, reference)]
    if any(sample.ndim != 1 or sample.size < 2 or not np.isfinite(sample).all() for sample in samples):
        shapes = " and ".join(str(sample.shape) for sample in samples)
        raise ValueError(f"Needs at least two finite values on each side; got shapes {shapes}.")
    _check_confidence(confidence)
    gained = float(samples[0].mean() - samples[1].mean())
    squares = np.array([sample.var(ddof=1) / sample.size for sample in samples])
    total = float(squares.sum())
    if total == 0:
        return gained, gained
    shares = squares / total  # before they are squared, which could leave nothing of small variances
    freedom = 1 / sum(share**2 / (sample.size - 1) for share, sample in zip(shares, samples, strict=True))
    half_width = float(stdtrit(freedom, 0.5 + confidence / 2)) * math.sqrt(total)
    return gained - half_width, gained + half_width


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"Needs a confidence between 0 and 1, such as 0.95; got {confidence}.")
