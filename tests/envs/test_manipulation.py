"""The Jaco tasks of dm_control behind the project's face."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from robo_rl.config import EnvConfig
from robo_rl.envs import make, names
from robo_rl.errors import UserError
from tests.envs.conformance import EnvironmentConformance, assert_same, episode

ROOT = Path(__file__).parents[2]


class TestReach(EnvironmentConformance):
    def build(self):
        return make(EnvConfig(name="manipulation/reach_site_features", action_repeat=2), seed=0)

    def test_the_time_limit_is_ten_seconds(self, environment):
        spec = environment.spec
        assert (spec.episode_steps, spec.env_steps_per_step) == (125, 2)
        assert spec.episode_steps / spec.control_hz == pytest.approx(10.0)

    def test_a_time_limit_is_no_termination(self, environment):
        environment.reset()
        timesteps = [environment.step(np.zeros(9)) for _ in range(125)]
        assert [timestep.last() for timestep in timesteps] == [False] * 124 + [True]
        assert timesteps[-1].discount == 1.0

    def test_actions_reach_the_bounds_of_the_actuators(self, environment):
        bounds = environment._inner.action_spec()
        assert (bounds.minimum != -1).any()  # else this task shows nothing
        environment.reset()
        for action, expected in ((-1.0, bounds.minimum), (1.0, bounds.maximum)):
            environment.step(np.full(9, action))
            np.testing.assert_allclose(environment._inner.physics.control(), expected, rtol=1e-12)

    def test_success_is_the_full_reward_of_the_last_env_step(self, environment):
        task = environment._inner.task
        environment.reset()
        for reward, solved in ((1.0, True), (0.9999, False), (1.0, True)):
            task.get_reward = lambda physics, reward=reward: reward
            environment.step(np.zeros(9))
            assert environment.success() is solved
        environment.reset()
        assert not environment.success()

    def test_shadows_stay_off_when_the_model_is_compiled_anew(self, environment):
        environment.reset()
        assert environment._inner.physics.model.vis.quality.shadowsize == 0

    def test_observations_have_no_buffer_axis(self, environment):
        assert environment.spec.observation["jaco_arm/joints_pos"].shape == (6, 2)


def test_names_cover_the_family():
    from dm_control import manipulation

    assert {f"manipulation/{name}" for name in manipulation.ALL} <= set(names())


def test_the_order_of_bricks_does_not_leak_into_the_next_seeded_episode():
    used = make("manipulation/reassemble_5_bricks_random_order_features", seed=0)
    fresh = make("manipulation/reassemble_5_bricks_random_order_features", seed=0)
    for seed in range(1, 4):
        episode(used, seed, steps=0)
    assert_same(episode(used, 9, steps=0)[0].observation, episode(fresh, 9, steps=0)[0].observation)
    np.testing.assert_array_equal(used._inner.task._initial_order, fresh._inner.task._initial_order)


def test_importing_composer_leaves_the_callers_warnings_alone():
    code = (
        "import warnings; from robo_rl.envs import names; names(); import dm_control.composer;"
        "assert ('always', None, DeprecationWarning, None, 0) not in warnings.filters, warnings.filters"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.environ.get("MUJOCO_GL") != "disabled", reason="asks what happens without a renderer")
def test_a_vision_task_without_a_renderer_is_explained():
    with pytest.raises(UserError, match=r"manipulation/reach_site_vision needs OpenGL.*MUJOCO_GL"):
        make("manipulation/reach_site_vision")


VISION = """
import sys
from robo_rl.envs import make
from robo_rl.errors import UserError
try:
    environment = make("manipulation/reach_site_vision", seed=0)
except UserError as error:
    print(error)
    sys.exit(77)
image = environment.spec.observation["front_close"]
assert (image.shape, image.dtype) == ((84, 84, 3), "uint8"), image
observation = environment.reset().observation["front_close"]
assert observation.dtype == "uint8" and observation.std() > 5
assert environment.render(48, 64).std() > 5
environment.close()
"""


def test_vision_observations_are_images():
    done = subprocess.run(
        [sys.executable, "-c", VISION],
        cwd=ROOT,
        env={**os.environ, "MUJOCO_GL": "egl", "LP_NUM_THREADS": "0"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(f"this machine has no EGL: {done.stdout}")
    assert done.returncode == 0, done.stderr
