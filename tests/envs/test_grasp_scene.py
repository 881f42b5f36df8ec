import itertools

import mujoco
import numpy as np
import pytest

from robo_rl.envs.grasp_scene import ARM_JOINTS, HOME, JOINT_LOWER, JOINT_UPPER, build_model, index_scene

# Modified Denavit-Hartenberg parameters of the Franka Emika Panda datasheet: a (m), d (m), alpha (rad).
DATASHEET = [
    (0.0, 0.333, 0.0),
    (0.0, 0.0, -np.pi / 2),
    (0.0, 0.316, np.pi / 2),
    (0.0825, 0.0, np.pi / 2),
    (-0.0825, 0.384, -np.pi / 2),
    (0.0, 0.0, np.pi / 2),
    (0.088, 0.0, np.pi / 2),
]
FLANGE, GRIPPER = 0.107, 0.1034


@pytest.fixture(scope="module")
def model():
    return build_model()


def gripper_pose(model, joints):
    data = mujoco.MjData(model)
    data.qpos[:ARM_JOINTS] = joints
    mujoco.mj_kinematics(model, data)
    site = index_scene(model).gripper
    return data.site_xpos[site], data.site_xmat[site].reshape(3, 3)


def datasheet_pose(joints):
    pose = np.eye(4)
    for (a, d, alpha), theta in zip(DATASHEET, joints, strict=True):
        ct, st, ca, sa = np.cos(theta), np.sin(theta), np.cos(alpha), np.sin(alpha)
        pose = pose @ np.array(
            [[ct, -st, 0, a], [st * ca, ct * ca, -sa, -d * sa], [st * sa, ct * sa, ca, d * ca], [0, 0, 0, 1]]
        )
    c = np.sqrt(0.5)
    pose = pose @ np.array([[c, c, 0, 0], [-c, c, 0, 0], [0, 0, 1, FLANGE + GRIPPER], [0, 0, 0, 1]])
    return pose[:3, 3], pose[:3, :3]


def test_ready_pose_of_the_manual(model):
    # The maker's examples start here; the end effector then stands at (0.307, 0, 0.487) m.
    position, rotation = gripper_pose(model, [0, -np.pi / 4, 0, -3 * np.pi / 4, 0, np.pi / 2, np.pi / 4])
    np.testing.assert_allclose(position, [0.3069, 0.0, 0.4869], atol=1e-4)
    np.testing.assert_allclose(rotation, np.diag([1, -1, -1]), atol=1e-9)


def test_kinematics_are_those_of_the_datasheet_everywhere(model):
    rng = np.random.default_rng(0)
    for joints in rng.uniform(JOINT_LOWER, JOINT_UPPER, (50, ARM_JOINTS)):
        position, rotation = gripper_pose(model, joints)
        expected_position, expected_rotation = datasheet_pose(joints)
        np.testing.assert_allclose(position, expected_position, atol=1e-9)
        np.testing.assert_allclose(rotation, expected_rotation, atol=1e-9)


def test_home_holds_the_gripper_over_the_table_pointing_down(model):
    position, rotation = gripper_pose(model, HOME)
    np.testing.assert_allclose(position, [0.5, 0.0, 0.2], atol=1e-6)
    np.testing.assert_allclose(rotation, np.diag([1, -1, -1]), atol=1e-6)


def test_joint_and_torque_limits_are_those_of_the_datasheet(model):
    np.testing.assert_array_equal(model.jnt_range[:ARM_JOINTS], np.stack([JOINT_LOWER, JOINT_UPPER], axis=1))
    assert model.jnt_limited[: ARM_JOINTS + 2].all()
    np.testing.assert_array_equal(model.actuator_forcerange[:ARM_JOINTS, 1], [87, 87, 87, 87, 12, 12, 12])
    assert model.actuator_forcelimited.all()


def test_pads_open_from_0_to_80_mm(model):
    data = mujoco.MjData(model)
    for travel in (0.0, 0.04):
        data.qpos[index_scene(model).fingers] = travel
        mujoco.mj_kinematics(model, data)
        left, right = model.geom("left_pad").id, model.geom("right_pad").id
        gap = np.linalg.norm(data.geom_xpos[left] - data.geom_xpos[right]) - 2 * model.geom_size[left, 1]
        assert gap == pytest.approx(2 * travel, abs=1e-9)


def test_nothing_but_contact_can_hold_the_object(model):
    assert model.neq == 0
    assert model.ntendon == 0
    assert model.nmocap == 0
    assert not model.geom_adhesion.any()
    # No actuator reaches the object: each drives one joint of the arm or a finger.
    assert {int(kind) for kind in model.actuator_trntype} == {int(mujoco.mjtTrn.mjTRN_JOINT)}
    assert model.joint("object").id not in model.actuator_trnid[:, 0]
    assert model.body_gravcomp[model.body("object").id] == 0.0


def test_only_table_gripper_and_object_collide(model):
    names = {name: model.geom(name).id for name in ("table", "left_pad", "palm", "object_0")}

    def meet(a, b):
        return bool(
            model.geom_contype[names[a]] & model.geom_conaffinity[names[b]]
            or model.geom_contype[names[b]] & model.geom_conaffinity[names[a]]
        )

    pairs = {frozenset(pair) for pair in itertools.combinations(names, 2) if meet(*pair)}
    everything = {frozenset(pair) for pair in itertools.combinations(names, 2)}
    assert everything - pairs == {frozenset(("left_pad", "palm"))}


def test_physics_steps_are_at_most_5_ms(model):
    assert model.opt.timestep <= 0.005
