import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.data.experience import experience_of
from robo_rl.replay import ring
from robo_rl.roles.demonstrations import draw
from tests.data.parts import toy_episodes
from tests.toys import SPEC


def filled(reward):
    """A buffer whose transitions all have this reward."""
    transitions = experience_of(SPEC, toy_episodes(3), 1, 0.9).transition
    transitions = transitions._replace(reward=np.full_like(transitions.reward, reward))
    return ring.add(ring.init(SPEC, 40), transitions, jnp.int32(len(transitions.reward)))


@pytest.mark.parametrize("demonstrations", [0, 1, 3, 8])
def test_a_batch_holds_exactly_its_share_of_demonstrations(demonstrations):
    batch = draw(filled(1.0), filled(2.0), jax.random.key(0), 8, demonstrations)
    assert batch.reward.tolist() == [1.0] * (8 - demonstrations) + [2.0] * demonstrations
    assert {name: value.shape for name, value in batch.observation.items()} == {"clock": (8, 1), "position": (8, 2)}


def test_without_demonstrations_the_batch_is_that_of_the_replay_alone():
    key, replay = jax.random.key(3), filled(1.0)
    own, alone = draw(replay, None, key, 8, 0), ring.sample(replay, key, 8)
    jax.tree.map(np.testing.assert_array_equal, own, alone)


def test_both_sides_draw_independently():
    batch = draw(filled(1.0), filled(1.0), jax.random.key(0), 32, 16)
    left, right = np.split(np.asarray(batch.observation["position"]), 2)
    assert not np.array_equal(left, right)
