"""Random shifts of camera images on the device: all the augmentation that SAC needs to learn from pixels.

Source: DrQ, Kostrikov et al. 2020, arXiv 2004.13649, section 4.1: pad by repeating the edge, then crop at random.
"""

import jax
import jax.numpy as jnp

from robo_rl.specs import Array, Observation, Transition


def random_shift(image: Array, key: Array, most: int) -> Array:
    """Each image of `[B, H, W, C]` moved by up to `most` pixels along both axes, its edge repeated; dtype unchanged.

    Whole pixels, uniformly from [-most, most], drawn for each image. Padding and cropping are one gather here: a pixel
    beyond the edge is the edge.

    Raises:
        ValueError: the images are not `[B, H, W, C]`.
    """
    if image.ndim != 4:
        raise ValueError(f"expected images [B, H, W, C], got shape {list(image.shape)}")
    offsets = jax.random.randint(key, (image.shape[0], 2), -most, most + 1)

    def moved(one: Array, offset: Array) -> Array:
        rows = jnp.clip(jnp.arange(one.shape[0]) + offset[0], 0, one.shape[0] - 1)
        columns = jnp.clip(jnp.arange(one.shape[1]) + offset[1], 0, one.shape[1] - 1)
        return one[rows][:, columns]

    return jax.vmap(moved)(image, offsets)


def augment(batch: Transition, key: Array, most: int) -> Transition:
    """The transitions `[B, ...]` with every image shifted, the next observation's by other draws than the first's.

    Arrays that are no images (uint8 of rank 3) pass as they are; `most` = 0 changes nothing.
    """
    key_now, key_next = jax.random.split(key)
    return batch._replace(
        observation=_shifted(batch.observation, key_now, most),
        next_observation=_shifted(batch.next_observation, key_next, most),
    )


def _shifted(observation: Observation, key: Array, most: int) -> Observation:
    images = [name for name, array in sorted(observation.items()) if array.dtype == jnp.uint8 and array.ndim == 4]
    if not images or most == 0:
        return observation
    keys = jax.random.split(key, len(images))
    return {
        **observation,
        **{name: random_shift(observation[name], k, most) for name, k in zip(images, keys, strict=True)},
    }
