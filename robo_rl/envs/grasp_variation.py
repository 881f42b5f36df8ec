"""What makes a grasp harder than in training: other objects, a weaker gripper, late and inexact actions and senses.

Nothing here touches the random numbers that place an episode's object, so that a varied episode and the plain one of
the same seed begin alike and can be compared in pairs. All of it follows from config and seed.
"""

# mujoco's names come from compiled modules without type stubs.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Sequence

import mujoco
import numpy as np

from robo_rl.config import VariationConfig
from robo_rl.envs.grasp_objects import ObjectDefinition
from robo_rl.envs.grasp_scene import FINGERS
from robo_rl.envs.grasp_task import ACTION_SIZE, OBSERVATION_SPEC, GraspState

_OPENING = OBSERVATION_SPEC["gripper_opening"]


def varied_object(definition: ObjectDefinition, variation: VariationConfig) -> ObjectDefinition:
    """The object with its lengths, mass and friction scaled; the mass does not follow the size."""
    scale = variation.size_scale
    parts = tuple(
        part._replace(size=_scaled(part.size, scale), position=_scaled(part.position, scale))
        for part in definition.parts
    )
    return definition._replace(
        parts=parts,
        half_size=_scaled(definition.half_size, scale),
        mass=definition.mass * variation.mass_scale,
        friction=definition.friction * variation.friction_scale,
    )


def weaken_gripper(model: mujoco.MjModel, scale: float) -> None:
    """Scale the force (N) with which the fingers press, and its limit, in place; a scale above 1 strengthens them."""
    for finger in FINGERS:
        actuator = model.actuator(finger).id
        model.actuator_gainprm[actuator] *= scale
        model.actuator_biasprm[actuator] *= scale
        model.actuator_forcerange[actuator] *= scale


def moved_camera(
    position: np.ndarray, quaternion: np.ndarray, variation: VariationConfig, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The camera's place `[3]` (m) and attitude `[4]` (w x y z) in the episode of `seed`.

    It stands exactly `camera_shift` from its place and is turned by exactly `camera_turn`; direction and axis are drawn
    uniformly from the sphere, so that an evaluation averages over them at one known size.
    """
    direction, axis = np.random.default_rng((4, int(seed))).standard_normal((2, 3))
    turn = variation.camera_turn * axis / np.sqrt((axis**2).sum())
    shift = variation.camera_shift * direction / np.sqrt((direction**2).sum())
    return position + shift, _turned(quaternion[None], turn[None])[0]


class Disturbances:
    """Delay and noise between a policy and n simulations; each simulation has random numbers of its own episode."""

    def __init__(self, variation: VariationConfig, num_envs: int, action_size: int = ACTION_SIZE) -> None:
        """For actions `[N, action_size]`, those that may end an episode included."""
        self._variation, self._action_size = variation, action_size
        self._generators = [np.random.default_rng(0) for _ in range(num_envs)]
        self._late = np.zeros((num_envs, variation.action_delay, action_size))
        self._blurs = bool(variation.position_noise or variation.angle_noise or variation.velocity_noise)

    def reset(self, ids: Sequence[int], seeds: Sequence[int]) -> None:
        """Start the episodes of `seeds` in the simulations `ids`; until an action arrives, the arm stands still."""
        for index, seed in zip(ids, seeds, strict=True):
            self._generators[index] = np.random.default_rng((3, int(seed)))
            self._late[index] = 0.0

    def executed(self, actions: np.ndarray) -> np.ndarray:
        """What the arm does, `[N, A]` in [-1, 1], when the policy asks for `actions [N, A]`."""
        if self._variation.action_delay:
            asked = np.concatenate([self._late, actions[:, None]], axis=1)
            actions, self._late = asked[:, 0], asked[:, 1:]
        if self._variation.action_noise:
            noise = np.stack([generator.standard_normal(self._action_size) for generator in self._generators])
            actions = np.clip(actions + self._variation.action_noise * noise, -1.0, 1.0)
        return actions

    def measured(self, state: GraspState, ids: Sequence[int]) -> GraspState:
        """The state of the simulations `ids` as the sensors report it; reward and success are for the true one.

        Every measurement errs on its own, so the object's place relative to the gripper errs by the square root of 2
        times `position_noise`. Sizes and contacts are known exactly.
        """
        if not self._blurs:
            return state
        variation = self._variation
        draws = [self._generators[index].standard_normal(25) for index in ids]
        noise = np.stack(draws) if draws else np.zeros((0, 25))
        angles, rates, turn, tilt, gripper, thing, opening = np.split(noise, [7, 14, 15, 18, 21, 24], axis=1)
        pose = state.object_pose.copy()
        pose[:, :3] += variation.position_noise * thing
        pose[:, 3:] = _turned(pose[:, 3:], variation.angle_noise * tilt)
        wide = state.opening + variation.position_noise * opening[:, 0]
        return state._replace(
            joints=state.joints + variation.angle_noise * angles,
            joint_velocities=state.joint_velocities + variation.velocity_noise * rates,
            gripper_position=state.gripper_position + variation.position_noise * gripper,
            gripper_rotation=_about_vertical(variation.angle_noise * turn[:, 0]) @ state.gripper_rotation,
            opening=np.clip(wide, _OPENING.minimum, _OPENING.maximum),
            object_pose=pose,
        )


def _scaled(lengths: tuple[float, ...], scale: float) -> tuple[float, float, float]:
    x, y, z = lengths
    return scale * x, scale * y, scale * z


def _about_vertical(angle: np.ndarray) -> np.ndarray:
    """Rotation matrices `[N, 3, 3]` about the world's z axis by `angle [N]` (rad)."""
    rotation = np.zeros((len(angle), 3, 3))
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation[:, 0, 0] = rotation[:, 1, 1] = cosine
    rotation[:, 0, 1], rotation[:, 1, 0] = -sine, sine
    rotation[:, 2, 2] = 1.0
    return rotation


def _turned(quaternion: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Quaternions `[N, 4]` (w x y z) turned further by rotation vectors `[N, 3]` (rad, world frame)."""
    angle = np.sqrt((vector**2).sum(axis=1, keepdims=True))
    # sin(a/2)/a, whose limit at 0 is 1/2; numpy's sinc is sin(pi x)/(pi x).
    w, xyz = np.cos(0.5 * angle), 0.5 * np.sinc(angle / (2 * np.pi)) * vector
    scalar, axis = quaternion[:, :1], quaternion[:, 1:]
    real = w * scalar - (xyz * axis).sum(axis=1, keepdims=True)
    return np.concatenate([real, w * axis + scalar * xyz + np.cross(xyz, axis)], axis=1)
