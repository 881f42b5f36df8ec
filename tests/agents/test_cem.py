import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from robo_rl.agents.cem import maximise
from robo_rl.config import SearchConfig

FAR = SearchConfig(samples=100, elites=30, iterations=14)


def bowl(centres, scales=1.0):
    """Actions `[B, S, A]` -> minus the squared distance to the centre `[B, A]` of each state."""
    return lambda actions: -jnp.sum(scales * (actions - jnp.asarray(centres)[:, None]) ** 2, axis=-1)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_finds_the_maximum_of_concave_functions(size):
    centres = np.random.default_rng(0).uniform(-0.9, 0.9, (20, size)).astype(np.float32)
    action, value = jax.jit(lambda key: maximise(bowl(centres), key, 20, size, FAR))(jax.random.key(0))
    np.testing.assert_allclose(action, centres, atol=0.03)
    np.testing.assert_allclose(value, -((action - centres) ** 2).sum(axis=1), atol=1e-6)


def test_finds_the_maximum_along_a_valley():
    centres = np.array([[0.5, -0.4]], np.float32)
    action, _ = maximise(bowl(centres, jnp.array([100.0, 1.0])), jax.random.key(0), 1, 2, FAR)
    np.testing.assert_allclose(action, centres, atol=0.1)
    assert abs(action[0, 0] - 0.5) < 0.02


def test_the_paper_s_setting_comes_near_in_two_iterations():
    centres = np.random.default_rng(1).uniform(-0.8, 0.8, (200, 5)).astype(np.float32)
    action, _ = maximise(bowl(centres), jax.random.key(0), 200, 5, SearchConfig())
    one, _ = maximise(bowl(centres), jax.random.key(0), 200, 5, SearchConfig(iterations=1))
    error, error_of_one = (np.abs(a - centres).mean() for a in (action, one))
    assert error < 0.2 < error_of_one


def test_every_action_tried_respects_the_bounds_and_a_corner_is_reached():
    tried = []

    def evaluate(actions):
        tried.append(actions)
        return actions.sum(axis=-1)

    action, value = maximise(evaluate, jax.random.key(0), 3, 2, FAR)
    assert [x.shape for x in tried] == [(3, 100, 2)] * 14
    assert max(np.abs(x).max() for x in tried) == 1
    np.testing.assert_array_equal(action, np.ones((3, 2)))
    np.testing.assert_array_equal(value, np.full(3, 2.0))


def test_the_next_gaussian_has_mean_and_deviation_of_the_elites():
    tried = []

    def evaluate(actions):
        tried.append(np.asarray(actions))
        return bowl(np.array([[0.3, -0.2]], np.float32))(actions)

    maximise(evaluate, jax.random.key(0), 1, 2, SearchConfig(samples=20_000, elites=50, iterations=2))
    values = bowl(np.array([[0.3, -0.2]]))(tried[0])
    elites = tried[0][0, np.argsort(-np.asarray(values[0]))[:50]]
    np.testing.assert_allclose(tried[1][0].mean(axis=0), elites.mean(axis=0), atol=2e-3)
    np.testing.assert_allclose(tried[1][0].std(axis=0), elites.std(axis=0), atol=2e-3)


def test_the_result_is_the_best_of_all_that_was_tried():
    # A function that gets worse with every call: the best was among the first.
    seen = []

    def evaluate(actions):
        seen.append(actions.sum(axis=-1) - 100.0 * len(seen))
        return seen[-1]

    _, value = maximise(evaluate, jax.random.key(0), 2, 3, SearchConfig(samples=8, elites=2, iterations=3))
    np.testing.assert_array_equal(value, seen[0].max(axis=1))


def test_is_a_function_of_its_key():
    def run(key):
        return maximise(bowl(np.zeros((4, 2), np.float32)), key, 4, 2, SearchConfig())[0]

    first, again, other = (np.asarray(run(jax.random.key(number))) for number in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_state_s_action_depends_neither_on_its_row_nor_on_its_neighbours():
    centres = np.random.default_rng(2).uniform(-1, 1, (6, 3)).astype(np.float32)
    together, _ = maximise(bowl(centres), jax.random.key(0), 6, 3, SearchConfig())
    alone, _ = maximise(bowl(centres[4:5]), jax.random.key(0), 1, 3, SearchConfig())
    np.testing.assert_allclose(together[4:5], alone, rtol=1e-6)


@pytest.mark.parametrize(("samples", "elites"), [(6, 6), (6, 7), (4, 1), (2, 2)])
def test_elites_must_be_fewer_than_samples(samples, elites):
    with pytest.raises(ValidationError, match=r"elites|samples"):
        SearchConfig(samples=samples, elites=elites)


def test_values_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"evaluate gave \[2, 64, 1\]"):
        maximise(lambda actions: actions[..., :1], jax.random.key(0), 2, 3, SearchConfig())
