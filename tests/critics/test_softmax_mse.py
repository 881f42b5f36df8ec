import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.config import CriticConfig
from robo_rl.critics import make_head
from robo_rl.errors import ConfigError
from tests.critics.conformance import HeadConformance, random_outputs


class TestSoftmaxMSE(HeadConformance):
    loss_name = "softmax_mse"


@pytest.fixture
def heads():
    return [make_head(CriticConfig(loss=loss, bins=21)) for loss in ("softmax_mse", "hl_gauss")]


def test_it_represents_values_exactly_as_hl_gauss_does(heads):
    softmax_mse, hl_gauss = heads
    outputs, ensemble = random_outputs(hl_gauss, 0), random_outputs(hl_gauss, 1, 3)
    assert softmax_mse.num_outputs == hl_gauss.num_outputs == 27
    assert softmax_mse.value(outputs) == hl_gauss.value(outputs)
    assert softmax_mse.target(0.3, 0.9, outputs, 0.1) == hl_gauss.target(0.3, 0.9, outputs, 0.1)
    np.testing.assert_array_equal(softmax_mse.mixture(ensemble), hl_gauss.mixture(ensemble))


def test_the_loss_is_half_the_squared_error_of_the_decoded_value(heads):
    head, outputs = heads[0], random_outputs(heads[0], 2)
    value = float(head.value(outputs))
    for error in (0.3, -2.0):
        target = head.target(value + error, 0.0, outputs, 0.0)
        assert float(head.loss(outputs, target)) == pytest.approx(error**2 / 2, rel=1e-5)


def test_any_distribution_with_the_right_mean_has_no_loss(heads):
    # What tells it from cross-entropy: two equal peaks far apart are as good as one in the middle.
    peaks = jnp.full(27, -30.0).at[jnp.array([8, 18])].set(0.0)
    losses = [float(head.loss(peaks, head.target(0.0, 0.0, peaks, 0.0))) for head in heads]
    assert losses[0] == pytest.approx(0, abs=1e-10)
    assert losses[1] > 5
    gradient = jax.grad(heads[0].loss)(peaks, heads[0].target(0.0, 0.0, peaks, 0.0))
    np.testing.assert_allclose(gradient, 0, atol=1e-5)


def test_too_little_padding_is_refused_as_for_hl_gauss():
    with pytest.raises(ConfigError, match="padding_bins"):
        make_head(CriticConfig(loss="softmax_mse", padding_bins=0))
