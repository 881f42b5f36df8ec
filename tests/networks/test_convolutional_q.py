import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.config import ImageConfig, NetworkConfig
from robo_rl.errors import ConfigError
from robo_rl.networks.convolutional_q import make_convolutional_q_network
from robo_rl.networks.q_network import value_of
from robo_rl.specs import ArraySpec, EnvSpec
from tests.networks.test_features import SEEING

IMAGE = ImageConfig(patch=4, channels=6, convolutions=0)
NETWORK = NetworkConfig(width=8, depth=1)


def spec(**observation):
    return EnvSpec("toy/seeing", observation, ArraySpec((2,), minimum=-1, maximum=1), 5, 1.0)


def observation(count, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "camera": rng.integers(0, 256, (count, 12, 8, 3), dtype=np.uint8),
        "height": rng.normal(size=(count, 1)).astype(np.float32),
    }


ONE = spec(camera=ArraySpec((12, 8, 3), "uint8"), height=ArraySpec((1,)))


def network(of=ONE):
    q = make_convolutional_q_network(NETWORK, IMAGE, of, 3)
    params = q.init(jax.random.key(0), jnp.arange(3.0))
    return q, params


def trained(params):
    """Parameters whose last layer lets something through."""
    params["head"]["kernel"] = jnp.ones_like(params["head"]["kernel"]) * jnp.arange(1.0, 4.0)
    return params


def test_a_new_network_says_what_it_was_told_whatever_it_sees():
    q, params = network()
    outputs = q.value(params, q.encode(params, observation(4)), jnp.ones((4, 5, 2)))
    np.testing.assert_array_equal(outputs, np.broadcast_to(np.arange(3.0), (4, 5, 3)))


def test_many_actions_at_once_are_each_action_alone():
    q, params = network()
    params, action = trained(params), jax.random.uniform(jax.random.key(1), (4, 5, 2), minval=-1)
    features = q.encode(params, observation(4))
    assert features.shape == (4, 3, 2, 6)
    together = q.value(params, features, action)
    for sample in range(5):
        alone = value_of(q, params, features, action[:, sample])
        np.testing.assert_allclose(together[:, sample], alone, rtol=1e-5, atol=1e-5)
    assert np.ptp(together, axis=1).min() > 0, "the action does not count"


def test_image_and_measurements_count():
    q, params = network()
    params, action = trained(params), jnp.ones((4, 1, 2))
    before = q.value(params, q.encode(params, observation(4)), action)
    for name in ("camera", "height"):
        changed = observation(4) | {name: observation(4, seed=1)[name]}
        assert (q.value(params, q.encode(params, changed), action) != before).any(), name


def test_an_image_alone_will_do():
    q, params = network(spec(camera=ArraySpec((12, 8, 3), "uint8")))
    assert q.encode(params, {"camera": observation(2)["camera"]}).shape == (2, 3, 2, 6)


def test_what_it_cannot_take_is_refused():
    for wrong in (SEEING, spec(height=ArraySpec((1,)))):
        with pytest.raises(ConfigError, match="one image"):
            make_convolutional_q_network(NETWORK, IMAGE, wrong, 3)
    q, params = network()
    features = q.encode(params, observation(4))
    for action in (jnp.ones((4, 2)), jnp.ones((4, 5, 3)), jnp.ones((3, 5, 2))):
        with pytest.raises(ValueError, match=r"actions \[B, S, 2\]"):
            q.value(params, features, action)
