import numpy as np
import pytest

from robo_rl.config import EnvConfig
from robo_rl.envs.grasp_batch import GraspBatch
from robo_rl.envs.grasp_objects import CUBE
from robo_rl.envs.grasp_scripted import WEAK_NOISE, scripted_actions


def play(env, seeds, noise=0.0):
    """Final step and returns `[N]` of one scripted episode per seed."""
    rng = np.random.default_rng(0)
    observation = env.reset(range(env.num_envs), seeds)
    returns = np.zeros(env.num_envs)
    for _ in range(env.spec.episode_steps):
        step = env.step(scripted_actions(observation, noise, rng))
        observation, returns = step.observation, returns + step.reward
    assert step.last.all()
    return step, returns


def test_solves_the_cube():
    step, returns = play(GraspBatch(EnvConfig(name="grasp/cube"), 100), range(100))
    assert step.success.mean() >= 0.95
    assert returns.mean() > 28.0


@pytest.mark.parametrize("family", ["train", "held_out"])
def test_solves_nearly_all_objects(family):
    env = GraspBatch(EnvConfig(name="grasp/objects", family=family), 100)
    step, _ = play(env, range(100))
    assert step.success.mean() >= 0.9, [
        shape for shape, won in zip(env.kinds(range(100)), step.success, strict=True) if not won
    ]


def test_sparse_reward_counts_the_steps_held_high():
    env = GraspBatch(EnvConfig(name="grasp/cube", reward="sparse", step_penalty=0.01), 20)
    step, returns = play(env, range(20))
    assert step.success.all()
    assert (returns > 15.0).all()
    assert (returns < 40.0).all()


def test_without_friction_nothing_is_lifted():
    slippery = CUBE._replace(friction=0.0)
    env = GraspBatch(EnvConfig(name="grasp/cube"), 20, draw_object=lambda rng: slippery)
    step, returns = play(env, range(20))
    assert not step.success.any()
    assert (returns < 0.5 * 40).all()


def test_a_lifted_cube_falls_when_the_gripper_opens():
    env = GraspBatch(EnvConfig(name="grasp/cube", episode_steps=40), 8)
    observation = env.reset(range(8), range(8))
    rng = np.random.default_rng(0)
    for _ in range(25):
        step = env.step(scripted_actions(observation, 0.0, rng))
        observation = step.observation
    assert step.success.all()
    for _ in range(6):
        step = env.step(np.tile([0.0, 0.0, 0.0, 0.0, 1.0], (8, 1)))
    assert not step.success.any()
    height = step.observation["object_position"][:, 2] + step.observation["gripper_position"][:, 2]
    assert (height < 0.05).all()


def test_noise_makes_it_worse_and_is_repeatable():
    env = GraspBatch(EnvConfig(name="grasp/cube"), 50)
    _, clean = play(env, range(50))
    _, noisy = play(env, range(50), noise=1.0)
    _, again = play(env, range(50), noise=1.0)
    assert noisy.mean() < 0.8 * clean.mean()
    np.testing.assert_array_equal(noisy, again)


def test_actions_are_bounded_and_noise_is_checked():
    env = GraspBatch(EnvConfig(name="grasp/cube"), 3)
    observation = env.reset(range(3), range(3))
    actions = scripted_actions(observation, 5.0, np.random.default_rng(0))
    assert actions.shape == (3, 5)
    assert actions.dtype == np.float32
    assert np.abs(actions).max() <= 1.0
    for noise in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="noise"):
            scripted_actions(observation, noise, np.random.default_rng(0))


@pytest.mark.parametrize("steps", [20, 40])
def test_the_weak_policy_succeeds_as_seldom_as_qt_opt_s_first_one(steps):
    env = GraspBatch(EnvConfig(name="grasp/objects", episode_steps=steps), 200)
    step, _ = play(env, range(200), noise=WEAK_NOISE)
    assert 0.15 <= step.success.mean() <= 0.30


def test_it_ends_the_episode_once_the_object_is_up():
    env = GraspBatch(EnvConfig(name="grasp/cube", reward="final", step_penalty=0.05, terminate_action=True), 1)
    rng = np.random.default_rng(0)
    for seed in range(5):
        observation, last, rewards = env.reset([0], [seed]), False, []
        while not last:
            step = env.step(scripted_actions(observation, 0.0, rng, terminate=True))
            observation, last = step.observation, bool(step.last[0])
            rewards.append(float(step.reward[0]))
        assert rewards == pytest.approx([-0.05] * (len(rewards) - 1) + [0.95])
        assert len(rewards) < env.spec.episode_steps
        assert (step.discount, step.success) == (0.0, True)
