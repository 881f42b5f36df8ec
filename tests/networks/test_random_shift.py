import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.networks.random_shift import augment, random_shift
from robo_rl.specs import Transition

MOST = 2


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 9, 7, 3), dtype=np.uint8)


def crops(image):
    """All that padding by the edge and cropping can make of one image, in the order of the offsets."""
    padded = np.pad(image, ((MOST, MOST), (MOST, MOST), (0, 0)), mode="edge")
    sides = range(2 * MOST + 1)
    return [padded[i : i + image.shape[0], j : j + image.shape[1]] for i in sides for j in sides]


def test_every_shift_is_a_crop_of_the_padded_image_and_all_are_drawn_alike():
    image = images(1)[0]
    shifted = np.asarray(random_shift(jnp.asarray(np.repeat(image[None], 5000, axis=0)), jax.random.key(0), MOST))
    assert shifted.dtype == np.uint8
    hits = np.array([(shifted == crop).all(axis=(1, 2, 3)).sum() for crop in crops(image)])
    assert hits.sum() == 5000
    # 25 crops of 200 each; a deviation of 5 sigma would be 70.
    assert np.abs(hits - 200).max() < 70


def test_a_shift_by_nothing_is_none():
    np.testing.assert_array_equal(random_shift(images(4), jax.random.key(0), 0), images(4))


def test_what_is_no_batch_of_images_is_refused():
    with pytest.raises(ValueError, match=r"\[B, H, W, C\]"):
        random_shift(jnp.zeros((9, 7, 3), jnp.uint8), jax.random.key(0), MOST)


def transition(count):
    def observation(seed):
        return {"camera": images(count, seed), "depth": images(count, seed + 1), "height": np.ones((count, 1))}

    scalar = np.zeros(count, np.float32)
    return Transition(observation(0), np.zeros((count, 2)), scalar, scalar, observation(0))


def test_an_observation_and_its_next_are_shifted_each_on_its_own_and_measurements_not_at_all():
    batch = transition(64)
    after = augment(batch, jax.random.key(3), MOST)
    for before, now in ((batch.observation, after.observation), (batch.next_observation, after.next_observation)):
        assert now["height"] is before["height"]
        assert now.keys() == before.keys()
        moved = (np.asarray(now["camera"]) != before["camera"]).any(axis=(1, 2, 3))
        assert 0.8 < moved.mean() < 1
    assert (after.observation["camera"] != after.next_observation["camera"]).any()
    # The same image twice in one observation would be shifted twice differently.
    same = batch._replace(observation={"a": batch.observation["camera"], "b": batch.observation["camera"]})
    twice = augment(same, jax.random.key(3), MOST).observation
    assert (twice["a"] != twice["b"]).any()


def test_the_key_decides():
    one, again, other = (augment(transition(16), jax.random.key(key), MOST).observation["camera"] for key in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_nothing_to_shift_changes_nothing():
    batch = transition(4)
    assert augment(batch, jax.random.key(0), 0).observation is batch.observation
    measured = batch._replace(observation={"height": batch.observation["height"]})
    assert augment(measured, jax.random.key(0), MOST).observation is measured.observation
