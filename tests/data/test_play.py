import numpy as np
import pytest

from robo_rl import seeds
from robo_rl.config import EnvConfig
from robo_rl.data.play import episode_seeds, play
from robo_rl.envs.grasp_batch import GraspBatch
from robo_rl.envs.grasp_scripted import scripted_actions, scripted_intent
from tests.toys import ReachBatch


def same(left, right):
    for one, other in zip(left, right, strict=True):
        assert one[3:] == other[3:]
        np.testing.assert_array_equal(one.action, other.action)
        np.testing.assert_array_equal(one.reward, other.reward)
        for name in one.observation:
            np.testing.assert_array_equal(one.observation[name], other.observation[name])


@pytest.mark.parametrize("intend", [None, lambda observation: 3 * observation["position"]])
def test_an_episode_does_not_depend_on_its_neighbours(intend):
    numbers = episode_seeds(7, 0, 6)
    together = play(ReachBatch(6), intend, 0.5, numbers, "p")
    apart = [play(ReachBatch(2), intend, 0.5, [number], "p")[0] for number in numbers]
    same(together, apart)
    assert len({episode.length for episode in together}) > 1


def test_an_episode_can_be_played_again_from_its_seed_and_actions():
    env = GraspBatch(EnvConfig(name="grasp/objects", episode_steps=6), 2)
    for episode in play(env, scripted_intent, 0.4, episode_seeds(0, 0, 2), "scripted"):
        again = GraspBatch(EnvConfig(name="grasp/objects", episode_steps=6), 1)
        seen = [again.reset([0], [episode.seed])]
        for t in range(episode.length):
            step = again.step(episode.action[t : t + 1])
            assert step.reward[0] == episode.reward[t]
            seen.append({name: value.copy() for name, value in step.observation.items()})
        for name, values in episode.observation.items():
            np.testing.assert_array_equal(values, np.concatenate([at[name] for at in seen]))


def test_without_noise_the_script_acts_as_it_does_elsewhere():
    env = GraspBatch(EnvConfig(name="grasp/cube", episode_steps=4), 1)
    [episode] = play(env, scripted_intent, 0.0, [5], "scripted")
    observation = {name: values[:-1] for name, values in episode.observation.items()}
    expected = scripted_actions(observation, 0.0, np.random.default_rng(0))
    np.testing.assert_array_equal(episode.action, expected)


def test_noise_is_added_before_the_actions_are_clipped():
    env = ReachBatch(3)
    noisy = play(env, lambda observation: np.full((3, 2), 9.0), 0.5, [3, 4, 5], "p")
    assert all((episode.action == 1).all() for episode in noisy)
    moved = play(env, lambda observation: np.zeros((3, 2)), 0.5, [3, 4, 5], "p")
    assert 0.2 < np.concatenate([episode.action for episode in moved]).std() < 0.6


def test_seeds_are_never_those_of_evaluation_and_do_not_depend_on_where_a_recording_went_on():
    numbers = episode_seeds(3, 0, 50)
    assert min(numbers) >= seeds.EVALUATION_SEEDS
    assert len(set(numbers)) == 50
    assert numbers[20:] == episode_seeds(3, 20, 30)
    assert numbers != episode_seeds(4, 0, 50)
