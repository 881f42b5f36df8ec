import jax
import jax.numpy as jnp
import numpy as np

from robo_rl.config import ImageConfig, NetworkConfig
from robo_rl.networks.actor_critic import flatten, make_actor, make_critic
from robo_rl.networks.features import make_encoder
from robo_rl.networks.glimpse import feature_size
from robo_rl.specs import ArraySpec, EnvSpec
from tests.toys import SPEC

IMAGE = ImageConfig(patch=4, channels=3, convolutions=1, features=5)
SEEING = EnvSpec(
    name="toy/seeing",
    observation={
        "camera": ArraySpec((8, 8, 3), "uint8"),
        "height": ArraySpec((1,)),
        "wrist": ArraySpec((16, 8, 3), "uint8"),
    },
    action=ArraySpec((2,), minimum=-1, maximum=1),
    episode_steps=5,
    control_hz=1.0,
)
NETWORK = NetworkConfig(width=8, depth=1)


def observation(count, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "wrist": rng.integers(0, 256, (count, 16, 8, 3), dtype=np.uint8),
        "camera": rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8),
        "height": rng.normal(size=(count, 1)).astype(np.float32),
    }


def test_without_images_features_are_the_flat_observation_and_nothing_is_learned():
    encoder = make_encoder(IMAGE, SPEC)
    state = {"position": jnp.arange(6.0).reshape(3, 2), "clock": jnp.ones((3, 1))}
    params = encoder.init(jax.random.key(0))
    assert params == {}
    np.testing.assert_array_equal(encoder.apply(params, state), flatten(state))
    assert feature_size(IMAGE, SPEC) == (0, 3)


def test_encoded_images_come_first_and_measurements_pass_as_they_are():
    encoder, seen = make_encoder(IMAGE, SEEING), observation(4)
    params = encoder.init(jax.random.key(0))
    size = feature_size(IMAGE, SEEING)
    x = encoder.apply(params, seen)
    assert size == (3 * (1 * 1 + 2 * 1), 1)
    assert x.shape == (4, sum(size))
    np.testing.assert_array_equal(x[:, -1:], seen["height"])
    for name in ("camera", "wrist"):
        other = encoder.apply(params, seen | {name: observation(4, seed=1)[name]})
        assert (other != x).any(), f"{name} is not looked at"


def test_actor_and_critic_read_images_and_measurements():
    encoder, actor, critic = (
        make_encoder(IMAGE, SEEING), make_actor(NETWORK, SEEING, IMAGE), make_critic(NETWORK, SEEING, 7, IMAGE),
    )  # fmt: skip
    keys = jax.random.split(jax.random.key(0), 3)
    params, action = encoder.init(keys[0]), jnp.ones((4, 2))
    of_actor, of_critic = actor.init(keys[1]), critic.init(keys[2])
    # A new critic says one thing whatever it sees; one with another last layer does not.
    of_critic["network"]["head"]["kernel"] = jnp.ones_like(of_critic["network"]["head"]["kernel"])

    def outputs(seen):
        x = encoder.apply(params, seen)
        return actor.apply(of_actor, x), critic.apply(of_critic, x, action)

    seen = observation(4)
    policy, value = outputs(seen)
    assert policy.shape == (4, 4)
    assert value.shape == (4, 7)
    for name in seen:
        for before, after in zip((policy, value), outputs(seen | {name: observation(4, seed=1)[name]}), strict=True):
            assert (before != after).any(), f"{name} does not reach the network"


def test_the_bottleneck_has_the_width_that_the_config_says():
    params = make_actor(NETWORK, SEEING, IMAGE).init(jax.random.key(0))
    assert params["project"]["kernel"].shape == (9, IMAGE.features)
    assert params["network"]["trunk"]["layers"][0]["kernel"].shape == (IMAGE.features + 1, 8)
