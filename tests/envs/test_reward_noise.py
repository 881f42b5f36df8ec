"""Reward noise: what it adds, that it repeats, and where it must not be."""

import numpy as np
import pytest

from robo_rl.config import EnvConfig, EvaluationConfig
from robo_rl.envs import make, make_batched
from robo_rl.envs.reward_noise import RewardNoise, amounts
from robo_rl.errors import ConfigError
from robo_rl.experiment import build, check
from robo_rl.fleet.suite import parse_suite
from tests.envs.conformance import BatchConformance, random_action
from tests.roles.parts import tiny
from tests.toys import SPEC, toy_family

SIZE = 0.3


@pytest.fixture(autouse=True, scope="module")
def _toys():
    with toy_family():
        yield


class TestNoisyCartpole(BatchConformance):
    def build(self, num_envs):
        return make_batched(EnvConfig(name="suite/cartpole-swingup", reward_noise=SIZE), num_envs)


def rewards(config, seeds, steps=8):
    """Rewards `[steps, N]` of the episodes of `seeds`, all under the same actions."""
    batch = make_batched(config, len(seeds))
    batch.reset(range(len(seeds)), seeds)
    actions = [random_action(batch.spec, step) for step in range(steps)]
    found = [batch.step(np.stack([action] * len(seeds))).reward for action in actions]
    batch.close()
    return np.array(found)


def toy(size):
    return EnvConfig(name="toy/reach", reward_noise=size)


@pytest.mark.parametrize("name", ["toy/reach", "suite/cartpole-swingup", "grasp/cube"])
def test_every_step_of_every_family_gets_its_own_amount_and_nothing_else_changes(name):
    plain, noisy = (rewards(EnvConfig(name=name, reward_noise=size), [4, 5, 9]) for size in (0.0, SIZE))
    added = noisy - plain
    assert noisy.dtype == np.float32
    assert (added > -1e-6).all()
    assert (added < SIZE + 1e-6).all()
    assert len(np.unique(added.round(6))) == added.size
    for i, seed in enumerate([4, 5, 9]):
        np.testing.assert_allclose(added[:, i], amounts(seed, SIZE, 100)[: len(added)], atol=1e-6)


def test_the_amounts_are_uniform_and_their_mean_is_half_the_size():
    drawn = np.concatenate([amounts(seed, 2.0, 50) for seed in range(200)])
    counts, _ = np.histogram(drawn, bins=10, range=(0, 2))
    assert drawn.mean() == pytest.approx(1.0, abs=0.02)
    assert counts.min() > 850
    assert counts.max() < 1150


def test_an_amount_depends_on_seed_and_step_alone():
    np.testing.assert_array_equal(amounts(7, 1.0, 20)[:5], amounts(7, 1.0, 5))
    np.testing.assert_allclose(amounts(7, 3.0, 5), 3 * amounts(7, 1.0, 5), rtol=1e-6)
    np.testing.assert_array_equal(rewards(toy(SIZE), [3, 5])[:, 1], rewards(toy(SIZE), [5])[:, 0])


def test_a_batch_that_fell_out_of_step_draws_by_each_simulations_own_age():
    batch = make_batched(toy(SIZE), 2)
    batch.reset([0, 1], [3, 5])
    action = random_action(batch.spec, 0, 2)
    batch.step(action)
    batch.reset([1], [5])
    again = batch.step(action)
    plain = make_batched(toy(0.0), 1)
    plain.reset([0], [5])
    assert again.reward[1] == plain.step(action[1:]).reward[0] + amounts(5, SIZE, 1)[0]


def test_the_bounds_of_the_reward_make_room_for_it():
    assert make_batched(toy(SIZE), 1).spec.reward_bounds == (0.0, 1.0 + SIZE)
    unbounded = EnvConfig(name="suite/lqr-lqr_2_1", reward_noise=SIZE)
    assert make_batched(unbounded, 1).spec.reward_bounds is None


def test_without_noise_there_is_no_wrapper():
    assert not isinstance(make_batched(toy(0.0), 1), RewardNoise)
    with pytest.raises(ValueError, match="above 0"):
        RewardNoise(make_batched(toy(0.0), 1), 0.0)


def test_training_has_it_and_evaluation_has_not():
    experiment = build(tiny(toy(SIZE), evaluation=EvaluationConfig(envs=2)))
    assert experiment.spec == check(experiment.config)
    assert experiment.training_env().spec.reward_bounds == experiment.spec.reward_bounds == (0.0, 1.0 + SIZE)
    assert experiment.evaluation_env().spec == SPEC


def test_one_environment_by_itself_refuses_it():
    with pytest.raises(ConfigError, match=r"env\.reward_noise is 0\.3.*make_batched"):
        make(toy(SIZE))


def test_a_suite_of_evaluations_refuses_it():
    with pytest.raises(ConfigError, match=r"noisy\.env\.reward_noise is 0\.3.*true ones"):
        parse_suite({"name": "own", "task": "*", "variations": {"noisy": {"env": {"reward_noise": SIZE}}}}, "own.yaml")


def test_with_noise_every_step_may_pay():
    spec = make_batched(EnvConfig(name="grasp/cube", reward="final", reward_noise=1.0), 1).spec
    assert (spec.reward_bounds, spec.pays_once) == ((0.0, 2.0), False)
