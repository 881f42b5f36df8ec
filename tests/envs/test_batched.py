"""The generic batch: a loop over any environment."""

import numpy as np
import pytest

from robo_rl.config import EnvConfig
from robo_rl.envs import make, make_batched
from robo_rl.envs.adapters import SimulationError
from robo_rl.envs.batched import BatchLoop
from tests.envs.conformance import BatchConformance, assert_same, random_action


class TestCheetahBatch(BatchConformance):
    def build(self, num_envs):
        return make_batched(EnvConfig(name="suite/cheetah-run", action_repeat=2), num_envs)


class TestReachBatch(BatchConformance):
    def build(self, num_envs):
        return make_batched(EnvConfig(name="manipulation/reach_site_features"), num_envs)


def short_batch(num_envs: int, episode_steps: int = 3) -> BatchLoop:
    config = EnvConfig(name="suite/cartpole-swingup", episode_steps=episode_steps)
    return BatchLoop([make(config) for _ in range(num_envs)])


def test_a_batch_plays_the_episodes_of_the_single_environment():
    batch, single = short_batch(2), make(EnvConfig(name="suite/cartpole-swingup", episode_steps=3))
    observation = batch.reset([0, 1], [5, 6])
    single.seed_episode(6)
    assert_same({name: array[1] for name, array in observation.items()}, single.reset().observation)
    for step in range(3):
        actions = random_action(batch.spec, step, 2)
        result, timestep = batch.step(actions), single.step(actions[1])
        assert_same({name: array[1] for name, array in result.observation.items()}, timestep.observation)
        assert result.reward[1] == np.float32(timestep.reward)
        assert result.discount[1] == timestep.discount
        assert result.last[1] == timestep.last()


def test_an_ended_simulation_must_be_reset_before_the_next_step():
    batch = short_batch(3)
    batch.reset([0, 1, 2], [1, 2, 3])
    actions = np.zeros((3, 1), np.float32)
    batch.step(actions)
    batch.reset([1], [4])  # one episode is now a step behind the others
    batch.step(actions)
    step = batch.step(actions)
    assert step.last.tolist() == [True, False, True]
    assert step.discount.tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match=r"\[0, 2\] ended"):
        batch.step(actions)
    batch.reset([2, 0], [7, 8])
    assert batch.step(actions).last.tolist() == [False, True, False]


def test_resetting_none_is_allowed():
    observation = short_batch(2).reset([], [])
    assert {name: array.shape for name, array in observation.items()} == {"position": (0, 3), "velocity": (0, 2)}


def test_success_counts_only_at_the_end_of_an_episode(monkeypatch):
    batch = short_batch(2, episode_steps=2)
    for environment in batch._environments:
        monkeypatch.setattr(environment, "success", lambda: True)
    batch.reset([0, 1], [1, 2])
    assert not batch.step(np.zeros((2, 1))).success.any()
    assert batch.step(np.zeros((2, 1))).success.all()


def test_an_error_names_the_simulation_and_stops_all():
    batch = short_batch(3)
    batch.reset([0, 1, 2], [1, 2, 3])
    batch._environments[1]._inner.physics.data.qvel[:] = np.nan
    with pytest.raises(SimulationError) as caught:
        batch.step(np.zeros((3, 1)))
    assert "simulation 1 of 3" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match=r"\[0, 1, 2\]"):
        batch.step(np.zeros((3, 1)))
    batch.reset([0, 1, 2], [1, 2, 3])
    assert np.isfinite(batch.step(np.zeros((3, 1))).reward).all()


def test_an_empty_or_mixed_batch_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        BatchLoop([])
    with pytest.raises(ValueError, match="one spec"):
        BatchLoop([make("suite/cartpole-swingup"), make("suite/cartpole-balance")])
