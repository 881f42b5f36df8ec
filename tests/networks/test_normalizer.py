import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.networks import normalizer
from robo_rl.specs import ArraySpec, EnvSpec

SPEC = EnvSpec(
    name="made/up",
    observation={
        "camera": ArraySpec((4, 4, 3), "uint8"),
        "height": ArraySpec(()),
        "joints": ArraySpec((3,), unit="rad"),
    },
    action=ArraySpec((2,), minimum=-1.0, maximum=1.0),
    episode_steps=10,
    control_hz=5.0,
)


def batch(seed, count=32):
    random = np.random.default_rng(seed)
    return {
        "camera": random.integers(0, 255, (count, 4, 4, 3)).astype(np.uint8),
        "height": (100 + 0.5 * random.normal(size=count)).astype(np.float32),
        "joints": (np.array([0.0, -3.0, 7.0]) + np.array([1.0, 0.1, 20.0]) * random.normal(size=(count, 3))).astype(
            np.float32
        ),
    }


def test_many_masked_batches_give_the_moments_of_all_that_counted():
    stats, kept = normalizer.init(SPEC), []
    for seed in range(5):
        observation, mask = batch(seed), np.random.default_rng(seed).random(32) < 0.6
        kept.append(observation["joints"][mask])
        observation["joints"][~mask] = np.nan
        stats = normalizer.update(stats, observation, mask)
    everything = np.concatenate(kept)
    assert stats.count == len(everything)
    np.testing.assert_allclose(stats.mean["joints"], everything.mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(stats.variance["joints"], everything.var(axis=0), rtol=1e-4)


def test_what_was_learned_is_centred_and_of_unit_deviation():
    observation = batch(0, 500)
    stats = normalizer.update(normalizer.init(SPEC), observation, np.ones(500, bool))
    result = normalizer.normalize(stats, observation)
    for name in ("height", "joints"):
        np.testing.assert_allclose(np.mean(result[name], axis=0), 0, atol=1e-3)
        np.testing.assert_allclose(np.std(result[name], axis=0), 1, atol=1e-3)


def test_images_pass_untouched_and_have_no_statistic():
    stats = normalizer.init(SPEC)
    observation = batch(0)
    result = normalizer.normalize(stats, observation)
    assert sorted(stats.mean) == ["height", "joints"]
    assert result["camera"].dtype == jnp.uint8
    np.testing.assert_array_equal(result["camera"], observation["camera"])


def test_before_any_data_it_only_clips():
    result = normalizer.normalize(
        normalizer.init(SPEC), {"height": jnp.float32(0.25), "joints": jnp.array([-50.0, 0.5, 50.0])}
    )
    np.testing.assert_allclose(result["height"], 0.25, rtol=1e-5)
    np.testing.assert_allclose(result["joints"], [-10, 0.5, 10], rtol=1e-5)


def test_a_masked_batch_changes_nothing_and_a_constant_entry_stays_finite():
    stats = normalizer.update(normalizer.init(SPEC), batch(0), np.zeros(32, bool))
    jax.tree.map(np.testing.assert_array_equal, stats, normalizer.init(SPEC))
    constant = {**batch(0), "height": np.full(32, 3.0, np.float32)}
    stats = normalizer.update(stats, constant, np.ones(32, bool))
    result = normalizer.normalize(stats, {"height": jnp.array([3.0, 3.0 + 1e-4, 9.0])})
    np.testing.assert_allclose(result["height"], [0, 0.1, 10], atol=1e-2)


def test_any_leading_axes_and_jit():
    stats = normalizer.update(normalizer.init(SPEC), batch(0), np.ones(32, bool))
    joints = batch(1, 6)["joints"]
    flat = normalizer.normalize(stats, {"joints": joints})["joints"]
    deep = jax.jit(normalizer.normalize)(stats, {"joints": joints.reshape(2, 3, 3)})["joints"]
    np.testing.assert_allclose(deep.reshape(6, 3), flat, rtol=1e-5)


def test_wrong_arrays_are_named():
    stats, ones = normalizer.init(SPEC), np.ones(32, bool)
    with pytest.raises(ValueError, match="'joints'"):
        normalizer.update(stats, {**batch(0), "joints": np.zeros((32, 4), np.float32)}, ones)
    with pytest.raises(ValueError, match="'height'"):
        normalizer.update(stats, {**batch(0), "height": np.zeros((32, 1), np.float32)}, ones)
    with pytest.raises(ValueError, match="mask"):
        normalizer.update(stats, batch(0), ones[None])
    with pytest.raises(ValueError, match="'joints'"):
        normalizer.normalize(stats, {"joints": jnp.zeros((3, 1))})
    with pytest.raises(KeyError, match="'wrist'"):
        normalizer.normalize(stats, {"wrist": jnp.zeros(3)})
