import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.agents.optimizer import make_optimizer
from robo_rl.config import NetworkConfig, QTOptConfig, SACConfig
from robo_rl.networks.actor_critic import make_actor
from tests.agents.conformance import CHAINS

both = pytest.mark.parametrize("agent", [SACConfig, QTOptConfig])


@both
def test_weight_decay_touches_kernels_only(agent):
    params = make_actor(NetworkConfig(depth=1, width=16), CHAINS).init(jax.random.key(0))
    params = jax.tree.map(jnp.ones_like, params)
    optimizer = make_optimizer(agent(learning_rate=0.1, weight_decay=0.5, max_gradient_norm=1.0))
    no_gradient = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(no_gradient, optimizer.init(params), params)
    kernels = 0
    for path, update in jax.tree_util.tree_leaves_with_path(updates):
        decays = jax.tree_util.keystr(path).endswith("['kernel']")
        np.testing.assert_allclose(update, -0.05 if decays else 0.0, rtol=1e-6)
        kernels += decays
    assert kernels == 2


@both
def test_gradients_are_clipped_to_their_norm(agent):
    optimizer = make_optimizer(agent(learning_rate=1.0, max_gradient_norm=1.0))
    params = {"w": jnp.zeros(2)}
    _, state = optimizer.update({"w": jnp.array([300.0, 400.0])}, optimizer.init(params), params)
    first_moment = next(x for x in jax.tree.leaves(state) if x.shape == (2,))
    np.testing.assert_allclose(first_moment, 0.1 * np.array([0.6, 0.8]), rtol=1e-5)


@both
def test_the_learning_rate_falls_in_a_line_and_stays_where_it_ends(agent):
    config = agent(learning_rate=0.1, learning_rate_decay_updates=4, final_learning_rate=0.02, max_gradient_norm=1e9)
    optimizer, params = make_optimizer(config), {"bias": jnp.zeros(1)}
    state, steps = optimizer.init(params), []
    for _ in range(6):
        # Of a gradient that never changes, Adam's step is the learning rate.
        updates, state = optimizer.update({"bias": jnp.ones(1)}, state, params)
        steps.append(-float(updates["bias"][0]))
    np.testing.assert_allclose(steps, [0.1, 0.08, 0.06, 0.04, 0.02, 0.02], rtol=1e-4)
