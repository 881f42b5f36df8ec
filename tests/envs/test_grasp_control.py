import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_rl.envs import grasp_control as control
from robo_rl.envs.grasp_scene import ARM_JOINTS, HOME, JOINT_LOWER, JOINT_UPPER, build_model, index_scene

MODEL = build_model()
AT = index_scene(MODEL)


def kinematics(joints):
    """Position [1, 3], rotation [1, 3, 3] and Jacobian [1, 6, 7] of the gripper."""
    data = mujoco.MjData(MODEL)
    data.qpos[:ARM_JOINTS] = joints
    mujoco.mj_forward(MODEL, data)
    jacobian = np.zeros((6, MODEL.nv))
    mujoco.mj_jacSite(MODEL, data, jacobian[:3], jacobian[3:], AT.gripper)
    return data.site_xpos[AT.gripper][None], data.site_xmat[AT.gripper].reshape(1, 3, 3), jacobian[None, :, :ARM_JOINTS]


@settings(max_examples=25, deadline=None)
@given(st.floats(0.38, 0.62), st.floats(-0.2, 0.2), st.floats(0.02, 0.3), st.floats(-1.5, 1.5))
def test_repeated_steps_reach_any_pose_of_the_workspace(x, y, z, yaw):
    joints = HOME[None]
    target, target_rotation = np.array([[x, y, z]]), control.pointing_down(np.array([yaw]))
    for _ in range(40):
        position, rotation, jacobian = kinematics(joints[0])
        error = control.pose_error(position, rotation, target, target_rotation)
        joints = control.joint_targets(jacobian, error, joints)
    position, rotation, _ = kinematics(joints[0])
    np.testing.assert_allclose(position, target, atol=1e-3)
    np.testing.assert_allclose(rotation, target_rotation, atol=5e-3)


def test_the_posture_pull_does_not_move_the_gripper():
    rng = np.random.default_rng(0)
    joints = HOME + rng.uniform(-0.2, 0.2, ARM_JOINTS)
    before, _, jacobian = kinematics(joints)
    moved = control.joint_targets(jacobian, np.zeros((1, 6)), joints[None])
    after, _, _ = kinematics(moved[0])
    assert np.abs(moved - joints).max() > 1e-3
    assert np.linalg.norm(after - before) < 1e-3


def test_targets_stay_within_joint_limits():
    jacobian = np.tile(np.eye(6, 7), (2, 1, 1))
    error = np.full((2, 6), 100.0) * np.array([[1.0], [-1.0]])
    targets = control.joint_targets(jacobian, error, np.tile(HOME, (2, 1)))
    assert (targets >= JOINT_LOWER).all()
    assert (targets <= JOINT_UPPER).all()
    np.testing.assert_array_equal(targets[0, :6], JOINT_UPPER[:6])


def test_a_row_does_not_depend_on_its_neighbours():
    rng = np.random.default_rng(1)
    jacobian, error = rng.normal(size=(9, 6, 7)), rng.normal(size=(9, 6)) * 0.05
    joints = HOME + rng.uniform(-0.1, 0.1, (9, ARM_JOINTS))
    together = control.joint_targets(jacobian, error, joints)
    for row in range(9):
        alone = control.joint_targets(jacobian[row : row + 1], error[row : row + 1], joints[row : row + 1])
        np.testing.assert_array_equal(together[row], alone[0])


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="joint_targets takes"):
        control.joint_targets(np.zeros((1, 3, 7)), np.zeros((1, 6)), np.zeros((1, 7)))


def test_the_target_is_the_displacement_kept_in_the_workspace():
    position, yaw = np.array([[0.5, 0.0, 0.2], [0.679, 0.0, 0.02]]), np.array([0.1, 1.7])
    actions = np.array([[1.0, -0.5, 0.0, -1.0, 0.0], [1.0, 0.0, -1.0, 1.0, 0.0]])
    target, turned = control.gripper_target(actions, position, yaw)
    np.testing.assert_allclose(target[0], [0.55, -0.025, 0.2])
    np.testing.assert_allclose(target[1], [control.WORKSPACE_UPPER[0], 0.0, control.WORKSPACE_LOWER[2]])
    np.testing.assert_allclose(turned, [-0.2, control.YAW_LIMIT])


def test_yaw_and_pointing_down_are_inverse():
    yaw = np.linspace(-3.0, 3.0, 13)
    rotation = control.pointing_down(yaw)
    np.testing.assert_allclose(control.gripper_yaw(rotation), yaw)
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0)
    np.testing.assert_allclose(rotation[:, :, 2], np.tile([0, 0, -1.0], (13, 1)))


def test_pose_error_of_a_small_turn_is_its_rotation_vector():
    here, there = control.pointing_down(np.array([0.2])), control.pointing_down(np.array([0.25]))
    error = control.pose_error(np.zeros((1, 3)), here, np.array([[0.0, 0.01, 0.0]]), there)
    np.testing.assert_allclose(error, [[0.0, 0.01, 0.0, 0.0, 0.0, 0.05]], atol=1e-4)


def test_finger_targets_press_from_minus_a_half_down_and_open_to_80_mm_from_zero_up():
    actions = np.zeros((5, 5))
    actions[:, 4] = [-1.0, -0.5, -0.25, 0.0, 1.0]
    closed, pressed, half, undecided, opened = control.finger_target(actions)
    assert closed == pressed < 0.0
    assert pressed < half < undecided
    assert 2 * undecided == 2 * opened == pytest.approx(0.08)
