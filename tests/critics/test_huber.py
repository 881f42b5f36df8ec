import jax
import jax.numpy as jnp
import pytest

from robo_rl.critics.head import Target
from robo_rl.critics.huber import Huber, huber
from robo_rl.errors import ConfigError
from tests.critics.conformance import HeadConformance


class TestHuber(HeadConformance):
    loss_name = "huber"
    has_support = False


@pytest.mark.parametrize(("error", "loss"), [(0.3, 0.045), (2.0, 1.5), (-2.0, 1.5)])
def test_golden_g12(error, loss):
    target = Target(jnp.float32(1.0 + error), jnp.float32(0))
    assert float(Huber().loss(jnp.ones(1), target)) == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize("kappa", [0.5, 2.0])
@pytest.mark.parametrize("error", [-3.0, -0.4, 0.0, 0.4, 3.0])
def test_both_derivatives_are_those_of_the_two_pieces(kappa, error):
    inside = abs(error) < kappa
    slope = error if inside else kappa * (1 if error > 0 else -1)
    assert float(jax.grad(huber)(error, kappa)) == pytest.approx(slope)
    assert float(jax.grad(jax.grad(huber))(error, kappa)) == float(inside)
    assert float(huber(error, kappa)) == pytest.approx(0.5 * error**2 if inside else kappa * (abs(error) - kappa / 2))


def test_a_threshold_that_is_not_positive_is_refused():
    with pytest.raises(ConfigError, match="huber_kappa"):
        Huber(kappa=0.0)
