import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.critics.c51 import C51
from robo_rl.critics.support import decode
from tests.critics.conformance import HeadConformance

NEXT = jnp.log(jnp.array([0.1, 0.2, 0.4, 0.2, 0.1]))


class TestC51(HeadConformance):
    loss_name = "c51"

    def target_mean(self, head, target):
        return decode(target.value, head.lo, head.hi)


@pytest.mark.parametrize(
    ("reward", "discount", "bonus", "projected", "mean", "clipped"),
    [
        (0.0, 1.0, 0.0, [0.1, 0.2, 0.4, 0.2, 0.1], 0.0, 0.0),
        (0.3, 0.9, 0.0, [0.02, 0.14, 0.3, 0.34, 0.2], 0.28, 0.1),
        (0.3, 0.0, 0.0, [0.0, 0.0, 0.4, 0.6, 0.0], 0.3, 0.0),
        (0.05, 0.729, 0.0, [0.0358, 0.19, 0.4684, 0.25, 0.0558], 0.05, 0.0),
        (0.3, 0.9, 0.3, [0.0, 0.066, 0.186, 0.392, 0.356], 0.519, 0.3),
    ],
)
def test_golden_g9(reward, discount, bonus, projected, mean, clipped):
    target = C51(-1.0, 1.0, 5).target(reward, discount, NEXT, bonus)
    np.testing.assert_allclose(target.value, projected, atol=1e-6)
    assert float(decode(target.value, -1.0, 1.0)) == pytest.approx(mean, abs=1e-6)
    assert float(target.clipped) == pytest.approx(clipped, abs=1e-6)


def test_an_atom_on_the_edge_is_not_clipped():
    # In float32, 0.05 + 0.99 * 5 lies a rounding beyond 5; that is no clipping.
    head = C51(-5.0, 5.0, 101)
    certain = jnp.where(jnp.arange(101) == 100, 200.0, 0.0)
    target = head.target(0.05, 0.99, certain, 0.0)
    assert target.clipped == 0.0
    assert float(target.value[100]) == pytest.approx(1.0)


@pytest.mark.parametrize("bins", [2, 21, 101, 256])
@pytest.mark.parametrize(("lo", "hi"), [(-0.2, 1.2), (-5.0, 5.0), (99.0, 101.0)])
def test_no_mass_is_lost_in_float32(lo, hi, bins):
    head = C51(lo, hi, bins)
    rewards = jnp.concatenate([jnp.linspace(lo, hi, 9), jnp.array([lo - 1.0, hi + 1.0, 1e6, -1e6])])
    project = jax.jit(jax.vmap(jax.vmap(head.target, (None, 0, None, None)), (0, None, None, None)))
    projected = project(rewards, jnp.array([0.0, 0.9, 1.0]), jnp.zeros(bins), 0.0).value
    np.testing.assert_allclose(np.asarray(projected, np.float64).sum(-1), 1.0, atol=1e-6)
    assert float(projected.min()) >= 0.0


def test_the_projection_keeps_the_mean_where_nothing_is_clipped():
    head = C51(-5.0, 5.0, 101)
    following = jax.random.normal(jax.random.key(0), (101,))
    for reward, discount in ((0.3, 0.9), (-0.05, 0.95), (0.0, 0.99)):
        target = head.target(reward, discount, following, 0.0)
        assert target.clipped == 0.0
        want = reward + discount * float(head.value(following))
        assert float(decode(target.value, -5.0, 5.0)) == pytest.approx(want, abs=1e-5)
