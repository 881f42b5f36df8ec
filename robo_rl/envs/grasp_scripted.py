"""A hand-written grasping policy: shows that the task can be solved, and records demonstrations of any quality."""

from collections.abc import Mapping

import numpy as np

from robo_rl.envs.grasp_control import DISPLACEMENT, TURN

_HOVER = 0.06
_ALIGNED, _TURNED = 0.012, 0.12
_DEPTH = 0.008
_CLOSED_MARGIN = 0.004
_CARRY_HEIGHT = 0.25

WEAK_NOISE = 0.37
"""With this noise the policy is as weak as QT-Opt's first scripted one, 15 to 30 % success on grasp/objects: 27 % in
episodes of 40 control steps, 17 % in 20 (400 episodes each)."""


def scripted_actions(
    observation: Mapping[str, np.ndarray], noise: float, rng: np.random.Generator, terminate: bool = False
) -> np.ndarray:
    """Actions `[N, 5]` in [-1, 1], or `[N, 6]` with `terminate`, float32, from observations `[N, ...]` alone.

    Hover above the object and turn to its narrow side, go down, close, carry up: each row is in the phase that its
    observation shows, and there is no other state. With `terminate`, the sixth action ends the episode once the object
    is up. `noise` is the standard deviation of Gaussian noise added to every number of the action before it is
    clipped; 0 makes the policy deterministic and leaves `rng` untouched.

    Raises:
        ValueError: negative noise.
    """
    if not noise >= 0.0:
        raise ValueError(f"noise is a standard deviation and must be 0 or more, got {noise}")
    actions = scripted_intent(observation, terminate)
    if noise > 0.0:
        actions += noise * rng.standard_normal(actions.shape)
    return np.clip(actions, -1.0, 1.0).astype(np.float32)


def scripted_intent(observation: Mapping[str, np.ndarray], terminate: bool = False) -> np.ndarray:
    """The actions `[N, 5]` or `[N, 6]`, float64, that `scripted_actions` adds noise to and clips to [-1, 1]."""
    offset = np.asarray(observation["object_position"], np.float64)
    turn = _turn_to_object(observation)
    across = np.hypot(offset[:, 0], offset[:, 1])
    width = 2.0 * np.asarray(observation["object_size"], np.float64)[:, 1]
    opening = np.asarray(observation["gripper_opening"], np.float64)[:, 0]

    aligned = (across < _ALIGNED) & (np.abs(turn) < _TURNED)
    at_depth = (across < 2 * _ALIGNED) & (np.abs(offset[:, 2]) < _DEPTH)
    gripped = (across < 2 * _ALIGNED) & (np.abs(offset[:, 2]) < 2 * _DEPTH) & (opening < width + _CLOSED_MARGIN)
    below_carry = np.asarray(observation["gripper_position"])[:, 2] < _CARRY_HEIGHT

    down = np.where(aligned | at_depth, offset[:, 2], offset[:, 2] + _HOVER)
    actions = np.zeros((len(offset), 5))
    actions[:, :2] = offset[:, :2] / DISPLACEMENT
    actions[:, 2] = down / DISPLACEMENT
    actions[:, 3] = turn / TURN
    actions[:, 4] = np.where(at_depth | gripped, -1.0, 1.0)
    actions[gripped, :2] = 0.0
    actions[gripped, 2] = np.where(below_carry, 0.7, 0.0)[gripped]
    actions[gripped, 3] = 0.0
    if terminate:
        actions = np.column_stack([actions, np.where(gripped & ~below_carry, 1.0, -1.0)])
    return actions


def _turn_to_object(observation: Mapping[str, np.ndarray]) -> np.ndarray:
    """The smallest turn `[N]` (rad) that puts the fingers across the object's narrow side.

    For an object as wide as it is long that is within 45 degrees, else within 90.
    """
    yaw = np.asarray(observation["object_yaw"], np.float64)
    size = np.asarray(observation["object_size"], np.float64)
    square = np.abs(size[:, 0] - size[:, 1]) < 1e-4
    return np.where(square, np.arctan2(yaw[:, 2], yaw[:, 3]) / 4.0, np.arctan2(yaw[:, 0], yaw[:, 1]) / 2.0)
