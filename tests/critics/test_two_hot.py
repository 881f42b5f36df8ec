import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from robo_rl.critics.support import decode
from robo_rl.critics.two_hot import TwoHot
from robo_rl.errors import ConfigError
from tests.critics.conformance import HeadConformance


class TestTwoHot(HeadConformance):
    loss_name = "two_hot"


@pytest.mark.parametrize(
    ("y", "weights"),
    [(0.1, {4: 0.6, 5: 0.4}), (-0.62, {1: 0.48, 2: 0.52}), (1.0, {8: 1.0}), (-1.3, {0: 1.0}), (0.25, {5: 1.0})],
)
def test_golden_g7(y, weights):
    want = np.zeros(9)
    want[list(weights)] = list(weights.values())
    np.testing.assert_allclose(TwoHot(-1.0, 1.0, 9).encode(y), want, atol=1e-6)


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    bins=st.sampled_from([2, 3, 51, 256]), share=st.floats(0, 1), lo=st.floats(-50, 50), span=st.floats(0.5, 100)
)
def test_decode_of_encode_is_the_target(bins, share, lo, span):
    head = TwoHot(lo, lo + span, bins)
    y = lo + share * span
    probabilities = head.encode(y)
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-6)
    assert int((probabilities > 0).sum()) <= 2
    assert float(decode(probabilities, head.lo, head.hi)) == pytest.approx(y, abs=2e-6 * (abs(lo) + span))


def test_the_minimum_of_the_loss_is_the_entropy_of_the_target():
    head = TwoHot(-1.0, 1.0, 9)
    target = head.target(0.1, 0.0, jnp.zeros(9), 0.0)
    exact = jnp.log(head.encode(0.1) + 1e-30)
    entropy = -(0.6 * np.log(0.6) + 0.4 * np.log(0.4))
    assert float(head.loss(exact, target)) == pytest.approx(entropy, abs=1e-5)
    np.testing.assert_allclose(jax.grad(head.loss)(exact, target), 0.0, atol=1e-6)


@pytest.mark.parametrize("support", [(1.0, -1.0, 9), (0.0, float("inf"), 9), (-1.0, 1.0, 1)])
def test_a_support_that_holds_nothing_is_refused(support):
    with pytest.raises(ConfigError, match=r"support"):
        TwoHot(*support)
