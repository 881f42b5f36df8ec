import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from robo_rl.config import CriticConfig
from robo_rl.critics import make_head
from robo_rl.critics.hl_gauss import HLGauss, decode_bias, sufficient_padding
from robo_rl.errors import ConfigError
from tests.critics.conformance import HeadConformance

PAPER = HLGauss(-1.0, 1.0, 8, padding=0)
G1 = [0.000003, 0.000684, 0.030287, 0.265928, 0.491244, 0.195407, 0.016185, 0.000263]
G2 = [0.000032, 0.003799, 0.087381, 0.408789, 0.408789, 0.087381, 0.003799, 0.000032]
G3 = [0.0, 0.0, 0.0, 0.0, 0.000063, 0.007597, 0.174762, 0.817578]
G4 = [0.0] * 7 + [0.000032, 0.003799, 0.087384, 0.408802, 0.408802, 0.087384, 0.003799]


class TestHLGauss(HeadConformance):
    loss_name = "hl_gauss"


@pytest.mark.parametrize(
    ("head", "y", "probabilities", "decoded"),
    [
        (PAPER, 0.1, G1, 0.1),
        (PAPER, 0.0, G2, 0.0),
        (PAPER, 1.0, G3, 0.827463),
        (PAPER, -1.0, G3[::-1], -0.827463),
        (HLGauss(-1.0, 1.0, 8, padding=3), 1.0, G4, 0.999972),
        (PAPER, 1.7, G3, 0.827463),
        (PAPER, 3.0, G3, 0.827463),
    ],
    ids=["G1", "G2", "G3 top", "G3 bottom", "G4", "G5 1.7", "G5 3"],
)
def test_golden_g1_to_g5(head, y, probabilities, decoded):
    got = head.encode(y)
    np.testing.assert_allclose(got, probabilities, atol=1e-6)
    assert float(head.decode(got)) == pytest.approx(decoded, abs=1e-6)


def test_golden_g6_the_atari_setting():
    head = HLGauss(-10.0, 10.0, 51, padding=0)
    got = head.encode(3.3)
    want = [0.000051, 0.005284, 0.105898, 0.433884, 0.380888, 0.071277, 0.002698, 0.000019]
    np.testing.assert_allclose(got[30:38], want, atol=1e-5)
    assert float(head.decode(got)) == pytest.approx(3.299999, abs=1e-5)


def test_golden_g11_cross_entropy_and_gradient():
    logits = jnp.linspace(-1.0, 1.0, 8)
    target = PAPER.target(0.1, 0.0, logits, 0.0)
    loss, gradient = jax.value_and_grad(PAPER.loss)(logits, target)
    assert float(loss) == pytest.approx(2.170683, abs=1e-5)
    assert float(PAPER.value(logits)) == pytest.approx(0.345487, abs=1e-6)
    want = [0.037439, 0.049140, 0.036015, -0.177699, -0.373837, -0.039172, 0.191718, 0.276397]
    np.testing.assert_allclose(gradient, want, atol=1e-5)
    assert float(PAPER.loss(jnp.zeros(8), target)) == pytest.approx(2.079442, abs=1e-5)
    assert PAPER.value(jnp.zeros(8)) == 0.0


@pytest.mark.parametrize("head", [HLGauss(-5.0, 5.0, 101), HLGauss(0.0, 1.0, 51), HLGauss(-1.0, 1.0, 10, 4, 1.0)])
def test_the_edge_has_no_bias(head):
    y = jnp.linspace(head.lo, head.hi, 1_000)
    decoded = jax.jit(jax.vmap(lambda y: head.decode(head.encode(y))))(y)
    assert float(jnp.abs(decoded - y).max()) < 1e-3 * head.width


def test_bins_are_counted_by_their_edges():
    # m bins have m + 1 edges; each centre lies half a bin inside, and padding keeps the width.
    head = HLGauss(-1.0, 1.0, 8, padding=3)
    assert head.num_outputs == 14
    assert head.width == 0.25
    ends = [float(head.decode(jnp.eye(14)[at])) for at in (0, 13)]
    np.testing.assert_allclose(ends, [-1.625, 1.625], atol=1e-6)


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    bins=st.sampled_from([5, 101, 256]), share=st.floats(0, 1), lo=st.floats(-50, 50), span=st.floats(0.5, 100),
    smoothing=st.sampled_from([0.75, 1.0, 2.0]),
)  # fmt: skip
def test_decode_of_encode_is_the_target(bins, share, lo, span, smoothing):
    head = HLGauss(lo, lo + span, bins, sufficient_padding(smoothing), smoothing)
    y = lo + share * span
    probabilities = head.encode(y)
    assert float(probabilities.sum()) == pytest.approx(1, abs=2e-6)
    assert float(head.decode(probabilities)) == pytest.approx(y, abs=1e-3 * head.width + 2e-6 * (abs(lo) + span))


@pytest.mark.parametrize("y", [0.0, 0.31, 1.0])
def test_a_mirrored_target_has_the_mirrored_histogram(y):
    head = HLGauss(-1.0, 1.0, 9)
    np.testing.assert_array_equal(head.encode(y), head.encode(-y)[::-1])


def test_clipping_is_counted_from_the_unpadded_range():
    head = HLGauss(-1.0, 1.0, 8, padding=3)
    for reward, clipped in ((1.0, 0.0), (-1.0, 0.0), (1.0 + 1e-6, 0.0), (1.01, 1.0), (-1.2, 1.0)):
        target = head.target(reward, 0.0, jnp.zeros(14), 0.0)
        assert target.clipped == clipped
        assert abs(float(target.value)) <= 1.0


@pytest.mark.parametrize(
    ("smoothing", "bias", "padding"),
    [(0.25, 0.500063, 1), (0.5, 0.545564, 2), (0.75, 0.690147, 3), (1.0, 0.865574, 4), (2.0, 1.629155, 8)],
)
def test_the_padding_each_smoothing_needs(smoothing, bias, padding):
    assert decode_bias(smoothing, 0) == pytest.approx(bias, abs=1e-6)
    assert sufficient_padding(smoothing) == padding


def test_too_little_padding_is_refused_with_the_number_that_suffices():
    with pytest.raises(ConfigError, match="at least 8"):
        make_head(CriticConfig(sigma_to_width=2.0))
    with pytest.raises(ConfigError, match="at least 3"):
        make_head(CriticConfig(padding_bins=0))
    assert make_head(CriticConfig(sigma_to_width=2.0, padding_bins=8)).num_outputs == 117


@pytest.mark.parametrize("arguments", [{"padding": -1}, {"sigma_to_width": 0.0}, {"lo": 2.0}])
def test_a_histogram_without_sense_is_refused(arguments):
    with pytest.raises(ConfigError):
        HLGauss(**{"lo": -1.0, "hi": 1.0, "bins": 8, **arguments})
