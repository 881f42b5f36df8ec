import numpy as np
import pytest

from robo_rl.fleet.evidence import paired_comparison


def test_gain_and_bound_against_the_normal_approximation():
    draw = np.random.default_rng(1)
    incumbent = draw.normal(0, 10, 400)
    candidate = incumbent + draw.normal(1, 2, 400)  # seeds differ far more than the two policies do
    found = paired_comparison({"a": candidate}, {"a": incumbent})
    difference = candidate - incumbent
    assert found.gain == pytest.approx(difference.mean())
    assert found.low == pytest.approx(difference.mean() - 1.645 * difference.std() / 20, abs=0.03)
    assert found == paired_comparison({"a": candidate}, {"a": incumbent})


def test_variations_weigh_the_same_whatever_their_episodes():
    found = paired_comparison({"a": [1.0] * 10, "b": [0.0] * 30}, {"a": [0.0] * 10, "b": [0.0] * 30})
    assert (found.candidate, found.gain, found.low, found.episodes) == (0.5, 0.5, 0.5, 40)


def test_equal_policies_are_promoted_as_rarely_as_the_confidence_says():
    draw = np.random.default_rng(2)
    pairs = draw.integers(0, 2, (200, 2, 60)).astype(float)
    wins = sum(paired_comparison({"a": x}, {"a": y}, resamples=1000).low > 0 for x, y in pairs)
    assert wins <= 20  # 10 expected


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        ({}, {}, "same variations"),
        ({"a": [1.0]}, {"b": [1.0]}, "same variations"),
        ({"a": [1.0]}, {"a": [1.0, 2.0]}, "as many scores"),
        ({"a": [float("nan")]}, {"a": [1.0]}, "not finite"),
    ],
)
def test_what_cannot_be_compared(left, right, said):
    with pytest.raises(ValueError, match=said):
        paired_comparison(left, right)
