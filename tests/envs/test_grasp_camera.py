import os
import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest

from robo_rl import render
from robo_rl.config import EnvConfig, VariationConfig
from robo_rl.envs.grasp_batch import GraspBatch
from robo_rl.envs.grasp_scene import OBSERVING_CAMERA, build_model
from robo_rl.envs.grasp_variation import moved_camera
from robo_rl.errors import ConfigError, UserError

ROOT = Path(__file__).resolve().parents[2]
CAMERA = EnvConfig(name="grasp/cube", observation="camera")

# One process for all that needs OpenGL: MUJOCO_GL is read when mujoco is imported, and a context is slow to make.
LOOK = """
import numpy as np
from robo_rl.config import EnvConfig
from robo_rl.envs.grasp import make_grasp
from robo_rl.envs.grasp_batch import GraspBatch

def play(config, size, index, film=False):
    env = GraspBatch(config, size)
    seeds = [100 + i for i in range(size)]
    seeds[index] = 5
    shown = [env.reset(range(size), seeds)]
    rng = np.random.default_rng(0)
    for _ in range(4):
        if film:
            env.render(index, 48, 64)
        actions = np.tile(rng.uniform(-1, 1, 5), (size, 1))
        shown.append(env.step(actions).observation)
    state = env.true_state()
    env.close()
    return [{name: array[index] for name, array in step.items()} for step in shown], state

def same(one, other):
    return all((a[name] == b[name]).all() for a, b in zip(one, other, strict=True) for name in a)

for name in ("grasp/cube", "grasp/objects"):
    config = EnvConfig(name=name, observation="camera", camera_size=48)
    alone, state = play(config, 1, 0)
    assert alone[0]["camera"].shape == (48, 48, 3) and alone[0]["camera"].dtype == np.uint8
    assert alone[0]["camera"].std() > 20, "the picture is empty"
    assert (alone[0]["camera"] != alone[4]["camera"]).any(), "the picture stands still"
    assert same(alone, play(config, 1, 0)[0]), "the same seed and actions look different"
    assert same(alone, play(config, 4, 2)[0]), "an episode looks different in a batch"
    assert same(alone, play(config, 1, 0, film=True)[0]), "a film changes what the policy sees"
    spec = GraspBatch(config, 1).spec.observation
    for step in alone:
        assert {n: (a.shape, str(a.dtype)) for n, a in step.items()} == {n: (s.shape, s.dtype) for n, s in spec.items()}
    height = alone[4]["gripper_height"][0]
    assert abs(height - state["gripper_position"][0, 2]) < 1e-6
    moved = config.model_copy(update={"variation": config.variation.model_copy(update={"camera_shift": 0.03})})
    shaken = play(moved, 1, 0)[0]
    assert (shaken[0]["camera"] != alone[0]["camera"]).any() and same(shaken, play(moved, 3, 1)[0])
    assert (shaken[4]["gripper_height"] == alone[4]["gripper_height"]).all(), "the camera moves the arm"

one = make_grasp(EnvConfig(name="grasp/cube", observation="camera", camera_size=48))
one.seed_episode(5)
step = one.reset()
for name, spec in one.observation_spec().items():
    spec.validate(step.observation[name])
empty = GraspBatch(config, 2)
assert empty.reset([], [])["camera"].shape == (0, 48, 48, 3)
print("seen")
"""


@pytest.mark.slow
def test_images_follow_from_seed_and_actions_alone():
    backend = render.usable_gl_backend()
    if backend is None:
        pytest.skip("nothing renders on this machine")
    environment = {**os.environ, "MUJOCO_GL": backend, "LP_NUM_THREADS": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOOK], env=environment, capture_output=True, text=True, timeout=250
    )
    assert done.stdout.strip() == "seen", done.stderr
    assert done.stderr == "", "a renderer was left to the interpreter's end"


def test_the_policy_is_shown_nothing_of_the_object_but_pixels():
    spec = GraspBatch(CAMERA, 1).spec
    assert list(spec.observation) == ["camera", "gripper_height", "gripper_opening"]
    camera = spec.observation["camera"]
    assert (camera.shape, camera.dtype, camera.minimum, camera.maximum) == ((64, 64, 3), "uint8", 0, 255)


@pytest.mark.skipif(os.environ.get("MUJOCO_GL") != "disabled", reason="asks what happens without a renderer")
def test_without_a_renderer_the_first_episode_says_what_to_do():
    env = GraspBatch(CAMERA, 1)
    with pytest.raises(UserError, match=r"Cannot draw.*MUJOCO_GL=egl"):
        env.reset([0], [0])


@pytest.mark.parametrize(
    ("observation", "field"),
    [("state", "camera_shift"), ("state", "camera_turn"), ("camera", "angle_noise"), ("camera", "velocity_noise")],
)
def test_a_variation_of_what_is_not_observed_is_refused(observation, field):
    config = EnvConfig(name="grasp/objects", observation=observation, variation=VariationConfig(**{field: 0.01}))
    with pytest.raises(ConfigError, match=rf"env.variation.{field} is 0.01.*{observation}"):
        GraspBatch(config, 1)


def test_the_camera_stands_and_turns_as_far_as_asked_in_directions_of_the_episodes_own():
    model = build_model()
    camera = model.camera(OBSERVING_CAMERA).id
    place, attitude = model.cam_pos[camera], model.cam_quat[camera]
    variation = VariationConfig(camera_shift=0.03, camera_turn=0.05)
    moved = [moved_camera(place, attitude, variation, seed) for seed in range(200)]
    shifts = np.array([position - place for position, _ in moved])
    np.testing.assert_allclose(np.linalg.norm(shifts, axis=1), 0.03, rtol=1e-6)
    assert np.linalg.norm(shifts.mean(axis=0)) < 0.01, "no direction is preferred"
    for _, quaternion in moved:
        assert 2 * np.arccos(abs(quaternion @ attitude)) == pytest.approx(0.05, rel=1e-3)
    again = moved_camera(place, attitude, variation, 7)
    np.testing.assert_array_equal(again[0], moved[7][0])
    np.testing.assert_array_equal(again[1], moved[7][1])


def test_the_moved_camera_is_the_one_of_its_simulation():
    config = CAMERA.model_copy(update={"variation": VariationConfig(camera_shift=0.03, camera_turn=0.05)})
    env = GraspBatch(config, 3)
    env._place_camera(1, 9)
    camera, model = env._camera, build_model()
    want = moved_camera(model.cam_pos[camera], model.cam_quat[camera], config.variation, 9)
    np.testing.assert_array_equal(env._batch.get_model(1).cam_pos[camera], want[0])
    np.testing.assert_array_equal(env._batch.get_model(1).cam_quat[camera], want[1])
    np.testing.assert_array_equal(env._batch.get_model(0).cam_pos[camera], model.cam_pos[camera])


def test_the_cube_is_in_the_picture_wherever_it_may_lie():
    # Projected by hand: the corners of where objects lie, on the table and lifted, stay inside the field of view.
    model = build_model()
    camera = model.camera(OBSERVING_CAMERA).id
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.cam_quat[camera])
    half = np.tan(np.deg2rad(model.cam_fovy[camera]) / 2)
    corners = np.array([(x, y, z) for x in (0.41, 0.59) for y in (-0.13, 0.13) for z in (0.02, 0.15)])
    seen = (corners - model.cam_pos[camera]) @ rotation.reshape(3, 3)
    inside = np.abs(seen[:, :2] / -seen[:, 2:]) / half
    assert inside.max() < 1
