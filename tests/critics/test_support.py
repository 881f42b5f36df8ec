import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.critics.support import cross_entropy, decode, mixture_logits, neighbour_weights, positions


@pytest.mark.parametrize("count", [2, 3, 51, 101, 107, 256, 601])
@pytest.mark.parametrize(("first", "last"), [(-5.0, 5.0), (0.0, 1.0), (-0.2, 1.2)])
def test_equal_weights_decode_to_exactly_the_middle(count, first, last):
    assert decode(jax.nn.softmax(jnp.zeros(count)), first, last) == jnp.float32((first + last) / 2)


def test_decode_is_the_mean_over_the_points():
    for count in (2, 7, 8):
        weights = np.random.default_rng(count).dirichlet(np.ones(count))
        want = weights @ np.linspace(-2.0, 3.0, count)
        assert float(decode(jnp.asarray(weights, jnp.float32), -2.0, 3.0)) == pytest.approx(want, abs=1e-6)


def test_a_value_on_an_atom_gives_that_atom_everything():
    atoms = np.linspace(-1.0, 1.0, 9)
    index, clipped = positions(jnp.asarray(atoms, jnp.float32), -1.0, 1.0, 9)
    np.testing.assert_allclose(neighbour_weights(index, 9), np.eye(9), atol=1e-6)
    assert not clipped.any()


@pytest.mark.parametrize("count", [11, 21, 128, 151, 255, 256, 601])
def test_the_top_edge_keeps_its_mass_where_float32_rounds_up(count):
    index, _ = positions(jnp.float32(1.2), -0.2, 1.2, count)
    weights = neighbour_weights(index, count)
    assert float(weights[-1]) == pytest.approx(1, abs=1e-4)
    assert weights[0] == 0
    assert float(weights.sum()) == pytest.approx(1, abs=1e-6)


def test_outside_is_counted_beyond_a_rounding_only():
    y = jnp.array([-1.1, -1.0, -1.0 - 1e-6, 0.0, 1.0, 1.0 + 1e-6, 1.1])
    _, clipped = positions(y, -1.0, 1.0, 21)
    np.testing.assert_array_equal(clipped, [1, 0, 0, 0, 0, 0, 1])


def test_mixture_is_the_mean_of_the_probabilities():
    logits = 5 * jax.random.normal(jax.random.key(0), (4, 11))
    want = jax.nn.softmax(logits).mean(axis=0)
    np.testing.assert_allclose(jax.nn.softmax(mixture_logits(logits)), want, atol=1e-6)


def test_cross_entropy_of_a_certain_target_is_the_negative_log_probability():
    logits = jnp.array([1.0, -2.0, 0.5])
    assert float(cross_entropy(jnp.eye(3)[1], logits)) == pytest.approx(-float(jax.nn.log_softmax(logits)[1]), abs=1e-6)
