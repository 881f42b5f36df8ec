import math

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings

from robo_rl.metrics.statistics import bootstrap_mean_interval, welch_interval, wilson_interval


@pytest.mark.parametrize(
    ("rate", "n", "expected"),
    [
        (0.9, 10, (0.60, 0.98)),
        (0.9, 100, (0.83, 0.95)),
        (0.9, 200, (0.85, 0.93)),
        (0.9, 1000, (0.88, 0.92)),
        (0.0, 10, (0.0, 0.28)),
        (1.0, 10, (0.72, 1.0)),
    ],
)
def test_wilson_known_values(rate, n, expected):
    assert wilson_interval(round(rate * n), n) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize(
    ("successes", "n", "expected"),
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_wilson_agrees_with_the_published_examples(successes, n, expected):
    # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    assert wilson_interval(successes, n) == pytest.approx(expected, abs=5e-5)


@given(n=st.integers(1, 2000), data=st.data())
def test_wilson_holds_the_rate_and_mirrors(n, data):
    successes = data.draw(st.integers(0, n))
    low, high = wilson_interval(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert low < high
    assert wilson_interval(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_more_confidence_is_wider():
    narrow, wide = wilson_interval(7, 20, 0.5), wilson_interval(7, 20, 0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(successes, n):
    with pytest.raises(ValueError, match="successes"):
        wilson_interval(successes, n)


@pytest.mark.parametrize("confidence", [0, 1, 95, math.nan])
def test_both_refuse_a_confidence_outside_0_and_1(confidence):
    with pytest.raises(ValueError, match="confidence"):
        wilson_interval(1, 2, confidence)
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_mean_interval([1.0, 2.0], confidence)


def test_bootstrap_of_many_values_agrees_with_the_normal_interval():
    values = np.random.default_rng(3).normal(5.0, 2.0, size=400)
    low, high = bootstrap_mean_interval(values)
    half_width = 1.96 * values.std() / math.sqrt(values.size)
    assert low == pytest.approx(values.mean() - half_width, abs=0.02)
    assert high == pytest.approx(values.mean() + half_width, abs=0.02)


def test_bootstrap_of_two_values_is_known_exactly():
    # The mean of two draws from {0, 1} is 0, 0.5, 1 with probability 1/4, 1/2, 1/4.
    assert bootstrap_mean_interval([0.0, 1.0], confidence=0.95) == (0.0, 1.0)
    assert bootstrap_mean_interval([0.0, 1.0], confidence=0.4) == (0.5, 0.5)


def test_bootstrap_is_seeded_and_the_seed_matters():
    values = np.random.default_rng(0).normal(size=20)
    assert bootstrap_mean_interval(values, seed=1) == bootstrap_mean_interval(values, seed=1)
    assert bootstrap_mean_interval(values, seed=1) != bootstrap_mean_interval(values, seed=2)


def test_bootstrap_drawn_in_blocks_covers_every_resample():
    # 3 million values: the resamples do not fit one block.
    low, high = bootstrap_mean_interval(np.tile([0.0, 1.0], 100_000), resamples=30)
    assert 0.497 < low < high < 0.503


@settings(max_examples=30)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_bootstrap_stays_inside_the_values(values):
    low, high = bootstrap_mean_interval(values, resamples=200)
    slack = 1e-9 * max(map(abs, values))
    assert min(values) - slack <= low <= high <= max(values) + slack


def test_one_value_gives_itself():
    assert bootstrap_mean_interval([3.5]) == (3.5, 3.5)


@pytest.mark.parametrize("values", [[], [[1.0]], [1.0, math.nan], [math.inf]])
def test_bootstrap_refuses_what_has_no_mean(values):
    with pytest.raises(ValueError, match=r"shape|finite"):
        bootstrap_mean_interval(values)


@pytest.mark.filterwarnings("ignore:Precision loss occurred:RuntimeWarning")  # scipy's, where one side has no spread
@given(
    values=st.lists(st.integers(0, 1000), min_size=2, max_size=12),
    reference=st.lists(st.integers(0, 1000), min_size=2, max_size=12),
    confidence=st.sampled_from([0.5, 0.95, 0.99]),
)
def test_welch_is_that_of_scipy(values, reference, confidence):
    low, high = welch_interval(values, reference, confidence)
    if len(set(values)) == len(set(reference)) == 1:
        assert low == high == values[0] - reference[0]
    else:
        expected = scipy.stats.ttest_ind(values, reference, equal_var=False).confidence_interval(confidence)
        assert (low, high) == pytest.approx(tuple(expected), rel=1e-9, abs=1e-9)


def test_welch_of_a_handful_holds_the_true_difference_as_often_as_it_says():
    """Three against three, as in most comparisons; with so few it is a little too wide."""
    pairs = np.random.default_rng(0).normal(size=(2000, 2, 3))
    assert 0.94 <= np.mean([np.prod(welch_interval(*pair)) <= 0 for pair in pairs]) <= 0.985


@pytest.mark.parametrize("side", [[1.0], [], [1.0, math.nan], [[1.0, 2.0]]])
def test_welch_refuses_what_has_no_spread_or_is_no_number(side):
    with pytest.raises(ValueError, match="at least two finite values"):
        welch_interval(side, [1.0, 2.0])
    with pytest.raises(ValueError, match="at least two finite values"):
        welch_interval([1.0, 2.0], side)
