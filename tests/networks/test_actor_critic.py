import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.config import NetworkConfig
from robo_rl.networks.actor_critic import (
    LOG_STD_RANGE,
    flat_size,
    flatten,
    greedy_action,
    make_actor,
    make_critic,
    sample_action,
)
from tests.toys import SPEC

CONFIG = NetworkConfig(width=8, depth=1)


def test_observations_are_flattened_by_name_and_not_by_order():
    clock, position = jnp.ones((3, 1)), jnp.arange(6.0).reshape(3, 2)
    flat = flatten({"position": position, "clock": clock})
    np.testing.assert_array_equal(flat, jnp.concatenate([clock, position], axis=1))
    assert flat.shape == (3, flat_size(SPEC))
    image = jnp.zeros((2, 4, 4, 3), jnp.uint8)
    assert flatten({"camera": image, "scalar": jnp.zeros(2)}).shape == (2, 49)
    assert flatten({"camera": image}).dtype == jnp.float32


def test_shapes_of_actor_and_critic():
    actor, critic = make_actor(CONFIG, SPEC), make_critic(CONFIG, SPEC, outputs=7)
    x, action = jnp.ones((5, flat_size(SPEC))), jnp.ones((5, 2))
    assert actor.apply(actor.init(jax.random.key(0)), x).shape == (5, 4)
    params = critic.init(jax.random.key(0))
    assert critic.apply(params, x, action).shape == (5, 7)
    assert not np.any(critic.apply(params, x, action)), "a new critic says the middle of its support"


def test_a_new_actor_is_unsure_and_unbiased():
    actor = make_actor(CONFIG, SPEC)
    mean, log_std = np.split(actor.apply(actor.init(jax.random.key(0)), jnp.ones((5, 3))), 2, axis=-1)
    assert np.abs(mean).max() < 0.1
    assert np.abs(log_std).max() < 0.1


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (0.7, -1.0), (-1.5, 0.5), (2.0, -2.0)])
def test_the_density_integrates_to_one_and_gives_the_log_probabilities(mean, log_std):
    outputs = jnp.tile(jnp.array([[mean, log_std]]), (4000, 1))
    action, log_prob = sample_action(outputs, jax.random.key(0))
    # The density of a = tanh(u) from the distribution function of u, by finite differences: no formula is shared.
    grid = np.tanh(np.linspace(mean - 7 * math.exp(log_std), mean + 7 * math.exp(log_std), 40_001))
    std = math.exp(log_std)
    below = np.array([0.5 * math.erfc(-(math.atanh(a) - mean) / (std * 2**0.5)) for a in grid[1:-1] if abs(a) < 1])
    inside = np.array([a for a in grid[1:-1] if abs(a) < 1])
    density, centre = np.diff(below) / np.diff(inside), (inside[1:] + inside[:-1]) / 2
    assert np.sum(density * np.diff(inside)) == pytest.approx(1, abs=1e-4)
    ordinary = np.abs(action[:, 0]) < 0.999
    want = np.interp(action[ordinary, 0], centre, np.log(np.maximum(density, 1e-30)))
    np.testing.assert_allclose(log_prob[ordinary], want, atol=0.02)
    # And its mean is minus the entropy.
    entropy = -np.sum(density * np.log(np.maximum(density, 1e-30)) * np.diff(inside))
    assert float(-log_prob.mean()) == pytest.approx(entropy, abs=0.06)


def test_the_log_probability_sums_over_dimensions():
    outputs = jnp.array([[0.3, -0.4, 0.1, -0.2]])
    _, both = sample_action(outputs, jax.random.key(0))
    noise = jax.random.normal(jax.random.key(0), (1, 2))
    want = 0.0
    for dimension in range(2):
        mean, log_std, unit = outputs[0, dimension], outputs[0, 2 + dimension], noise[0, dimension]
        squashed = jnp.tanh(mean + jnp.exp(log_std) * unit)
        want += -0.5 * unit**2 - 0.5 * math.log(2 * math.pi) - log_std - jnp.log(1 - squashed**2)
    np.testing.assert_allclose(both[0], want, rtol=1e-4)


@pytest.mark.parametrize("size", [100.0, -100.0, 1e6])
def test_extreme_outputs_stay_finite_with_their_gradient(size):
    outputs = jnp.full((3, 4), size)
    action, log_prob = sample_action(outputs, jax.random.key(0))
    assert np.abs(action).max() <= 1
    assert np.isfinite(log_prob).all()
    gradient = jax.grad(lambda o: sample_action(o, jax.random.key(0))[1].sum())(outputs)
    assert np.isfinite(gradient).all()


def test_the_deviation_is_held_in_its_range():
    low, high = LOG_STD_RANGE
    narrow = sample_action(jnp.array([[0.5, low - 50]]), jax.random.key(0))
    np.testing.assert_array_equal(narrow[0], sample_action(jnp.array([[0.5, low]]), jax.random.key(0))[0])
    wide = sample_action(jnp.array([[0.5, high + 50]]), jax.random.key(0))
    np.testing.assert_array_equal(wide[1], sample_action(jnp.array([[0.5, high]]), jax.random.key(0))[1])


def test_greed_is_the_middle_of_the_distribution():
    outputs = jnp.array([[0.4, -0.2, 1.0, 1.0]])
    np.testing.assert_allclose(greedy_action(outputs), np.tanh([[0.4, -0.2]]), rtol=1e-6)
    many, _ = sample_action(jnp.tile(outputs, (20_000, 1)), jax.random.key(0))
    np.testing.assert_allclose(np.median(many, axis=0), greedy_action(outputs)[0], atol=0.05)
