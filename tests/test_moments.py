import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from robo_rl.moments import Moments, merge, of_group

NOTHING = Moments(*(jnp.zeros(()) for _ in Moments._fields))


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(3.0, 2.0, shape).astype(np.float32)


def everything(count):
    return jnp.ones(count, bool)


@hypothesis.settings(deadline=None, max_examples=20)
@hypothesis.given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_groups_of_any_size_merge_to_the_moments_of_all(sizes, seed):
    values, start, stats = numbers(seed, sum(sizes)), 0, NOTHING
    for size in sizes:
        stats = merge(stats, of_group(jnp.asarray(values[start : start + size]), everything(size)))
        start += size
    assert int(stats.count) == len(values)
    if len(values):
        assert float(stats.mean) == pytest.approx(np.mean(values, dtype=np.float64), abs=1e-5)
        assert float(stats.variance) == pytest.approx(np.var(values, dtype=np.float64), abs=1e-4)


def test_a_small_group_is_not_lost_beside_a_large_one():
    large = Moments(jnp.float32(1e6), jnp.float32(100.0), jnp.float32(1.0))
    merged = merge(large, Moments(jnp.float32(1e3), jnp.float32(200.0), jnp.float32(4.0)))
    share = 1e3 / (1e6 + 1e3)
    assert float(merged.mean) == pytest.approx(100 + share * 100, rel=1e-6)
    assert float(merged.variance) == pytest.approx(1 - share + share * (4 + (1 - share) * 1e4), rel=1e-5)


def test_what_is_masked_counts_for_nothing_whatever_it_holds():
    values, mask = numbers(0, 6, 3), np.array([1, 0, 1, 1, 0, 1], bool)
    spoilt = np.where(mask[:, None], values, np.array([np.nan, np.inf, -1e30], np.float32))
    want = of_group(jnp.asarray(values[mask]), everything(4))
    for got, expected in zip(of_group(jnp.asarray(spoilt), jnp.asarray(mask)), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_an_empty_group_changes_nothing():
    stats = Moments(jnp.float32(7), jnp.float32(0.3), jnp.float32(2.1))
    empty = of_group(jnp.full(4, jnp.nan), jnp.zeros(4, bool))
    assert [float(x) for x in empty] == [0, 0, 0]
    assert merge(stats, empty) == stats


def test_shapes_behind_the_mask_are_kept_and_every_axis_of_the_mask_is_summed():
    values = numbers(1, 4, 5, 3)
    got = of_group(jnp.asarray(values), jnp.ones((4, 5), bool))
    assert got.count == 20
    np.testing.assert_allclose(got.mean, values.mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(got.variance, values.var((0, 1)), rtol=1e-5)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"begin with \[3\]"):
        of_group(jnp.zeros((4, 2)), everything(3))


def test_members_of_a_population_have_moments_of_their_own():
    values = numbers(2, 3, 8)
    got = jax.vmap(lambda member: merge(NOTHING, of_group(member, everything(8))))(jnp.asarray(values))
    np.testing.assert_allclose(got.mean, values.mean(1), rtol=1e-5)
