import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.config import ImageConfig
from robo_rl.errors import ConfigError
from robo_rl.networks.convolutional import ImageEncoder, encoded_size, neighbourhoods, patches
from robo_rl.networks.network import functional

CONFIG = ImageConfig(patch=4, channels=5, convolutions=2, features=3)


def images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoder(config=CONFIG, shape=(24, 16, 3)):
    return functional(lambda rngs: ImageEncoder(config, shape, rngs=rngs))


@pytest.mark.parametrize("sides", [(4, 4), (8, 6), (5, 7), (1, 2)])
def test_a_dense_layer_on_neighbourhoods_is_a_convolution_of_stride_two(sides):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, *sides, 3)), rng.normal(size=(3, 3, 3, 4))
    want = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    np.testing.assert_allclose(neighbourhoods(jnp.asarray(x)) @ kernel.reshape(27, 4), want, rtol=1e-4, atol=1e-4)


def test_a_patch_is_a_square_of_the_image():
    image = images(2, 8, 12, 3)
    grid = patches(jnp.asarray(image), 4)
    assert grid.shape == (2, 2, 3, 48)
    np.testing.assert_array_equal(grid[1, 1, 2].reshape(4, 4, 3), image[1, 4:8, 8:12])


@pytest.mark.parametrize(("patch", "convolutions"), [(1, 0), (4, 0), (4, 1), (4, 2), (8, 3)])
def test_the_size_that_is_promised(patch, convolutions):
    config = ImageConfig(patch=patch, channels=5, convolutions=convolutions)
    network = encoder(config)
    features = network.apply(network.init(jax.random.key(0)), images(3, 24, 16, 3))
    assert features.shape == (3, encoded_size(config, (24, 16, 3)))
    assert features.dtype == jnp.float32


def test_black_and_white_lie_symmetrically_about_zero():
    network = encoder(ImageConfig(patch=8, channels=4, convolutions=0), (8, 8, 3))
    params = network.init(jax.random.key(0))
    # An orthogonal kernel keeps lengths, so what enters can be read off what is embedded.
    kernel = params["embed"]["kernel"]
    for value, scaled in ((0, -0.5), (255, 0.5)):
        embedded = jnp.full(192, scaled) @ kernel
        normal = (embedded - embedded.mean()) / jnp.sqrt(embedded.var() + 1e-6)
        got = network.apply(params, np.full((1, 8, 8, 3), value, np.uint8))[0]
        np.testing.assert_allclose(got, jax.nn.relu(normal), atol=1e-4)


def test_every_pixel_counts():
    network, image = encoder(), images(1, 24, 16, 3)
    params = network.init(jax.random.key(0))
    before = network.apply(params, image)
    for row, column in ((0, 0), (23, 15), (11, 7)):
        changed = image.copy()
        changed[0, row, column] ^= 255
        assert not np.array_equal(network.apply(params, changed), before)


def test_other_images_than_it_was_made_for_are_refused():
    network = encoder()
    params = network.init(jax.random.key(0))
    for wrong in (images(1, 16, 16, 3), images(1, 24, 16, 3).astype(np.float32)):
        with pytest.raises(ValueError, match=r"uint8 images \[B, \*\(24, 16, 3\)\]"):
            network.apply(params, wrong)
    with pytest.raises(ConfigError, match=r"image.patch is 5.*24 x 16"):
        encoder(ImageConfig(patch=5))
