import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.critics.head import Target
from robo_rl.critics.quantile import Quantile
from robo_rl.errors import ConfigError
from tests.critics.conformance import HeadConformance

OUTPUTS = jnp.array([-0.5, 0.0, 0.5, 1.0])
SAMPLES = Target(jnp.array([0.2, 0.4, 0.8]), jnp.float32(0))


class TestQuantile(HeadConformance):
    loss_name = "quantile"
    has_support = False

    def target_mean(self, head, target):
        return target.value.mean()


@pytest.mark.parametrize(("kappa", "loss"), [(1.0, 0.150208), (0.002, 0.473917), (1e-6, 0.475)])
def test_golden_g10(kappa, loss):
    assert float(Quantile(4, kappa).loss(OUTPUTS, SAMPLES)) == pytest.approx(loss, abs=2e-6)


def test_the_gradient_is_that_of_finite_differences():
    head = Quantile(4, 0.3)
    gradient = jax.grad(head.loss)(OUTPUTS, SAMPLES)
    step = 1e-3
    for at in range(4):
        shift = step * jnp.eye(4)[at]
        slope = (head.loss(OUTPUTS + shift, SAMPLES) - head.loss(OUTPUTS - shift, SAMPLES)) / (2 * step)
        assert float(gradient[at]) == pytest.approx(float(slope), abs=2e-3)


def test_every_sample_shifts_by_the_same_rule():
    target = Quantile(4).target(0.1, 0.5, OUTPUTS, 0.2)
    np.testing.assert_allclose(target.value, 0.1 + 0.5 * (np.asarray(OUTPUTS) + 0.2), atol=1e-6)


def test_it_learns_the_quantiles_of_a_distribution():
    # Samples 0..1: the quantile at level (i + 1/2) / 4 is that level itself.
    head, samples = Quantile(4, kappa=0.01), Target(jnp.linspace(0.0, 1.0, 201), jnp.float32(0))

    def step(outputs, _):
        return outputs - 0.05 * jax.grad(head.loss)(outputs, samples), None

    outputs, _ = jax.lax.scan(step, jnp.zeros(4), length=400)
    np.testing.assert_allclose(outputs, [0.125, 0.375, 0.625, 0.875], atol=0.02)


@pytest.mark.parametrize(("quantiles", "kappa"), [(0, 1.0), (4, 0.0)])
def test_fields_without_sense_are_refused(quantiles, kappa):
    with pytest.raises(ConfigError, match="quantiles"):
        Quantile(quantiles, kappa)
