import jax.numpy as jnp
import pytest

from robo_rl.critics.head import Target
from robo_rl.critics.mse import MSE
from tests.critics.conformance import HeadConformance


class TestMSE(HeadConformance):
    loss_name = "mse"
    has_support = False


@pytest.mark.parametrize(("error", "loss"), [(0.3, 0.045), (2.0, 2.0), (-2.0, 2.0)])
def test_golden_g12(error, loss):
    target = Target(jnp.float32(1.0 + error), jnp.float32(0))
    assert float(MSE().loss(jnp.ones(1), target)) == pytest.approx(loss, abs=1e-6)
