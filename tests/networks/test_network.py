import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from robo_rl.config import NetworkConfig
from robo_rl.networks.network import ensemble, functional
from robo_rl.networks.trunks import make_trunk

LINEAR = functional(lambda rngs: nnx.Linear(3, 2, rngs=rngs))
X = jnp.arange(12.0).reshape(4, 3)


def test_parameters_are_plain_arrays_and_a_function_of_the_key():
    params = LINEAR.init(jax.random.key(0))
    assert sorted(params) == ["bias", "kernel"]
    assert type(params) is dict
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(params))
    np.testing.assert_array_equal(params["kernel"], LINEAR.init(jax.random.key(0))["kernel"])
    assert not np.array_equal(params["kernel"], LINEAR.init(jax.random.key(1))["kernel"])


def test_apply_uses_the_parameters_it_is_given():
    params = {"kernel": jnp.ones((3, 2)), "bias": jnp.array([0.0, 1.0])}
    np.testing.assert_allclose(LINEAR.apply(params, X), X.sum(1, keepdims=True) + jnp.array([0.0, 1.0]))
    gradient = jax.grad(lambda p: LINEAR.apply(p, X).sum())(params)
    np.testing.assert_allclose(gradient["bias"], [4, 4])


def test_an_ensemble_has_weights_of_its_own_for_each_member():
    several = ensemble(LINEAR, 3)
    params = several.init(jax.random.key(0))
    assert params["kernel"].shape == (3, 3, 2)
    assert not np.allclose(params["kernel"][0], params["kernel"][1])
    outputs = several.apply(params, X)
    assert outputs.shape == (3, 4, 2)
    for member in range(3):
        one = jax.tree.map(lambda leaf, member=member: leaf[member], params)
        np.testing.assert_allclose(outputs[member], LINEAR.apply(one, X), rtol=1e-5)


def test_an_ensemble_of_many_wide_networks_can_be_made_on_few_cores():
    # Made by one vmap, this call never returned on 2 cores.
    trunk = functional(lambda rngs: make_trunk(NetworkConfig(width=256), 24, rngs))
    kernels = jax.jit(ensemble(trunk, 10).init)(jax.random.key(0))["layers"][1]["kernel"]
    products = np.einsum("eij,eik->ejk", kernels, kernels)
    np.testing.assert_allclose(products, 2 * np.broadcast_to(np.eye(256), products.shape), atol=1e-4)


def test_parameters_survive_jit_scan_and_donation():
    def step(params, _):
        return jax.tree.map(lambda leaf: leaf * 0.5, params), LINEAR.apply(params, X).sum()

    params = LINEAR.init(jax.random.key(0))
    want = np.asarray(params["kernel"]) * 0.125
    after, _ = jax.jit(lambda p: jax.lax.scan(step, p, length=3), donate_argnums=0)(params)
    np.testing.assert_allclose(after["kernel"], want, rtol=1e-6)
