"""Networks that see: uint8 images into features, small enough to train on CPU."""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from robo_rl.config import ImageConfig
from robo_rl.errors import ConfigError
from robo_rl.networks.trunks import orthogonal
from robo_rl.specs import Array


class ImageEncoder(nnx.Module):
    """Patches, each embedded by one matrix product, then 3x3 convolutions of stride 2; LayerNorm and ReLU after each.

    `uint8 [B, H, W, C] -> [B, F]`. Every layer is a matrix product on pieces of the image, also the convolutions:
    inside a `lax.scan`, where updates run, XLA's own convolution was 25 times slower on CPU (39 against 1.5 ms for one
    layer and its gradient). The first layer's pieces do not overlap (Dosovitskiy et al. 2021, arXiv 2010.11929, 3.1).
    """

    def __init__(self, config: ImageConfig, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> None:
        """An encoder of images `shape` = [H, W, C].

        Raises:
            ConfigError: the image cannot be cut into patches of this size.
        """
        height, width, colors = shape
        patch, channels = config.patch, config.channels
        if height % patch or width % patch:
            raise ConfigError(
                f"agent.image.patch is {patch}, which does not divide an image of {height} x {width} pixels. Choose a "
                "divisor of both, or another env.camera_size."
            )
        self.patch, self.channels, self.shape = patch, channels, shape
        init = orthogonal(2**0.5)
        self.embed = nnx.Linear(patch * patch * colors, channels, kernel_init=init, rngs=rngs)
        self.convolutions = nnx.List(
            [nnx.Linear(9 * channels, channels, kernel_init=init, rngs=rngs) for _ in range(config.convolutions)]
        )
        self.norms = nnx.List([nnx.LayerNorm(channels, rngs=rngs) for _ in range(config.convolutions + 1)])

    def __call__(self, image: Array) -> Array:
        """Features `[B, F]` of `image [B, H, W, C]`, uint8; row by row, so that they keep where something is."""
        if image.shape[1:] != self.shape or image.dtype != jnp.uint8:
            raise ValueError(f"expected uint8 images [B, *{self.shape}], got {image.dtype} {image.shape}")
        x = image.astype(jnp.float32) / 255 - 0.5
        x = jax.nn.relu(self.norms[0](self.embed(patches(x, self.patch))))
        for convolution, norm in zip(self.convolutions, self.norms[1:], strict=True):
            x = jax.nn.relu(norm(convolution(neighbourhoods(x))))
        return x.reshape(x.shape[0], -1)


def patches(image: Array, size: int) -> Array:
    """The image `[B, H, W, C]` as a grid of patches `[B, H/size, W/size, size * size * C]`."""
    batch, height, width, colors = image.shape
    x = image.reshape(batch, height // size, size, width // size, size, colors)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // size, width // size, size * size * colors)


def neighbourhoods(x: Array) -> Array:
    """The 3x3 surroundings of every second place of `x [B, H, W, C]`, zeros beyond the edge: `[B, H', W', 9 C]`.

    H' = ceil(H / 2); a dense layer on them is a convolution of stride 2 with the places that XLA's "SAME" chooses.
    """
    height, width = x.shape[1:3]
    rows, columns = -(-height // 2), -(-width // 2)
    # "SAME" puts the odd one of the zeros behind.
    padding = [
        (max(2 * n + 1 - side, 0) // 2, (max(2 * n + 1 - side, 0) + 1) // 2)
        for n, side in ((rows, height), (columns, width))
    ]
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    pieces = [padded[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2] for i in range(3) for j in range(3)]
    return jnp.concatenate(pieces, axis=-1)


def encoded_grid(config: ImageConfig, shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of the grid of places that an image `shape` = [H, W, C] is encoded into."""
    height, width = (side // config.patch for side in shape[:2])
    for _ in range(config.convolutions):
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    return height, width


def encoded_size(config: ImageConfig, shape: tuple[int, ...]) -> int:
    """Length F of an encoded image `shape` = [H, W, C]."""
    return math.prod(encoded_grid(config, shape)) * config.channels
