"""What the grasp task shows, pays and calls a success: pure functions of the state of n simulations at once."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from robo_rl.config import EnvConfig
from robo_rl.errors import ConfigError
from robo_rl.specs import ArraySpec, EnvSpec

EPISODE_STEPS = 40
CONTROL_HZ = 10.0
ACTION_SIZE = 5

# An object counts as lifted when it is this far (m) above where it lay.
LIFT_HEIGHT = 0.10
# The shaped reward grows until here, so that a good policy keeps a margin over LIFT_HEIGHT.
_FULL_LIFT = 0.14
# The way to the object is a funnel: from the side it leads over the object, and only above it down around it. Without
# it, policies learn to press on the object's top with one finger, where friction then holds them.
_FUNNEL_RADIUS, _FUNNEL_SLOPE, _FUNNEL_HEIGHT = 0.01, 2.0, 0.07
# Two scales (m) of nearness: the wide one calls from across the table, the narrow one tells the last centimetres.
_WIDE, _NARROW = 0.1, 0.02
_REACH_SHARE, _CLOSE_SHARE, _HOLD_SHARE, _LIFT_SHARE = 0.25, 0.1, 0.15, 0.5
_FULLY_OPEN = 0.08

OBSERVATION_SPEC: Mapping[str, ArraySpec] = {
    "gripper_opening": ArraySpec((1,), unit="m", minimum=-0.01, maximum=0.09),
    "gripper_position": ArraySpec((3,), unit="m, world frame, arm base at the origin"),
    "gripper_yaw": ArraySpec((2,), unit="sine and cosine", minimum=-1.0, maximum=1.0),
    "joint_position": ArraySpec((7,), unit="rad"),
    "joint_velocity": ArraySpec((7,), unit="rad/s"),
    "object_position": ArraySpec((3,), unit="m, object minus gripper, world axes"),
    "object_size": ArraySpec((3,), unit="m, half extents of the part to grasp"),
    "object_up": ArraySpec((3,), unit="object's z axis in the world frame", minimum=-1.0, maximum=1.0),
    "object_yaw": ArraySpec(
        (4,), unit="sine and cosine of 2 and of 4 times (object yaw - gripper yaw)", minimum=-1.0, maximum=1.0
    ),
}


def camera_observation_spec(size: int) -> dict[str, ArraySpec]:
    """What `env.observation: camera` shows, as in QT-Opt (arXiv 1806.10293, section 4): of the object, pixels alone."""
    return {
        "camera": ArraySpec((size, size, 3), "uint8", "RGB, from over the shoulder", minimum=0, maximum=255),
        "gripper_height": ArraySpec((1,), unit="m, above the table"),
        "gripper_opening": OBSERVATION_SPEC["gripper_opening"],
    }


class GraspState(NamedTuple):
    """What is read out of n simulations after a control step; float64, SI units, world frame.

    joints, joint_velocities `[N, 7]`; gripper_position `[N, 3]`; gripper_rotation `[N, 3, 3]`; opening `[N]`;
    object_pose `[N, 7]` (position, quaternion w x y z); object_size `[N, 3]`; rest_height `[N]`, the height at which
    the object lay at the start; touching `[N]` bool, both fingers in contact with the object.
    """

    joints: np.ndarray
    joint_velocities: np.ndarray
    gripper_position: np.ndarray
    gripper_rotation: np.ndarray
    opening: np.ndarray
    object_pose: np.ndarray
    object_size: np.ndarray
    rest_height: np.ndarray
    touching: np.ndarray


def make_spec(config: EnvConfig) -> EnvSpec:
    """The EnvSpec of grasp/cube or grasp/objects under this configuration.

    Raises:
        ConfigError: a field that the task would ignore: an action repeat, a step penalty with the shaped reward, a
            terminate action with another than the final one, a variation of what is not observed.
    """
    sparse = config.reward != "shaped"
    if config.action_repeat != 1:
        raise ConfigError(f"env.action_repeat is {config.action_repeat}; the grasp task only has 1. Leave it out.")
    if config.step_penalty and not sparse:
        raise ConfigError(
            f"env.step_penalty is {config.step_penalty}, but only the sparse and the final reward have one. "
            "Set env.reward to sparse or final, or env.step_penalty to 0."
        )
    if config.terminate_action and config.reward != "final":
        raise ConfigError(
            f"env.terminate_action is set, but env.reward is {config.reward}: an episode that may be ended needs a "
            "reward for its end. Set env.reward to final, or leave env.terminate_action out."
        )
    _refuse_unseen_variation(config)
    sees = config.observation == "camera"
    bounds = (-config.step_penalty, 1.0 - config.step_penalty) if sparse else (0.0, 1.0)
    return EnvSpec(
        name=config.name,
        observation=camera_observation_spec(config.camera_size) if sees else OBSERVATION_SPEC,
        action=ArraySpec(
            (ACTION_SIZE + config.terminate_action,),
            unit="share of the largest displacement",
            minimum=-1.0,
            maximum=1.0,
        ),
        episode_steps=config.episode_steps or EPISODE_STEPS,
        control_hz=CONTROL_HZ,
        has_success=True,
        reward_bounds=bounds,
        pays_once=config.reward == "final",
    )


def _refuse_unseen_variation(config: EnvConfig) -> None:
    """Refuse variations of a camera that nobody looks through, and noise on measurements that nobody is shown."""
    of_camera, of_measurements = ("camera_shift", "camera_turn"), ("angle_noise", "velocity_noise")
    ignored = of_measurements if config.observation == "camera" else of_camera
    for name in ignored:
        if value := getattr(config.variation, name):
            raise ConfigError(
                f"env.variation.{name} is {value}, but env.observation is {config.observation!r}, which does not show "
                "what it changes. Set it to 0, or choose the other observation."
            )


def observe_gripper(state: GraspState) -> dict[str, np.ndarray]:
    """What `camera_observation_spec` has besides the image: float32 `[N, 1]` each."""
    return {
        "gripper_height": state.gripper_position[:, 2:].astype(np.float32),
        "gripper_opening": state.opening[:, None].astype(np.float32),
    }


def observe(state: GraspState) -> dict[str, np.ndarray]:
    """The named float32 arrays `[N, ...]` of OBSERVATION_SPEC.

    Parallel jaws cannot tell an object from itself turned by 180 degrees, nor a square one from itself turned by 90;
    hence the doubled and quadrupled angle, in which equal grasps look equal.
    """
    rotation = state.gripper_rotation
    gripper = _unit(rotation[:, 0, 0], rotation[:, 1, 0])
    along, up = _object_axes(state.object_pose[:, 3:])
    thing = _unit(along[:, 0], along[:, 1])
    once = np.stack([thing[:, 0] * gripper[:, 1] - thing[:, 1] * gripper[:, 0], (thing * gripper).sum(axis=1)], axis=1)
    twice = _double_angle(once)
    observation = {
        "gripper_opening": state.opening[:, None],
        "gripper_position": state.gripper_position,
        "gripper_yaw": gripper,
        "joint_position": state.joints,
        "joint_velocity": state.joint_velocities,
        "object_position": state.object_pose[:, :3] - state.gripper_position,
        "object_size": state.object_size,
        "object_up": up,
        "object_yaw": np.concatenate([twice, _double_angle(twice)], axis=1),
    }
    return {name: array.astype(np.float32) for name, array in observation.items()}


def lifted_height(state: GraspState) -> np.ndarray:
    """How far `[N]` (m) the object is above where it lay at the start."""
    return state.object_pose[:, 2] - state.rest_height


def is_success(state: GraspState) -> np.ndarray:
    """Whether `[N]` the object is held more than LIFT_HEIGHT above where it lay, both fingers touching it."""
    return state.touching & (lifted_height(state) > LIFT_HEIGHT)


def really_ends(state: GraspState, actions: np.ndarray, config: EnvConfig) -> np.ndarray:
    """Whether `[N]` the episode is over for good with this step, apart from its time limit.

    Only with the final reward: when its sixth action `[N, 6]` is above 0, or, without that, at the first success.
    """
    if config.reward != "final":
        return np.zeros(len(actions), bool)
    return actions[:, ACTION_SIZE] > 0 if config.terminate_action else is_success(state)


def reward(state: GraspState, config: EnvConfig, ended: np.ndarray | bool = False) -> np.ndarray:
    """The reward `[N]`, float32, of one control step; `ended [N]` is what `really_ends` said of it.

    sparse: 1 while `is_success`, less the step penalty. final: 1 if the episode `ended` in success, less the penalty,
    as in QT-Opt (Kalashnikov et al. 2018, arXiv 1806.10293, section 5). shaped: in [0, 1]; at most 0.25 for being near
    the object (with open fingers, until they are around it), 0.1 for closing around its middle, 0.15 for touching it
    there with both fingers, and 0.5 for height while they touch it. What can be had without a lift is worth at most
    0.5, so no reward above that comes from anything else.
    """
    if config.reward == "sparse":
        return (is_success(state) - config.step_penalty).astype(np.float32)
    if config.reward == "final":
        return ((is_success(state) & ended) - config.step_penalty).astype(np.float32)
    offset = state.gripper_position - state.object_pose[:, :3]
    # Closed fingers that rest on top of the object are near it and touch it as well, and a policy that closes early can
    # get no further: so they count only around its middle, and the way there is to be made with open fingers.
    around = _NARROW**2 / (_NARROW**2 + (offset * offset).sum(axis=1))
    openness = np.clip(state.opening / _FULLY_OPEN, 0.0, 1.0)
    reach = _nearness(offset) * (around + (1.0 - around) * openness)
    grip = around * (_CLOSE_SHARE * (1.0 - openness) + _HOLD_SHARE * state.touching)
    lift = state.touching * np.clip(lifted_height(state) / _FULL_LIFT, 0.0, 1.0)
    return (_REACH_SHARE * reach + grip + _LIFT_SHARE * lift).astype(np.float32)


def _nearness(offset: np.ndarray) -> np.ndarray:
    """1 with the gripper at the object, towards 0 far away, `[N]`; `offset [N, 3]` is gripper minus object (m)."""
    across = np.sqrt((offset[:, :2] ** 2).sum(axis=1))
    funnel = np.clip(_FUNNEL_SLOPE * (across - _FUNNEL_RADIUS), 0.0, _FUNNEL_HEIGHT)
    squared = across**2 + (offset[:, 2] - funnel) ** 2
    return 0.5 * _WIDE / (_WIDE + np.sqrt(squared)) + 0.5 * _NARROW**2 / (_NARROW**2 + squared)


def _unit(cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    """Sine and cosine `[N, 2]` of the direction (cosine, sine) of any length; straight ahead where it has none."""
    length = np.sqrt(cosine * cosine + sine * sine)
    flat = length > 1e-6
    length = np.where(flat, length, 1.0)
    return np.stack([np.where(flat, sine / length, 0.0), np.where(flat, cosine / length, 1.0)], axis=1)


def _double_angle(angle: np.ndarray) -> np.ndarray:
    """Sine and cosine `[N, 2]` of twice an angle given by sine and cosine `[N, 2]`."""
    sine, cosine = angle[:, 0], angle[:, 1]
    return np.stack([2.0 * sine * cosine, cosine * cosine - sine * sine], axis=1)


def _object_axes(quaternion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World directions `[N, 3]` of a body's x and z axes, from its quaternion `[N, 4]` (w x y z)."""
    w, x, y, z = quaternion.T
    along = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], axis=1)
    up = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=1)
    return along, up
