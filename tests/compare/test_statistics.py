import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from robo_rl.compare import statistics
from robo_rl.compare.statistics import Estimate
from robo_rl.errors import UserError

MATRICES = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 6), st.integers(1, 8)), elements=st.integers(0, 20).map(lambda n: n / 16)
)


def random_scores(seed, seeds=4, tasks=3):
    return np.random.default_rng(seed).random((seeds, tasks))


@settings(max_examples=50)
@given(MATRICES)
def test_aggregates_are_those_of_rliable(scores):
    from rliable import metrics

    functions = (
        metrics.aggregate_iqm, metrics.aggregate_mean, metrics.aggregate_median, metrics.aggregate_optimality_gap,
    )  # fmt: skip
    expected = [function(scores) for function in functions]
    np.testing.assert_allclose(statistics.aggregate_values(scores), expected, atol=1e-12)


def test_the_interquartile_mean_cuts_a_quarter_at_each_end():
    assert statistics.interquartile_mean(np.array([[0.0, 100.0], [1.0, 3.0]])) == 2.0
    assert statistics.interquartile_mean(np.array([[5.0, 1.0, 3.0]])) == 3.0


def test_intervals_are_those_of_rliable_with_its_own_functions():
    from rliable import library, metrics

    scores, reference = random_scores(0), random_scores(1, seeds=5)
    np.random.seed(statistics.BOOTSTRAP_SEED)
    _, interval = library.get_interval_estimates(
        {"x": scores}, lambda x: np.array([metrics.aggregate_iqm(x)]), reps=200
    )
    np.testing.assert_allclose(statistics.aggregates(scores, 200)["iqm"][1:], interval["x"][:, 0])
    np.random.seed(statistics.BOOTSTRAP_SEED)
    points, interval = library.get_interval_estimates(
        {"x": [scores, reference]}, lambda x, y: np.array([metrics.probability_of_improvement(x, y)]), reps=100
    )
    mine = statistics.improvement(scores, reference, 100)
    np.testing.assert_allclose(mine, [points["x"][0], *interval["x"][:, 0]])


def test_intervals_do_not_depend_on_the_global_generator_nor_move_it():
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    first = statistics.aggregates(random_scores(0), 100)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.random.seed(4)
    assert statistics.aggregates(random_scores(0), 100) == first


def test_a_profile_is_the_share_of_runs_above_each_score():
    found = statistics.profile(np.array([[0.1, 0.5], [0.3, 0.9]]), [0.0, 0.3, 0.9], 50)
    assert [estimate.value for estimate in found] == [1.0, 0.5, 0.0]
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in found)


def test_a_curve_has_an_estimate_for_each_step():
    scores = np.random.default_rng(0).random((4, 3, 5))
    found = statistics.curve(scores, 50)
    assert [e.value for e in found] == pytest.approx([statistics.interquartile_mean(scores[..., k]) for k in range(5)])
    assert [e.value for e in statistics.task_curve(scores[:, 0], 50)] == pytest.approx(scores[:, 0].mean(axis=0))
    assert statistics.task_mean([1.0, 3.0], 50).value == 2.0


def test_improvement_counts_ties_half_and_knows_which_way_round():
    low, high = np.full((3, 2), 0.2), np.full((3, 2), 0.8)
    assert statistics.improvement(high, low, 20) == (1.0, 1.0, 1.0)
    assert statistics.improvement(low, high, 20) == (0.0, 0.0, 0.0)
    assert statistics.improvement(low, low, 20) == (0.5, 0.5, 0.5)
    assert statistics.difference(high, low, 20) == pytest.approx((0.6, 0.6, 0.6))


@pytest.mark.parametrize(
    ("estimate", "seeds", "said"),
    [
        (Estimate(0.1, 0.01, 0.2), 5, "higher"),
        (Estimate(-0.1, -0.2, -0.01), 5, "lower"),
        (Estimate(0.1, -0.01, 0.2), 5, "undecided"),
        (Estimate(0.1, 0.0, 0.2), 5, "undecided"),
        (Estimate(0.1, 0.1, 0.1), 1, "too few seeds"),
        (Estimate(0.1, 0.05, 0.2), 2, "too few seeds"),
    ],
)
def test_a_verdict_needs_seeds_and_an_interval_on_one_side(estimate, seeds, said):
    assert statistics.verdict(estimate, 0.0, seeds) == said


@pytest.mark.parametrize("scores", [np.zeros((0, 2)), np.zeros(3), np.array([[np.nan]])])
def test_what_is_no_score_matrix_is_refused(scores):
    with pytest.raises(ValueError, match=r"needs finite scores \[seed, task\]"):
        statistics.aggregates(scores, 10)
    with pytest.raises(ValueError, match="needs scores"):
        statistics.curve(scores, 10)


@pytest.mark.parametrize("error", [ImportError("No module named 'rliable'"), TypeError("deprecate_kwarg() missing 1")])
def test_a_missing_or_broken_rliable_is_said_with_the_remedy(monkeypatch, error):
    def fail(name):
        raise error

    statistics.rliable_library.cache_clear()
    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(UserError, match=r"pip install 'robo-rl\[compare\]'"):
        statistics.rliable_library()
