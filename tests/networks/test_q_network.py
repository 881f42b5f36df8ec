import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.config import NetworkConfig
from robo_rl.networks.actor_critic import flatten, make_critic
from robo_rl.networks.q_network import make_q_network, value_of
from robo_rl.specs import ArraySpec, EnvSpec

SPEC = EnvSpec(
    name="toy/two", observation={"a": ArraySpec((3,)), "b": ArraySpec((2, 2))},
    action=ArraySpec((2,), minimum=-1, maximum=1), episode_steps=2, control_hz=1.0,
)  # fmt: skip
OUTPUTS = 5


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def made(config):
    """The network, and parameters whose last layer is not zero."""
    network = make_q_network(config, SPEC, OUTPUTS)
    params = network.init(jax.random.key(0), jnp.zeros(OUTPUTS))
    return network, jax.tree.map(lambda x: x + 0.1 * numbers(*x.shape), params)


@pytest.mark.parametrize("config", [
    NetworkConfig(width=8, depth=1), NetworkConfig(width=8, depth=2, layer_norm=False),
    NetworkConfig(kind="residual", width=8, depth=2),
])  # fmt: skip
def test_many_actions_at_once_are_worth_what_a_critic_says_of_each(config):
    network, params = made(config)
    observation, actions = {"b": numbers(4, 2, 2), "a": numbers(4, 3)}, numbers(4, 6, 2)
    outputs = network.value(params, network.encode(params, observation), actions)
    assert outputs.shape == (4, 6, OUTPUTS)
    critic = make_critic(config, SPEC, OUTPUTS)
    each = [critic.apply(params, flatten(observation), actions[:, number]) for number in range(6)]
    np.testing.assert_allclose(outputs, np.stack(each, axis=1), rtol=1e-4, atol=1e-5)


def test_a_new_network_gives_the_first_outputs_everywhere():
    network = make_q_network(NetworkConfig(width=8), SPEC, OUTPUTS)
    first = jnp.arange(5.0)
    params = network.init(jax.random.key(1), first)
    features = network.encode(params, {"a": numbers(3, 3), "b": numbers(3, 2, 2)})
    np.testing.assert_array_equal(value_of(network, params, features, numbers(3, 2)), np.tile(first, (3, 1)))


@pytest.mark.parametrize("actions", [(4, 2), (4, 6, 3), (3, 6, 2)])
def test_other_shapes_are_refused(actions):
    network, params = made(NetworkConfig(width=8))
    with pytest.raises(ValueError, match=r"\[B, S, 2\]"):
        network.value(params, jnp.zeros((4, 8)), jnp.zeros(actions))
