"""Tests that any environment gets for nothing: inherit, define `build`, and pytest runs them.

`class TestMine(EnvironmentConformance): def build(self): return make("mine/one")`, and likewise BatchConformance.
"""

import dm_env
import numpy as np
import pytest

from robo_rl.envs import BatchedEnvironment, Environment
from robo_rl.specs import EnvSpec

STEPS = 12


def random_action(spec: EnvSpec, seed: int, *leading: int) -> np.ndarray:
    """An action `[*leading, A]` in [-1, 1]; the same for the same seed."""
    return np.random.default_rng(seed).uniform(-1, 1, (*leading, *spec.action.shape)).astype(np.float32)


def episode(environment: Environment, seed: int, steps: int = STEPS) -> list[dm_env.TimeStep]:
    """At most the first `steps` steps of the episode of `seed`, under actions that the seed decides."""
    environment.seed_episode(seed)
    timesteps = [environment.reset()]
    while not timesteps[-1].last() and len(timesteps) <= steps:
        timesteps.append(environment.step(random_action(environment.spec, 1000 * seed + len(timesteps))))
    return timesteps


def assert_observation(spec: EnvSpec, observation: dict[str, np.ndarray], *leading: int) -> None:
    """Names, order, shapes, types and finiteness as `spec` says, behind `leading` axes."""
    assert list(observation) == list(spec.observation) == sorted(spec.observation)
    for name, array in spec.observation.items():
        assert len(array.shape) >= 1, name
        assert isinstance(observation[name], np.ndarray), name
        assert observation[name].shape == (*leading, *array.shape), name
        assert observation[name].dtype == array.dtype, name
        assert np.isfinite(observation[name]).all(), name


def assert_same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], name)


def differ(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    return any(not np.array_equal(left[name], right[name]) for name in left)


class EnvironmentConformance:
    """What `Environment` promises. `build` returns a new one, whose episodes last more than STEPS steps."""

    def build(self) -> Environment:
        raise NotImplementedError

    @pytest.fixture
    def environment(self):
        environment = self.build()
        yield environment
        environment.close()

    def test_spec_survives_json_and_is_sane(self, environment):
        spec = environment.spec
        assert EnvSpec.from_json(spec.to_json()) == spec
        assert (spec.action.minimum, spec.action.maximum) == (-1.0, 1.0)
        assert len(spec.action.shape) == 1
        assert spec.episode_steps > STEPS
        assert spec.env_steps_per_step >= 1
        assert 0 < spec.control_hz <= 1000

    def test_dm_env_specs_agree_with_the_spec(self, environment):
        action_spec = environment.action_spec()
        assert action_spec.shape == environment.spec.action.shape
        assert (action_spec.minimum == -1).all()
        assert (action_spec.maximum == 1).all()
        first = environment.reset()
        for name, array in environment.observation_spec().items():
            array.validate(first.observation[name])

    def test_steps_have_the_promised_form(self, environment):
        timesteps = episode(environment, 1)
        assert timesteps[0].first()
        assert timesteps[0].reward is None
        assert timesteps[0].discount is None
        low, high = environment.spec.reward_bounds or (-np.inf, np.inf)
        for timestep in timesteps[1:]:
            assert timestep.mid()
            assert low <= timestep.reward <= high
            assert timestep.discount == 1.0
        for timestep in timesteps:
            assert_observation(environment.spec, timestep.observation)

    def test_same_seed_same_episode_whatever_ran_before(self, environment):
        expected = episode(environment, 5)
        episode(environment, 6, steps=3)
        environment.reset()
        other = self.build()
        for again in (episode(environment, 5), episode(other, 5)):
            for left, right in zip(expected, again, strict=True):
                assert_same(left.observation, right.observation)
                assert (left.reward, left.discount, left.step_type) == (right.reward, right.discount, right.step_type)
        other.close()

    def test_different_seeds_different_episodes(self, environment):
        first, second = (episode(environment, seed, steps=0)[0].observation for seed in (1, 2))
        assert differ(first, second)

    def test_actions_matter(self, environment):
        ends = []
        for action in (-1.0, 1.0):
            environment.seed_episode(3)
            environment.reset()
            for _ in range(3):
                end = environment.step(np.full(environment.spec.action.shape, action, np.float32))
            ends.append(end.observation)
        assert differ(*ends)

    def test_an_observation_stays_as_it_was_when_time_goes_on(self, environment):
        first = environment.reset().observation
        kept = {name: array.copy() for name, array in first.items()}
        environment.step(random_action(environment.spec, 0))
        assert_same(first, kept)

    def test_an_episode_ends_at_its_limit_unless_it_terminates(self, environment):
        end = episode(environment, 1, steps=environment.spec.episode_steps)
        assert end[-1].last()
        assert [timestep for timestep in end[1:-1] if not timestep.mid()] == []
        assert end[-1].discount == (1.0 if len(end) - 1 == environment.spec.episode_steps else 0.0)
        assert environment.step(random_action(environment.spec, 0)).first()

    def test_a_step_before_a_reset_resets(self, environment):
        environment.seed_episode(4)
        assert environment.step(random_action(environment.spec, 0)).first()

    def test_bad_actions_are_refused(self, environment):
        environment.reset()
        size = environment.spec.action.shape[0]
        with pytest.raises(ValueError, match="shape"):
            environment.step(np.zeros(size + 1, np.float32))
        bad = np.zeros(size, np.float32)
        bad[0] = np.nan
        with pytest.raises(ValueError, match="finite"):
            environment.step(bad)

    def test_success_is_a_plain_bool(self, environment):
        episode(environment, 2, steps=2)
        assert environment.success() in (True, False)
        assert environment.spec.has_success or not environment.success()


class BatchConformance:
    """What `BatchedEnvironment` promises. `build` returns a new one of `num_envs`, with episodes longer than STEPS."""

    def build(self, num_envs: int) -> BatchedEnvironment:
        raise NotImplementedError

    @pytest.fixture
    def batch(self):
        batch = self.build(3)
        yield batch
        batch.close()

    def rollout(self, batch: BatchedEnvironment, seeds: list[int], watch: int) -> list[dict[str, np.ndarray]]:
        """Observations of simulation `watch` while all run; its actions depend on its own seed only."""
        rows = [{name: array[watch] for name, array in batch.reset(range(batch.num_envs), seeds).items()}]
        for step in range(STEPS):
            actions = random_action(batch.spec, 77 + step + sum(seeds), batch.num_envs)
            actions[watch] = random_action(batch.spec, 1000 * seeds[watch] + step)
            rows.append({name: array[watch] for name, array in batch.step(actions).observation.items()})
        return rows

    def test_steps_have_the_promised_form(self, batch):
        assert_observation(batch.spec, batch.reset([0, 1, 2], [1, 2, 3]), 3)
        step = batch.step(random_action(batch.spec, 0, 3))
        assert_observation(batch.spec, step.observation, 3)
        for array, dtype in ((step.reward, "float32"), (step.discount, "float32"), (step.last, "bool")):
            assert (array.shape, array.dtype) == ((3,), np.dtype(dtype))
        assert (step.success.shape, step.success.dtype) == ((3,), np.dtype(bool))
        assert (step.discount == 1).all()
        assert not step.last.any()

    def test_an_episode_depends_on_its_seed_and_actions_alone(self, batch):
        alone = self.build(1)
        expected = self.rollout(alone, [9], watch=0)
        alone.close()
        for seeds, watch in (([9, 1, 2], 0), ([3, 4, 9], 2)):
            for left, right in zip(expected, self.rollout(batch, seeds, watch), strict=True):
                assert_same(left, right)

    def test_some_are_reset_while_the_others_go_on(self, batch):
        untouched = self.build(3)
        for one in (batch, untouched):
            one.reset([0, 1, 2], [1, 2, 3])
            one.step(random_action(one.spec, 0, 3))
        observation = batch.reset([1], [20])
        assert_observation(batch.spec, observation, 1)
        left, right = (one.step(random_action(one.spec, 1, 3)).observation for one in (batch, untouched))
        for index, same in ((0, True), (1, False), (2, True)):
            rows = [{name: array[index] for name, array in side.items()} for side in (left, right)]
            assert differ(*rows) is not same
        untouched.close()

    def test_stepping_before_every_reset_is_refused(self, batch):
        batch.reset([0, 2], [1, 2])
        with pytest.raises(ValueError, match=r"\b1\b"):
            batch.step(np.zeros((3, *batch.spec.action.shape), np.float32))

    def test_bad_actions_are_refused(self, batch):
        batch.reset([0, 1, 2], [1, 2, 3])
        size = batch.spec.action.shape[0]
        for shape in ((3, size + 1), (2, size), (size,)):
            with pytest.raises(ValueError, match="shape"):
                batch.step(np.zeros(shape, np.float32))
        bad = np.zeros((3, size), np.float32)
        bad[2, 0] = np.inf
        with pytest.raises(ValueError, match=r"\b2\b.*finite"):
            batch.step(bad)

    def test_bad_indices_are_refused(self, batch):
        for indices, seeds in (([0, 0], [1, 2]), ([3], [1]), ([-1], [1]), ([0, 1], [1])):
            with pytest.raises(ValueError):
                batch.reset(indices, seeds)
