import jax
import jax.numpy as jnp
from flax import nnx

from robo_rl.networks.layer_norm import LayerNorm


def both(width: int) -> tuple[LayerNorm, nnx.LayerNorm]:
    ours, theirs = LayerNorm(width, rngs=nnx.Rngs(0)), nnx.LayerNorm(width, rngs=nnx.Rngs(0))
    scale, bias = jax.random.normal(jax.random.key(1), (2, width))
    for layer in (ours, theirs):
        layer.scale[...], layer.bias[...] = scale, bias
    return ours, theirs


def test_outputs_and_gradients_are_those_of_flax() -> None:
    ours, theirs = both(48)
    x = 5 + 3 * jax.random.normal(jax.random.key(0), (7, 3, 48))

    def loss(layer: nnx.Module, x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(layer(x)))

    assert jnp.allclose(ours(x), theirs(x), atol=2e-5)
    gradients = [nnx.grad(loss, argnums=(0, 1))(layer, x) for layer in (ours, theirs)]
    for mine, reference in zip(*map(jax.tree.leaves, gradients), strict=True):
        assert jnp.allclose(mine, reference, atol=2e-4)


def test_parameters_are_named_as_in_flax() -> None:
    ours, theirs = (nnx.to_pure_dict(nnx.state(layer, nnx.Param)) for layer in both(5))
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)


def test_a_large_mean_does_not_swallow_the_deviation() -> None:
    ours, _ = both(64)
    x = jax.random.normal(jax.random.key(2), (4, 64))
    assert jnp.allclose(ours(x + 1000.0), ours(x), atol=2e-3)


def test_constant_rows_give_the_bias() -> None:
    ours, _ = both(16)
    assert jnp.allclose(ours(jnp.full((2, 16), 3.0)), ours.bias[...], atol=1e-3)
