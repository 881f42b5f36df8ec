"""The compiled grasp scene and where things lie in its arrays."""

# mujoco's names come from compiled modules without type stubs.
# pyright: reportAttributeAccessIssue=false

from typing import NamedTuple

import mujoco
import numpy as np

from robo_rl.envs.grasp_objects import add_object, define_object
from robo_rl.resources import asset

ARM_JOINTS = 7
FINGERS = ("left_finger", "right_finger")
CAMERAS = ("shoulder", "front")
OBSERVING_CAMERA = "shoulder"
"""Through which policies look; films are taken from the front."""

# Datasheet of the Franka Emika Panda: joint limits (rad).
JOINT_LOWER = np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973])
JOINT_UPPER = np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973])

# Joint angles (rad) that hold the gripper at (0.5, 0, 0.2) m, pointing down, fingers across y.
HOME = np.array([0.0, 0.0458984782, 0.0, -2.37628989, 0.0, 2.42218837, 0.7853981634])

# Position actuators of the fingers: target (m) of a closed and of an open gripper; see assets/grasp_scene.xml.
FINGER_CLOSED, FINGER_OPEN = -0.012, 0.04


class SceneIndex(NamedTuple):
    """Places in the arrays of the model: `hand` body id, `gripper` site id, slices of qpos and qvel, object ids."""

    hand: int
    gripper: int
    fingers: slice
    object_qpos: slice
    object_body: int
    object_dofs: slice
    object_geoms: slice


def build_model() -> mujoco.MjModel:
    """The scene with one object in it, laid out so that the fields of any other object fit (`object_fields`).

    The object it is compiled with is an L: its inertia frame is no symmetric special case, so the compiler sets none
    of the flags (sameframe, simple) that would be wrong for other objects.
    """
    spec = mujoco.MjSpec.from_file(str(asset("grasp_scene.xml")))
    number = next(n for n in range(1000) if define_object(n).shape == "l_shape")
    add_object(spec, define_object(number))
    for finger in FINGERS:
        # One number per finger: how many contacts it has with the object.
        spec.add_sensor(
            name=f"{finger}_contact",
            type=mujoco.mjtSensor.mjSENS_CONTACT,
            objtype=mujoco.mjtObj.mjOBJ_BODY,
            objname=finger,
            reftype=mujoco.mjtObj.mjOBJ_BODY,
            refname="object",
            intprm=(1, 0, 1),
        )
    return spec.compile()


def index_scene(model: mujoco.MjModel) -> SceneIndex:
    """Looks the names of the scene up once."""
    qpos, dof = int(model.joint("object").qposadr[0]), int(model.joint("object").dofadr[0])
    finger = int(model.joint(FINGERS[0]).qposadr[0])
    geom = model.geom("object_0").id
    body = model.body("object").id
    return SceneIndex(
        hand=model.body("hand").id,
        gripper=model.site("gripper").id,
        fingers=slice(finger, finger + 2),
        object_qpos=slice(qpos, qpos + 7),
        object_body=body,
        object_dofs=slice(dof, dof + 6),
        object_geoms=slice(geom, geom + 2),
    )
