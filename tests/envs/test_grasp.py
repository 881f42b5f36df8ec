import dm_env
import numpy as np
import pytest
from absl.testing import absltest
from dm_env import test_utils

from robo_rl.config import EnvConfig
from robo_rl.envs import make
from robo_rl.envs.grasp import make_grasp, make_grasp_batch
from robo_rl.envs.grasp_scripted import scripted_actions
from robo_rl.errors import ConfigError

CONFIG = EnvConfig(name="grasp/cube", episode_steps=4)


class TestConformance(test_utils.EnvironmentTestMixin, absltest.TestCase):
    """The checks that dm_env has for any environment."""

    def make_object_under_test(self):
        return make_grasp(CONFIG)


def episode(env, seed, steps=4):
    env.seed_episode(seed)
    frames = [env.reset()]
    rng = np.random.default_rng(3)
    frames += [env.step(rng.uniform(-1, 1, 5)) for _ in range(steps)]
    return frames


def test_a_seeded_episode_repeats_bit_for_bit():
    env = make_grasp(CONFIG)
    first = episode(env, 11)
    episode(env, 12)
    for one, other in zip(first, episode(env, 11), strict=True):
        assert one.reward == other.reward
        for name in one.observation:
            np.testing.assert_array_equal(one.observation[name], other.observation[name])


def test_it_is_the_batch_of_one():
    frames = episode(make_grasp(CONFIG), 11)
    batch = make_grasp_batch(CONFIG, 3)
    observation = batch.reset([0, 1, 2], [5, 11, 6])
    rng = np.random.default_rng(3)
    for frame in frames:
        for name in observation:
            np.testing.assert_array_equal(frame.observation[name], observation[name][1])
        if not frame.last():
            observation = batch.step(np.tile(rng.uniform(-1, 1, 5), (3, 1))).observation


def test_a_time_limit_keeps_the_discount_and_ends_the_episode():
    frames = episode(make_grasp(CONFIG), 0)
    assert [frame.step_type for frame in frames] == [
        dm_env.StepType.FIRST,
        *[dm_env.StepType.MID] * 3,
        dm_env.StepType.LAST,
    ]
    assert [frame.discount for frame in frames] == [None, 1.0, 1.0, 1.0, 1.0]


def test_unseeded_episodes_differ():
    env = make_grasp(CONFIG)
    one, other = (env.reset().observation["object_position"] for _ in range(2))
    assert not np.array_equal(one, other)


def test_success_is_told_after_a_lift_and_forgotten_at_reset():
    env = make_grasp(EnvConfig(name="grasp/cube"))
    env.seed_episode(0)
    frame = env.reset()
    while not frame.last():
        assert not (frame.first() and env.success())
        batched = {name: array[None] for name, array in frame.observation.items()}
        frame = env.step(scripted_actions(batched, 0.0, np.random.default_rng(0))[0])
    assert env.success()
    assert env.shape_name() == "cube"
    env.reset()
    assert not env.success()


def test_bad_actions_and_names_are_refused():
    env = make_grasp(CONFIG)
    env.reset()
    for action in (np.zeros(4), np.full(5, np.nan), np.full(5, 1.5)):
        with pytest.raises(ValueError, match="actions must"):
            env.step(action)
    with pytest.raises(ConfigError, match="grasp/objects"):
        make_grasp(EnvConfig(name="suite/cheetah-run"))


def test_the_terminate_action_ends_the_episode_for_good():
    env = make_grasp(EnvConfig(name="grasp/cube", reward="final", terminate_action=True))
    env.seed_episode(0)
    env.reset()
    assert env.action_spec().shape == (6,)
    assert env.step(np.array([0, 0, 0, 0, 0, -1.0])).mid()
    end = env.step(np.array([0, 0, 0, 0, 0, 1.0]))
    assert end.last()
    assert (end.discount, end.reward) == (0.0, 0.0)


def test_one_seed_decides_all_episodes_that_follow():
    def places(seed, count=3):
        env = make("grasp/cube", seed)
        return [tuple(env.reset().observation["object_position"].tolist()) for _ in range(count)]

    assert places(0) == places(0)
    assert len(set(places(0))) == 3
    assert places(0)[1:] != places(1)[1:]
