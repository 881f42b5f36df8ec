import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.critics.head import Target
from robo_rl.critics.log_loss import LogLoss
from robo_rl.errors import ConfigError
from tests.critics.conformance import HeadConformance

UNIT = LogLoss(0.0, 1.0)


class TestLogLoss(HeadConformance):
    loss_name = "log_loss"


def target(y):
    return Target(jnp.float32(y), jnp.float32(0))


def test_golden_g12():
    logit = jnp.array([0.4])
    loss, gradient = jax.value_and_grad(UNIT.loss)(logit, target(0.7))
    assert float(UNIT.value(logit)) == pytest.approx(0.598688, abs=1e-6)
    assert float(loss) == pytest.approx(0.633015, abs=1e-6)
    assert float(gradient[0]) == pytest.approx(-0.101312, abs=1e-6)
    best = jnp.log(jnp.array([0.7 / 0.3]))
    assert float(UNIT.loss(best, target(0.7))) == pytest.approx(0.610864, abs=1e-6)
    np.testing.assert_allclose(jax.grad(UNIT.loss)(best, target(0.7)), 0, atol=1e-6)


def test_another_range_is_the_same_loss_in_other_units():
    wide, logit = LogLoss(-3.0, 5.0), jnp.array([0.4])
    assert float(wide.value(logit)) == pytest.approx(-3 + 8 * 0.598688, abs=1e-5)
    assert float(wide.loss(logit, target(-3 + 8 * 0.7))) == pytest.approx(0.633015, abs=1e-6)
    assert wide.value(jnp.zeros(1)) == 1.0


@pytest.mark.parametrize(("reward", "value", "clipped"), [(1.0, 1, 0), (1.000001, 1, 0), (1.2, 1, 1), (-0.2, 0, 1)])
def test_a_target_outside_the_range_is_clipped_and_counted(reward, value, clipped):
    got = UNIT.target(reward, 0.0, jnp.zeros(1), 0.0)
    assert (float(got.value), float(got.clipped)) == (value, clipped)


@pytest.mark.parametrize("logits", [(40.0, 41.0), (-40.0, -41.0), (-60.0, 60.0), (0.3, 0.3)])
def test_the_mixture_keeps_logits_that_a_sigmoid_in_float32_would_round_away(logits):
    exact = np.mean(1 / (1 + np.exp(-np.float64(logits))))
    beyond = np.mean(1 / (1 + np.exp(np.float64(logits))))
    assert float(UNIT.mixture(jnp.array(logits)[:, None])[0]) == pytest.approx(np.log(exact) - np.log(beyond), abs=1e-4)


def test_an_empty_range_is_refused():
    with pytest.raises(ConfigError, match="support"):
        LogLoss(1.0, 1.0)
