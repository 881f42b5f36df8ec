"""Aggregates, pairwise comparisons, profiles and curves with stratified bootstrap intervals, by rliable.

Scores are matrices `[seed, task]` on a common scale. Intervals resample seeds within each task, so they say what other
seeds would have given on the same tasks; they say nothing about other tasks.

Source: R. Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021,
arXiv 2108.13264; sections 3 and 4.
"""

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from robo_rl.errors import UserError
from robo_rl.metrics.statistics import welch_interval

CONFIDENCE = 0.95
BOOTSTRAP_SEED = 0
REPETITIONS = 50_000
"""Resamples behind the intervals of aggregates and of differences between them."""
PAIR_REPETITIONS = 2_000
"""Resamples behind the probability of improvement, profiles, curves and the means of single tasks."""
TARGET = 1.0
"""The score from which the optimality gap is measured: the largest a task can give."""
THRESHOLDS = tuple(round(0.02 * step, 2) for step in range(51))
"""Scores at which performance profiles are read."""
LEAST_SEEDS = 3
"""Below this many seeds no verdict is given: resampling one or two values cannot show how much they vary."""
AGGREGATES = ("iqm", "mean", "median", "optimality_gap")


class Estimate(NamedTuple):
    """A number with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@functools.cache
def rliable_library() -> Any:
    """The module `rliable.library`, imported when first needed: only reports use it.

    Raises:
        UserError: rliable is not installed, or fails to import (it does with pandas 3).
    """
    try:
        return importlib.import_module("rliable.library")
    except (ImportError, TypeError) as error:
        raise UserError(
            f"The statistics of a comparison need rliable with pandas below 3 ({type(error).__name__}: {error}). "
            "Install the extra: pip install 'robo-rl[compare]'."
        ) from error


def aggregates(scores: np.ndarray, repetitions: int = REPETITIONS) -> dict[str, Estimate]:
    """Interquartile mean, mean, median of the tasks' means, and optimality gap of `scores [seed, task]`."""
    estimates = _estimates(aggregate_values, [_matrix(scores)], repetitions)
    return dict(zip(AGGREGATES, estimates, strict=True))


def aggregate_values(scores: np.ndarray) -> np.ndarray:
    """The four aggregates of `scores [seed, task]`, in the order of AGGREGATES.

    The same numbers as the functions of `rliable.metrics` (a test compares them), without their overhead, which would
    be paid at each of 50,000 resamples.
    """
    gap = TARGET - np.minimum(scores, TARGET).mean()
    means = np.sort(scores.mean(axis=0))
    median = (means[(means.size - 1) // 2] + means[means.size // 2]) / 2
    return np.array([interquartile_mean(scores), means.mean(), median, gap])


def interquartile_mean(scores: np.ndarray) -> float:
    """The mean of what is left of all entries when a quarter is cut off, rounded down, at each end."""
    ordered = np.sort(scores, axis=None)
    cut = ordered.size // 4
    return float(ordered[cut : ordered.size - cut].mean())


def difference(scores: np.ndarray, reference: np.ndarray, repetitions: int = REPETITIONS) -> Estimate:
    """The interquartile mean of `scores [seed, task]` less that of `reference [seed, task]`."""

    def gained(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.array([interquartile_mean(x) - interquartile_mean(y)])

    return _estimates(gained, [_matrix(scores), _matrix(reference)], repetitions)[0]


def improvement(scores: np.ndarray, reference: np.ndarray, repetitions: int = PAIR_REPETITIONS) -> Estimate:
    """The chance that a run of `scores [seed, task]` beats one of `reference` on the same task, mean over tasks.

    Equal scores count half. 0.5 means that neither is better.

    Source: Agarwal et al. 2021, section 4.3 (the Mann-Whitney U statistic over the number of pairs).
    """

    def beaten(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.array([(x[:, None] > y).mean() + 0.5 * (x[:, None] == y).mean()])

    return _estimates(beaten, [_matrix(scores), _matrix(reference)], repetitions)[0]


def profile(scores: np.ndarray, thresholds: Sequence[float], repetitions: int = PAIR_REPETITIONS) -> list[Estimate]:
    """For each of `thresholds [k]` the share of the runs of `scores [seed, task]` that score above it."""
    levels = np.asarray(thresholds)

    def shares(x: np.ndarray) -> np.ndarray:
        return (x[..., None] > levels).mean(axis=(0, 1))

    return _estimates(shares, [_matrix(scores)], repetitions)


def curve(scores: np.ndarray, repetitions: int = PAIR_REPETITIONS) -> list[Estimate]:
    """The interquartile mean over seeds and tasks at each step of `scores [seed, task, step]`.

    The intervals hold at each step by itself, not for the whole curve at once.
    """
    if scores.ndim != 3 or scores.size == 0:
        raise ValueError(f"needs scores [seed, task, step] with at least one of each, got shape {scores.shape}")

    def per_step(x: np.ndarray) -> np.ndarray:
        ordered = np.sort(x.reshape(-1, x.shape[-1]), axis=0)
        cut = len(ordered) // 4
        return ordered[cut : len(ordered) - cut].mean(axis=0)

    return _estimates(per_step, [scores], repetitions)


def task_mean(values: Sequence[float], repetitions: int = PAIR_REPETITIONS) -> Estimate:
    """The mean over seeds of one task's `values [seed]`, in their own unit."""
    column = _matrix(np.asarray(values, np.float64)[:, None])
    return _estimates(lambda x: np.array([x.mean()]), [column], repetitions)[0]


def task_curve(values: np.ndarray, repetitions: int = PAIR_REPETITIONS) -> list[Estimate]:
    """The mean over seeds at each step of one task's `values [seed, step]`, in their own unit."""
    return _estimates(lambda x: x.mean(axis=0), [_matrix(values)], repetitions)


def task_difference(values: Sequence[float], reference: Sequence[float]) -> Estimate:
    """The mean of one task's `values [seed]` less that of `reference [seed]`, in their own unit, at least 2 seeds each.

    With Welch's interval and not by resampling: over all tasks together many runs are resampled, here only a handful,
    whose resampled means vary too little.

    Raises:
        ValueError: as `welch_interval`.
    """
    return Estimate(float(np.mean(values) - np.mean(reference)), *welch_interval(values, reference, CONFIDENCE))


def verdict(estimate: Estimate, neutral: float, seeds: int) -> str:
    """What an interval lets one say: "higher", "lower", "undecided", or "too few seeds".

    neutral: the value that means no difference    seeds: of the smaller of the two groups
    """
    # One seed resampled is that seed again: an interval of no width, which would "prove" anything.
    if seeds < LEAST_SEEDS:
        return "too few seeds"
    if estimate.low > neutral:
        return "higher"
    return "lower" if estimate.high < neutral else "undecided"


def _estimates(function: Callable[..., np.ndarray], matrices: Sequence[np.ndarray], repetitions: int) -> list[Estimate]:
    """`function` of the matrices, a vector, with the percentile interval of each entry; equal inputs, equal output."""
    library = rliable_library()
    # To rliable a list of matrices is one group each, whose seeds are resampled independently of each other.
    scores = matrices[0] if len(matrices) == 1 else list(matrices)
    with _seeded():
        points, intervals = library.get_interval_estimates(
            {"scores": scores}, function, reps=repetitions, confidence_interval_size=CONFIDENCE
        )
    rows = np.vstack([points["scores"], intervals["scores"]]).T
    return [Estimate(*map(float, row)) for row in rows]


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """Make rliable repeatable: it draws from NumPy's global generator, whatever `random_state` it is given."""
    before = np.random.get_state()
    np.random.seed(BOOTSTRAP_SEED)
    try:
        yield
    finally:
        np.random.set_state(before)


def _matrix(scores: np.ndarray) -> np.ndarray:
    if scores.ndim != 2 or scores.size == 0 or not np.isfinite(scores).all():
        raise ValueError(f"needs finite scores [seed, task] with at least one of each, got shape {scores.shape}")
    return scores
