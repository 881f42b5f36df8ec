import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from robo_rl.critics import return_scaling
from robo_rl.errors import ConfigError

V_MAX = 5.0


def episode_statistics(rewards, gamma, truncated=True, statistics=None):
    """The statistic after one stream lived through `rewards [T]`, ended by a time limit or for real."""
    previous, returns = np.zeros(1, np.float32), []
    for step, reward in enumerate(np.asarray(rewards, np.float32)):
        last = np.array([step == len(rewards) - 1])
        now, previous = return_scaling.forward_return(
            previous, reward[None], reward[None], last & (not truncated), last & truncated, gamma
        )
        returns.append(now[0])
    assert previous == 0
    return return_scaling.update(
        statistics or return_scaling.init(), np.array(returns, np.float32), np.ones(len(returns), bool)
    )


# --- the statistic ------------------------------------------------------------------------------------------------


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(
    groups=st.lists(
        st.lists(st.tuples(st.floats(-1e3, 1e3, width=32), st.booleans()), min_size=4, max_size=4), max_size=6
    )
)
def test_masked_batches_give_the_moments_of_all_that_counted(groups):
    stats = return_scaling.init()
    for group in groups:
        values, mask = np.array([v for v, _ in group], np.float32), np.array([m for _, m in group])
        stats = return_scaling.update(stats, np.where(mask, values, np.nan), mask)
    counted = np.array([v for group in groups for v, m in group if m] or [0.0])
    assert stats.count == sum(m for group in groups for _, m in group)
    np.testing.assert_allclose(stats.mean, counted.mean(), atol=1e-3)
    np.testing.assert_allclose(stats.variance, counted.var(), rtol=1e-4, atol=1e-2)
    # XLA takes subnormal numbers for 0.
    np.testing.assert_allclose(stats.max_abs, np.abs(counted).max(), rtol=1e-6, atol=1e-30)


def test_a_batch_with_nothing_in_it_changes_nothing():
    stats = return_scaling.update(return_scaling.init(), np.array([1.0, 4.0], np.float32), np.ones(2, bool))
    for fresh in (stats, return_scaling.init()):
        after = return_scaling.update(fresh, np.full(3, np.nan, np.float32), np.zeros(3, bool))
        for old, new in zip(fresh, after, strict=True):
            np.testing.assert_array_equal(old, new)


def test_float32_keeps_a_small_spread_around_a_large_mean_over_many_updates():
    batches = 1e4 + np.random.default_rng(0).normal(size=(2_000, 256)).astype(np.float32)
    update = lambda stats, batch: (return_scaling.update(stats, batch, jnp.ones(256, bool)), None)  # noqa: E731
    stats, _ = jax.jit(lambda batches: jax.lax.scan(update, return_scaling.init(), batches))(batches)
    assert stats.count == batches.size
    assert float(stats.mean) == pytest.approx(1e4, rel=1e-6)
    assert float(stats.variance) == pytest.approx(1.0, rel=0.02)


def test_a_return_that_is_not_finite_shows():
    stats = return_scaling.update(return_scaling.init(), np.array([np.nan], np.float32), np.ones(1, bool))
    assert np.isnan(return_scaling.scale(stats, V_MAX, 0.0))


def test_returns_and_mask_must_have_one_shape():
    with pytest.raises(ValueError, match="returns"):
        return_scaling.update(return_scaling.init(), np.ones((2, 1), np.float32), np.ones(2, bool))


def test_a_population_is_a_leading_axis():
    returns = np.arange(6, dtype=np.float32).reshape(2, 3)
    many = jax.vmap(return_scaling.update)(
        jax.vmap(lambda _: return_scaling.init())(jnp.arange(2)), returns, np.ones((2, 3), bool)
    )
    np.testing.assert_allclose(many.mean, returns.mean(axis=1))
    np.testing.assert_allclose(many.max_abs, returns.max(axis=1))


# --- forward returns ----------------------------------------------------------------------------------------------


def test_streams_are_discounted_and_reset_on_their_own():
    reward = np.array([1.0, 1.0, 1.0], np.float32)
    end, none = np.array([False, True, False]), np.zeros(3, bool)
    first, carry = return_scaling.forward_return(np.zeros(3, np.float32), reward, reward, end, none, 0.5)
    np.testing.assert_array_equal(first, [1, 1, 1])
    np.testing.assert_array_equal(carry, [1, 0, 1])
    second, _ = return_scaling.forward_return(carry, reward, reward, none, none, 0.5)
    np.testing.assert_array_equal(second, [1.5, 1, 1.5])
    assert isinstance(first, np.ndarray)


@pytest.mark.parametrize(("terminated", "want"), [(False, 2.0), (True, 1.0)])
def test_a_time_limit_has_the_kept_reward_for_ever(terminated, want):
    limit, real = np.array([True]), np.array([terminated])
    returns, carry = return_scaling.forward_return(np.zeros(1), np.ones(1), np.ones(1), real, limit, 0.5)
    assert returns == want
    assert carry == 0


def test_a_lucky_last_reward_promises_nothing():
    limit, real = np.array([True]), np.array([False])
    returns, _ = return_scaling.forward_return(np.zeros(1), np.full(1, 2.0), np.zeros(1), real, limit, 0.99)
    assert returns == 2


@pytest.mark.parametrize(
    ("recent", "want"), [([1, 3, 2], 1), ([-1, -3, -2], -1), ([0, 3, 2], 0), ([-1, 3, 2], 0), ([0, 0, 0], 0)]
)
def test_kept_up_is_what_all_recent_rewards_brought(recent, want):
    both = np.stack([np.array(recent, np.float32), np.ones(3, np.float32)], axis=1)
    np.testing.assert_array_equal(return_scaling.kept_up(both), [want, 1])


@pytest.mark.parametrize(("gamma", "steps"), [(0.0, 1), (0.5, 1), (0.9, 2), (0.96, 5), (0.99, 20)])
def test_kept_up_looks_back_over_a_fifth_of_the_horizon(gamma, steps):
    assert return_scaling.kept_up_steps(gamma) == steps


def test_forward_returns_also_run_inside_jit():
    step = jax.jit(
        lambda previous, reward, end: return_scaling.forward_return(previous, reward, reward, end, ~end, 0.9)
    )
    returns, carry = step(jnp.ones(2), jnp.ones(2), jnp.array([True, False]))
    np.testing.assert_allclose(returns, [1.9, 10.0], rtol=1e-6)
    np.testing.assert_array_equal(carry, [0, 0])


# --- the divisor --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rewards", [[], [0.0, 0.0]])
def test_the_scale_is_one_until_a_reward_was_seen(rewards):
    stats = episode_statistics(rewards, 0.9) if rewards else return_scaling.init()
    assert return_scaling.scale(stats, V_MAX, 0.0) == 1.0


@pytest.mark.parametrize("gamma", [0.9, 0.96, 0.99])
@pytest.mark.parametrize("steps", [1, 40, 400])
@pytest.mark.parametrize("reward", [1.0, -0.05, 300.0])
def test_the_bootstrapped_value_of_a_constant_reward_stays_inside(gamma, steps, reward):
    scale = return_scaling.scale(episode_statistics([reward] * steps, gamma), V_MAX, 0.0)
    assert abs(reward) / (1 - gamma) / float(scale) <= V_MAX * (1 + 1e-5)


def test_returns_that_hardly_vary_are_held_by_the_bound_and_not_by_their_deviation():
    returns = np.full(100, 50.0, np.float32) + np.linspace(-0.1, 0.1, 100, dtype=np.float32)
    stats = return_scaling.update(return_scaling.init(), returns, np.ones(100, bool))
    assert float(return_scaling.scale(stats, V_MAX, 0.0)) == pytest.approx(50.1 / V_MAX, rel=1e-5)


def test_returns_that_vary_are_scaled_to_unit_deviation():
    returns = np.array([-3.0, 3.0], np.float32)
    stats = return_scaling.update(return_scaling.init(), returns, np.ones(2, bool))
    assert float(return_scaling.scale(stats, V_MAX, 0.0)) == pytest.approx(3.0)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_the_unit_of_the_reward_does_not_matter(unit):
    rewards = np.random.default_rng(0).normal(size=50)
    plain = return_scaling.scale(episode_statistics(rewards, 0.9), V_MAX, 0.5)
    scaled = return_scaling.scale(episode_statistics(rewards * unit, 0.9), V_MAX, 0.5)
    assert float(scaled) == pytest.approx(float(plain) * unit, rel=1e-4)


@pytest.mark.parametrize(("temperature", "size", "gamma", "room"), [(0.1, 6, 0.99, 15.0), (0.01, 6, 0.99, 1.5)])
def test_the_room_is_the_published_allowance(temperature, size, gamma, room):
    assert float(return_scaling.entropy_room(temperature, size, gamma)) == pytest.approx(room, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.0, 0.005, 0.01, 0.1, 10.0])
def test_return_and_entropy_fit_together_or_the_shortfall_says_by_how_much_not(temperature):
    room = return_scaling.entropy_room(temperature, 5, 0.96)
    steady = return_scaling.update(return_scaling.init(), np.full(100, 25.0, np.float32), np.ones(100, bool))
    highest = 25.0 / float(return_scaling.scale(steady, V_MAX, room))
    shortfall = float(return_scaling.room_shortfall(V_MAX, room))
    assert highest + float(room) - shortfall == pytest.approx(V_MAX, rel=1e-5)
    assert (shortfall > 0) == (float(room) > V_MAX / 2)
    assert highest >= V_MAX / 2 * (1 - 1e-5)


@pytest.mark.parametrize("gamma", [1.0, -0.1, 1.5])
def test_a_discount_that_has_no_horizon_is_refused(gamma):
    with pytest.raises(ConfigError, match=r"\[0, 1\)"):
        return_scaling.entropy_room(0.1, 6, gamma)
    with pytest.raises(ConfigError, match=r"\[0, 1\)"):
        return_scaling.forward_return(np.zeros(1), np.ones(1), np.ones(1), np.zeros(1, bool), np.zeros(1, bool), gamma)


@hypothesis.settings(deadline=None, max_examples=15)
@hypothesis.given(st.lists(st.floats(1.0, 3.0), min_size=1, max_size=8), st.sampled_from([0.005, 0.1]))
def test_a_target_s_value_is_converted_into_the_scale_of_today(growth, rate):
    # A critic that learns V / s and a target that averages it, both at the rate of targets.
    value, unit, critic, target = 7.0, return_scaling.no_unit(), None, None
    for divisor in np.cumprod(growth).repeat(5):
        if target is not None:
            np.testing.assert_allclose(target * return_scaling.conversion(unit, divisor), value / divisor, rtol=1e-4)
        critic = value / divisor if critic is None else critic + rate * (value / divisor - critic)
        target = critic if target is None else target + rate * (critic - target)
        unit = return_scaling.followed(unit, divisor, rate)


def test_nothing_is_converted_before_the_first_update_nor_upwards():
    unit = return_scaling.no_unit()
    assert return_scaling.conversion(unit, 9.0) == 1
    unit = return_scaling.followed(unit, 9.0, 0.1)
    assert return_scaling.conversion(unit, 9.0) == 1
    assert return_scaling.conversion(unit, 4.5) == 1
    assert return_scaling.conversion(unit, 18.0) == 0.5
    assert jnp.isnan(return_scaling.conversion(unit, jnp.nan))
