"""Variations of the grasp task: each does what its name says, alone, and an episode still follows from its seed."""

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from robo_rl.config import Config, EnvConfig, VariationConfig
from robo_rl.envs import make, make_batched
from robo_rl.envs.grasp_batch import GraspBatch
from robo_rl.envs.grasp_objects import define_object, object_fields
from robo_rl.envs.grasp_scene import build_model
from robo_rl.envs.grasp_scripted import scripted_actions
from robo_rl.envs.grasp_task import OBSERVATION_SPEC, GraspState, observe
from robo_rl.envs.grasp_variation import Disturbances, varied_object, weaken_gripper
from robo_rl.errors import ConfigError

NOISY = {"action_noise": 0.2, "position_noise": 0.01, "angle_noise": 0.05, "velocity_noise": 0.3, "action_delay": 2}
FIELDS = [
    {"friction_scale": 0.5}, {"mass_scale": 3.0}, {"size_scale": 1.2}, {"grip_scale": 0.4}, {"action_delay": 1},
    {"action_noise": 0.1}, {"position_noise": 0.01}, {"angle_noise": 0.1}, {"velocity_noise": 0.2},
]  # fmt: skip


def batch(num_envs=2, **variation):
    return GraspBatch(EnvConfig(name="grasp/objects", variation=VariationConfig(**variation)), num_envs)


def actions(seed, num_envs=2, steps=10):
    wander = np.random.default_rng(seed).uniform(-1, 1, (steps, num_envs, 5))
    wander[..., 2] = np.clip(wander[..., 2] - 0.4, -1, 1)
    return wander


def history(env, seeds, asked):
    """Everything that the episodes of `seeds` show: observations `[steps + 1, N, 33]` and rewards `[steps, N]`."""
    frames, rewards = [env.reset(range(env.num_envs), seeds)], []
    for action in asked:
        step = env.step(action)
        frames.append(step.observation)
        rewards.append(step.reward)
    flat = [np.concatenate([frame[name] for name in sorted(frame)], axis=1) for frame in frames]
    return np.stack(flat), np.stack(rewards)


def some_states(count, seed=0):
    rng = np.random.default_rng(seed)
    quaternion = rng.standard_normal((count, 4))
    quaternion /= np.linalg.norm(quaternion, axis=1, keepdims=True)
    return GraspState(
        joints=rng.standard_normal((count, 7)),
        joint_velocities=rng.standard_normal((count, 7)),
        gripper_position=rng.standard_normal((count, 3)),
        gripper_rotation=Rotation.random(count, rng=rng).as_matrix(),
        opening=np.full(count, 0.04),
        object_pose=np.concatenate([rng.standard_normal((count, 3)), quaternion], axis=1),
        object_size=np.full((count, 3), 0.02),
        rest_height=np.full(count, 0.02),
        touching=np.ones(count, bool),
    )


def test_the_defaults_change_nothing():
    assert varied_object(define_object(3), VariationConfig()) == define_object(3)
    state, asked = some_states(3), actions(0)[0]
    plain = Disturbances(VariationConfig(), 3)
    assert plain.measured(state, range(3)) is state
    assert plain.executed(asked) is asked


@pytest.mark.parametrize("number", range(12))
def test_scales_of_the_object(number):
    plain = define_object(number)
    varied = varied_object(plain, VariationConfig(size_scale=1.3, mass_scale=2.0, friction_scale=0.5))
    np.testing.assert_allclose(varied.half_size, 1.3 * np.array(plain.half_size))
    before, after = object_fields(plain), object_fields(varied)
    np.testing.assert_allclose(after["body_mass"], 2.0 * before["body_mass"])
    np.testing.assert_allclose(after["body_inertia"], 2.0 * 1.3**2 * before["body_inertia"], rtol=1e-6)
    np.testing.assert_allclose(after["geom_friction"], before["geom_friction"] * [0.5, 1.0, 1.0])
    np.testing.assert_allclose(after["geom_pos"], 1.3 * before["geom_pos"], atol=1e-12)


def test_the_fingers_press_with_the_scaled_force():
    """The force of a finger held apart is read from the actuator itself."""
    forces = []
    for scale in (1.0, 0.25):
        model = build_model()
        weaken_gripper(model, scale)
        data = mujoco.MjData(model)
        finger = model.actuator("left_finger").id
        data.joint("left_finger").qpos[0] = 0.02
        data.ctrl[finger] = -0.012
        mujoco.mj_forward(model, data)
        forces.append(data.actuator_force[finger])
        assert model.actuator("joint1").gainprm[0] == 2500
    assert forces[0] == pytest.approx(-900 * 0.032)
    assert forces[1] == pytest.approx(0.25 * forces[0])


def test_a_delayed_action_is_the_one_asked_for_that_many_steps_ago():
    asked = actions(1)
    disturbances = Disturbances(VariationConfig(action_delay=3), 2)
    disturbances.reset([0, 1], [5, 6])
    done = np.stack([disturbances.executed(action) for action in asked])
    assert (done[:3] == 0).all()
    np.testing.assert_array_equal(done[3:], asked[:-3])
    disturbances.reset([1], [7])
    np.testing.assert_array_equal(disturbances.executed(asked[0]), [asked[-3, 0], np.zeros(5)])


def test_action_noise_has_the_deviation_it_says_and_stays_in_range():
    disturbances = Disturbances(VariationConfig(action_noise=0.1), 400)
    disturbances.reset(range(400), range(400))
    done = disturbances.executed(np.full((400, 5), 0.2))
    assert done.std() == pytest.approx(0.1, rel=0.1)
    assert done.mean() == pytest.approx(0.2, abs=0.01)
    assert np.abs(disturbances.executed(np.ones((400, 5)))).max() == 1.0


def test_measurement_noise_has_the_deviations_it_says():
    count, state = 2000, some_states(2000)
    variation = VariationConfig(position_noise=0.004, angle_noise=0.05, velocity_noise=0.3)
    disturbances = Disturbances(variation, count)
    disturbances.reset(range(count), range(count))
    seen = disturbances.measured(state, range(count))
    assert (seen.joints - state.joints).std() == pytest.approx(0.05, rel=0.1)
    assert (seen.joint_velocities - state.joint_velocities).std() == pytest.approx(0.3, rel=0.1)
    assert (seen.gripper_position - state.gripper_position).std() == pytest.approx(0.004, rel=0.1)
    assert (seen.object_pose - state.object_pose)[:, :3].std() == pytest.approx(0.004, rel=0.1)
    assert (seen.opening - state.opening).std() == pytest.approx(0.004, rel=0.1)
    true, false = (Rotation.from_quat(s.object_pose[:, 3:], scalar_first=True) for s in (state, seen))
    assert (false * true.inv()).as_rotvec().std() == pytest.approx(0.05, rel=0.1)
    turn = (
        Rotation.from_matrix(seen.gripper_rotation) * Rotation.from_matrix(state.gripper_rotation).inv()
    ).as_rotvec()
    assert turn[:, 2].std() == pytest.approx(0.05, rel=0.1)
    np.testing.assert_allclose(turn[:, :2], 0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(seen.object_pose[:, 3:], axis=1), 1.0)
    for name in ("object_size", "rest_height", "touching"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(state, name))


def test_no_noise_leaves_a_measurement_outside_what_the_spec_promises():
    disturbances = Disturbances(VariationConfig(position_noise=0.1, angle_noise=1.0), 50)
    disturbances.reset(range(50), range(50))
    shown = observe(disturbances.measured(some_states(50), range(50)))
    for name, spec in OBSERVATION_SPEC.items():
        if spec.minimum is not None and spec.maximum is not None:
            assert shown[name].min() >= spec.minimum - 1e-6, name
            assert shown[name].max() <= spec.maximum + 1e-6, name


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: next(iter(field)))
def test_every_field_is_heeded_and_repeatable(field):
    asked = actions(2)
    plain, _ = history(batch(), [11, 12], asked)
    varied, _ = history(batch(**field), [11, 12], asked)
    again, _ = history(batch(**field), [11, 12], asked)
    np.testing.assert_array_equal(varied, again)
    if field.keys() & {"friction_scale", "mass_scale", "grip_scale"}:
        return  # these show only in contact; the scripted grasps below and the tests above see them
    assert np.abs(varied - plain).max() > 1e-4


def test_an_episode_depends_on_its_seed_alone_not_on_its_neighbours():
    asked = actions(3, num_envs=3)
    three, _ = history(batch(3, **NOISY), [1, 2, 3], asked)
    one, _ = history(batch(1, **NOISY), [3], asked[:, 2:])
    np.testing.assert_allclose(one[:, 0], three[:, 2], atol=1e-5)
    env = batch(3, **NOISY)
    history(env, [7, 8, 9], asked)
    after_others, _ = history(env, [1, 2, 3], asked)
    np.testing.assert_array_equal(after_others, three)


def test_varied_episodes_begin_where_the_plain_ones_do():
    plain = batch().reset([0, 1], [4, 5])
    for field in ({"friction_scale": 0.5}, {"action_noise": 0.3}, {"action_delay": 4}, {"mass_scale": 2.0}):
        shown = batch(**field).reset([0, 1], [4, 5])
        for name in plain:
            np.testing.assert_array_equal(shown[name], plain[name])


def test_measurement_noise_does_not_change_what_is_paid():
    asked = actions(4)
    _, plain = history(batch(), [1, 2], asked)
    _, noisy = history(batch(position_noise=0.05, angle_noise=0.5, velocity_noise=1.0), [1, 2], asked)
    np.testing.assert_array_equal(plain, noisy)


def lifted(**variation):
    """How many of 6 scripted grasps of the cube succeed."""
    config = EnvConfig(name="grasp/cube", variation=VariationConfig(**variation))
    env, count = GraspBatch(config, 6), 6
    observation, rng = env.reset(range(count), range(count)), np.random.default_rng(0)
    for _ in range(env.spec.episode_steps):
        step = env.step(scripted_actions(observation, 0.0, rng))
        observation = step.observation
    return int(step.success.sum())


def test_grasps_fail_where_physics_says_so():
    assert lifted() == lifted(size_scale=0.7) == lifted(size_scale=1.35) == lifted(mass_scale=4.0) == 6
    assert lifted(friction_scale=0.02) == 0, "a cube as slippery as this cannot be held"
    assert lifted(mass_scale=10.0, grip_scale=0.05) == 0, "a gripper as weak as this cannot hold a cube as heavy"


@pytest.mark.parametrize("name", ["suite/cartpole-swingup", "manipulation/lift_brick_features"])
def test_other_tasks_refuse_what_they_would_ignore(name):
    config = EnvConfig(name=name, variation=VariationConfig(mass_scale=2.0, action_delay=1))
    for build in (lambda: make(config, 0), lambda: make_batched(config, 2)):
        with pytest.raises(ConfigError, match=r"env\.variation\.mass_scale, env\.variation\.action_delay") as caught:
            build()
        assert "grasp/" in str(caught.value)


@pytest.mark.parametrize("field", [{"size_scale": 2.0}, {"friction_scale": 0.0}, {"action_delay": -1}, {"mass": 2.0}])
def test_what_cannot_be_is_refused(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        VariationConfig(**field)


def test_a_config_from_before_there_were_variations_still_reads():
    fields = Config().model_dump(mode="json")
    del fields["env"]["variation"]
    assert Config.model_validate(fields) == Config()


def ended(asked, seeds, **variation):
    """Whether `[steps, N]` each step ended its episode for good, with these terminate actions `[steps]`."""
    config = EnvConfig(name="grasp/cube", reward="final", terminate_action=True, variation=VariationConfig(**variation))
    env = GraspBatch(config, len(seeds))
    env.reset(range(len(seeds)), seeds)
    action = np.zeros((len(seeds), 6))
    history = []
    for terminate in asked:
        action[:, 5] = terminate
        step = env.step(action)
        history.append(step.last)
        env.reset(np.flatnonzero(step.last).tolist(), [9] * int(step.last.sum()))
    return np.array(history)


def test_the_action_that_ends_an_episode_is_late_and_noisy_as_all_others():
    assert ended([1, -1, -1, -1], [0], action_delay=2)[:, 0].tolist() == [False, False, True, False]
    assert 4 < ended([-0.01], range(20), action_noise=0.5).sum() < 16
