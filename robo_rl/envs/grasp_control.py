"""From an action to joint targets: Cartesian displacement, kept in a workspace, solved by damped least squares."""

import numpy as np

from robo_rl.envs.grasp_scene import FINGER_CLOSED, FINGER_OPEN, HOME, JOINT_LOWER, JOINT_UPPER

# An action of 1 moves the gripper this far in one control step (m, rad).
DISPLACEMENT = 0.05
TURN = 0.3

# Where actions can take the gripper: its position (m, world frame, the arm's base at the origin) and its yaw (rad).
WORKSPACE_LOWER = np.array([0.30, -0.30, 0.013])
WORKSPACE_UPPER = np.array([0.68, 0.30, 0.40])
YAW_LIMIT = 1.75

_DAMPING = 0.02
_POSTURE_GAIN = 0.1


def gripper_yaw(rotation: np.ndarray) -> np.ndarray:
    """Yaw `[N]` (rad) of grippers that point down, from their rotation matrices `[N, 3, 3]`."""
    return np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])


def gripper_target(actions: np.ndarray, position: np.ndarray, yaw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the actions `[N, 5]` send grippers that are at `position [N, 3]` (m) and `yaw [N]` (rad).

    The displacement counts from where the gripper is, not from where it was sent before, so that the outcome follows
    from what can be observed and a blocked gripper winds nothing up.
    """
    target = np.clip(position + DISPLACEMENT * actions[:, :3], WORKSPACE_LOWER, WORKSPACE_UPPER)
    return target, np.clip(yaw + TURN * actions[:, 3], -YAW_LIMIT, YAW_LIMIT)


def finger_target(actions: np.ndarray) -> np.ndarray:
    """Targets `[N]` (m) of both fingers: action 0 and above opens to 80 mm between the pads, -0.5 and below presses.

    Open is the whole upper half so that an undecided (or exploring) policy arrives with its fingers around the object,
    not closed on top of it; pressing begins early, so that exploration finds it.
    """
    return FINGER_OPEN + 2.0 * (FINGER_OPEN - FINGER_CLOSED) * np.clip(actions[:, 4], -0.5, 0.0)


def pointing_down(yaw: np.ndarray) -> np.ndarray:
    """Rotation matrices `[N, 3, 3]` of a gripper that points down, turned by `yaw [N]` (rad) about the world's z."""
    rotation = np.zeros((len(yaw), 3, 3))
    cosine, sine = np.cos(yaw), np.sin(yaw)
    rotation[:, 0, 0], rotation[:, 1, 0] = cosine, sine
    rotation[:, 0, 1], rotation[:, 1, 1] = sine, -cosine
    rotation[:, 2, 2] = -1.0
    return rotation


def pose_error(
    position: np.ndarray, rotation: np.ndarray, target_position: np.ndarray, target_rotation: np.ndarray
) -> np.ndarray:
    """The twist `[N, 6]` (m, rad) from a pose to its target: positions `[N, 3]`, rotations `[N, 3, 3]`.

    The rotational part is the vector of the skew-symmetric part of R_target R^T, the sine of the angle times the axis
    (Siciliano et al., Robotics, 2009, eq. 3.85); it agrees with the rotation vector at the small angles of one step.
    """
    turn = target_rotation @ rotation.transpose(0, 2, 1)
    error = np.empty((len(position), 6))
    error[:, :3] = target_position - position
    error[:, 3] = 0.5 * (turn[:, 2, 1] - turn[:, 1, 2])
    error[:, 4] = 0.5 * (turn[:, 0, 2] - turn[:, 2, 0])
    error[:, 5] = 0.5 * (turn[:, 1, 0] - turn[:, 0, 1])
    return error


def joint_targets(jacobian: np.ndarray, error: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Joint angles `[N, 7]` (rad) that move the gripper by `error [N, 6]` (m, rad), one damped least-squares step.

    `dq = J^T (J J^T + k^2 I)^-1 (error - J p) + p` with `jacobian` J `[N, 6, 7]` and `p` a pull towards the home
    posture, which uses the seventh degree of freedom and leaves the gripper where it is (Nakamura & Hanafusa 1986,
    section 3; Siciliano et al. 2009, eq. 3.54). The result is kept within the joint limits.
    """
    if jacobian.shape[1:] != (6, 7) or error.shape[1:] != (6,) or joints.shape[1:] != (7,):
        raise ValueError(
            f"joint_targets takes [N, 6, 7], [N, 6] and [N, 7], got {jacobian.shape}, {error.shape}, {joints.shape}"
        )
    pull = _POSTURE_GAIN * (HOME - joints)
    transposed = jacobian.transpose(0, 2, 1)
    wanted = error[:, :, None] - jacobian @ pull[:, :, None]
    regular = jacobian @ transposed + _DAMPING**2 * np.eye(6)
    change = pull + (transposed @ np.linalg.solve(regular, wanted))[:, :, 0]
    return np.clip(joints + change, JOINT_LOWER, JOINT_UPPER)
