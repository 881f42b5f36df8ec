import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from robo_rl.config import NetworkConfig
from robo_rl.networks.network import functional
from robo_rl.networks.trunks import make_trunk, orthogonal


def trunk(inputs=5, **fields):
    config = NetworkConfig(**{"width": 8, "depth": 2} | fields)
    return functional(lambda rngs: make_trunk(config, inputs, rngs))


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("kind", ["mlp", "residual"])
@pytest.mark.parametrize("leading", [(3,), (1,), (2, 4)])
def test_features_have_the_width_of_the_config(kind, leading):
    network = trunk(kind=kind)
    features = network.apply(network.init(jax.random.key(0)), jnp.ones((*leading, 5)))
    assert features.shape == (*leading, 8)
    assert features.dtype == jnp.float32


def test_sizes_are_those_of_the_papers():
    mlp = 5 * 8 + 8 + 8 * 8 + 8
    assert count(trunk(layer_norm=False).init(jax.random.key(0))) == mlp
    assert count(trunk().init(jax.random.key(0))) == mlp + 2 * 2 * 8
    block = 2 * 8 + (8 * 32 + 32) + (32 * 8 + 8)
    assert count(trunk(kind="residual").init(jax.random.key(0))) == (5 * 8 + 8) + 2 * block + 2 * 8


def test_layer_norm_makes_the_features_blind_to_the_scale_of_the_input():
    x = jax.random.normal(jax.random.key(1), (3, 5))
    with_norm, without = trunk(depth=1), trunk(depth=1, layer_norm=False)
    for network, is_blind in ((with_norm, True), (without, False)):
        params = network.init(jax.random.key(0))
        same = np.allclose(network.apply(params, x), network.apply(params, 100 * x), atol=1e-3)
        assert same is is_blind


def test_a_residual_block_adds_to_what_it_gets():
    network = trunk(kind="residual")
    params = network.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (3, 5))
    silent = {**params, "narrow": jax.tree.map(jnp.zeros_like, params["narrow"])}
    embedded = x @ params["embed"]["kernel"] + params["embed"]["bias"]
    want = (embedded - embedded.mean(-1, keepdims=True)) / jnp.sqrt(embedded.var(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(network.apply(silent, x), want, rtol=1e-3, atol=1e-4)
    assert not np.allclose(network.apply(params, x), want, atol=1e-2)


def test_orthogonal_kernels_keep_lengths_up_to_their_gain():
    kernel = orthogonal(3.0)(nnx.Rngs(0).params(), (4, 4), jnp.float32)
    np.testing.assert_allclose(kernel.T @ kernel, 9 * np.eye(4), atol=1e-4)
