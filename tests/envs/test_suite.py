"""The dm_control suite behind the project's face."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from robo_rl.config import EnvConfig
from robo_rl.envs import make, names
from robo_rl.envs.adapters import SimulationError, action_scaling, loaded
from robo_rl.errors import ConfigError, UserError
from tests.envs.conformance import EnvironmentConformance, assert_same, episode


def build(name: str, **fields):
    return make(EnvConfig(name=name, **fields), seed=0)


class TestCartpole(EnvironmentConformance):
    def build(self):
        return build("suite/cartpole-swingup")


class TestCheetahWithRepeat(EnvironmentConformance):
    def build(self):
        return build("suite/cheetah-run", action_repeat=4)


class TestBallInCup(EnvironmentConformance):
    def build(self):
        return build("suite/ball_in_cup-catch")


class TestFingerWithScalarObservation(EnvironmentConformance):
    def build(self):
        return build("suite/finger-turn_hard")

    def test_a_scalar_becomes_rank_one(self, environment):
        assert environment.spec.observation["dist_to_target"].shape == (1,)


class TestManipulatorWithMatrixObservation(EnvironmentConformance):
    def build(self):
        return build("suite/manipulator-bring_ball", episode_steps=20)

    def test_a_matrix_is_not_flattened(self, environment):
        assert environment.spec.observation["arm_pos"].shape == (8, 2)


class TestLqrWithoutBounds(EnvironmentConformance):
    def build(self):
        return build("suite/lqr-lqr_2_1")

    def test_its_reward_has_no_lower_bound(self, environment):
        assert environment.spec.reward_bounds is None


def run_out(environment) -> tuple[list[float], float]:
    """Rewards of one episode under zero actions, and the discount of its LAST step."""
    environment.reset()
    rewards = []
    while True:
        timestep = environment.step(np.zeros(environment.spec.action.shape, np.float32))
        rewards.append(timestep.reward)
        if timestep.last():
            return rewards, timestep.discount


def test_names_cover_the_whole_suite():
    from dm_control import suite

    known = set(names())
    assert {f"suite/{domain}-{task}" for domain, task in suite.ALL_TASKS} <= known
    assert {"suite/ball_in_cup-catch", "suite/humanoid_CMU-walk"} <= known


@pytest.mark.parametrize("name", ["suite/cartpole-balance", "suite/reacher-easy", "suite/point_mass-easy"])
def test_a_time_limit_is_no_termination(name):
    rewards, discount = run_out(build(name))
    assert len(rewards) == 1000
    assert discount == 1.0


@pytest.mark.parametrize(("domain", "task"), [("cartpole", "swingup"), ("fish", "swim"), ("humanoid", "run")])
def test_our_time_limit_is_that_of_dm_control(domain, task):
    from dm_control import suite

    reference = suite.load(domain, task)
    reference.reset()
    steps = 0
    while True:
        steps += 1
        if reference.step(np.zeros(reference.action_spec().shape)).last():
            break
    assert steps == build(f"suite/{domain}-{task}").spec.episode_steps == 1000


def test_only_a_real_end_has_discount_zero():
    environment = build("suite/lqr-lqr_2_1")
    environment.reset()
    assert environment.step(np.zeros(1)).mid()
    with environment._inner.physics.reset_context():
        environment._inner.physics.data.qpos[:] = 0.0
    end = environment.step(np.zeros(1))
    assert end.last()
    assert end.discount == 0.0
    assert environment.step(np.zeros(1)).first()


def test_action_repeat_sums_rewards_and_counts_control_steps():
    once, thrice = build("suite/cartpole-balance"), build("suite/cartpole-balance", action_repeat=3)
    for environment in (once, thrice):
        environment.seed_episode(4)
    single, _ = run_out(once)
    summed, discount = run_out(thrice)
    # 1000 env steps are 333 control steps of three and a last one of a single env step.
    assert len(summed) == thrice.spec.episode_steps == 334
    assert thrice.spec.env_steps_per_step == 3
    assert thrice.spec.control_hz == pytest.approx(once.spec.control_hz / 3)
    np.testing.assert_allclose(summed, [sum(single[start : start + 3]) for start in range(0, 1000, 3)], rtol=1e-12)
    assert discount == 1.0
    assert thrice.spec.reward_bounds == (0.0, 3.0)


def test_a_configured_limit_truncates():
    rewards, discount = run_out(build("suite/cartpole-balance", action_repeat=2, episode_steps=7))
    assert len(rewards) == 7
    assert discount == 1.0


def test_a_limit_beyond_the_task_is_refused():
    with pytest.raises(ConfigError, match=r"episode_steps is 501.*at most 500"):
        build("suite/cartpole-balance", action_repeat=2, episode_steps=501)


def test_actions_reach_the_bounds_of_the_actuators():
    environment = build("suite/quadruped-walk")
    bounds = environment._inner.action_spec()
    assert bounds.minimum.max() > -1  # else this task shows nothing
    environment.reset()
    for action, expected in ((-1.0, bounds.minimum), (1.0, bounds.maximum), (9.0, bounds.maximum)):
        environment.step(np.full(12, action, np.float32))
        np.testing.assert_allclose(environment._inner.physics.control(), expected, rtol=1e-12)


def test_unbounded_actuators_take_the_action_as_it_is():
    environment = build("suite/lqr-lqr_6_2")
    middle, half_width = action_scaling(environment._inner.action_spec())
    assert middle.tolist() == [0.0, 0.0]
    assert half_width.tolist() == [1.0, 1.0]


def test_the_episode_is_the_one_dm_control_would_play():
    from dm_control import suite

    environment = build("suite/reacher-hard")
    reference = suite.load("reacher", "hard")
    stream = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(11)))
    reference.task.random.set_state(stream.get_state())
    environment.seed_episode(11)
    left, right = environment.reset(), reference.reset()
    for _ in range(5):
        for name, value in right.observation.items():
            np.testing.assert_array_equal(left.observation[name], np.float32(value))
        left, right = environment.step(np.full(2, 0.5)), reference.step(np.full(2, 0.5))
        assert left.reward == right.reward


def test_the_seed_of_make_decides_the_first_episode():
    def first(seed):
        return make("suite/reacher-easy", seed=seed).reset().observation

    assert_same(first(3), first(3))
    assert not np.array_equal(first(3)["position"], first(4)["position"])
    assert not np.array_equal(first(None)["position"], first(None)["position"])


def test_seeds_may_be_large_but_not_negative():
    environment = build("suite/reacher-easy")
    assert len(episode(environment, 2**63)) > 1
    with pytest.raises(ValueError, match="-1"):
        environment.seed_episode(-1)


def test_no_renderer_is_made_for_state(monkeypatch):
    from dm_control.mujoco import engine

    made = []
    monkeypatch.setattr(engine.Physics, "_make_rendering_contexts", lambda self: made.append(self))
    environment = build("suite/cheetah-run")
    episode(environment, 0)
    episode(environment, 1)
    assert made == []
    assert environment._inner.physics.contexts is None  # asks for contexts, so the counter can count
    assert len(made) == 1


def test_divergence_says_where():
    environment = build("suite/cartpole-swingup")
    environment.seed_episode(8)
    environment.reset()
    environment.step(np.zeros(1))
    environment._inner.physics.data.qvel[:] = np.nan
    with pytest.raises(SimulationError, match=r"suite/cartpole-swingup.*env step 2 .*seed 8"):
        environment.step(np.zeros(1))
    assert environment.step(np.zeros(1)).first()


@pytest.mark.skipif(os.environ.get("MUJOCO_GL") != "disabled", reason="asks what happens without a renderer")
def test_a_missing_renderer_is_explained():
    environment = build("suite/cartpole-swingup")
    environment.reset()
    for ask in (environment.render, lambda: build("suite/quadruped-escape")):
        with pytest.raises(UserError, match=r"MUJOCO_GL.*egl.*apt-get install libegl1 libgl1-mesa-dri"):
            ask()


@pytest.mark.parametrize(
    "error",
    [
        ImportError("Cannot initialize a EGL device display."),
        AttributeError("'NoneType' object has no attribute 'glGetError'"),
        AttributeError("'MjrContext' object has no attribute '_ptr'"),
        RuntimeError("No OpenGL rendering backend is available."),
        Exception("an OpenGL platform library has not been loaded into this process"),
    ],
)
def test_the_failures_of_every_back_end_are_explained(error):
    def load():
        raise error

    with pytest.raises(UserError, match="MUJOCO_GL") as caught:
        loaded("suite/cheetah-run", load)
    assert str(error) in str(caught.value)
    assert caught.value.__cause__ is error


def test_errors_that_are_not_about_graphics_pass_unchanged():
    def load():
        raise RuntimeError("mass is negligible")

    with pytest.raises(RuntimeError, match="negligible"):
        loaded("suite/cheetah-run", load)


RENDER = """
import sys
from robo_rl.envs import make
from robo_rl.errors import UserError
try:
    for name in sys.argv[1:]:
        environment = make(name, seed=0)
        environment.reset()
        frame = environment.render(48, 64)
        assert frame.shape == (48, 64, 3) and frame.dtype == "uint8" and frame.std() > 5, (frame.shape, frame.std())
        environment.close()
except UserError as error:
    print(error)
    sys.exit(77)
"""


def test_frames_show_something():
    # In a process of its own: the tests run without OpenGL, and the choice is made at import. One thread of llvmpipe.
    variables = {**os.environ, "MUJOCO_GL": "egl", "LP_NUM_THREADS": "0"}
    done = subprocess.run(
        [sys.executable, "-c", RENDER, "suite/cheetah-run", "suite/lqr-lqr_2_1", "suite/quadruped-escape"],
        cwd=Path(__file__).parents[2],
        env=variables,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(f"this machine has no EGL: {done.stdout}")
    assert done.returncode == 0, done.stderr


def test_users_hear_nothing_about_old_attributes_in_the_models_of_dm_control(caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        build("suite/cheetah-run")
        assert caplog.messages == []
        logging.getLogger("absl").warning("of another kind")
        assert caplog.messages == ["of another kind"]
