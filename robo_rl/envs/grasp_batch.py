"""n grasp simulations stepped together in C by `mujoco.batch.Batch`, each with an object of its own."""

# mujoco's names come from compiled modules without type stubs.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Callable, Sequence

import mujoco
import mujoco.batch
import numpy as np

from robo_rl.config import EnvConfig
from robo_rl.envs import grasp_control as control
from robo_rl.envs import grasp_task as task
from robo_rl.envs.grasp_objects import (
    BODY_FIELDS,
    CUBE,
    DOF_FIELDS,
    GEOM_FIELDS,
    ObjectDefinition,
    define_object,
    definitions_of,
    object_fields,
)
from robo_rl.envs.grasp_render import GraspRenderer
from robo_rl.envs.grasp_scene import ARM_JOINTS, FINGER_OPEN, HOME, OBSERVING_CAMERA, build_model, index_scene
from robo_rl.envs.grasp_variation import Disturbances, moved_camera, varied_object, weaken_gripper
from robo_rl.envs.interface import BatchStep
from robo_rl.errors import ConfigError

NAMES = ("grasp/cube", "grasp/objects")

# The arm runs at 200 Hz; its inverse kinematics are solved twice in a control step, the second time from where the
# arm has got to, because one linear step misses a 5 cm target by millimetres.
_SOLVES = 2

# Where objects lie (m, half widths about the centre) and how far the arm's start strays from HOME (rad).
_OBJECT_CENTRE, _OBJECT_SPREAD = np.array([0.5, 0.0]), np.array([0.09, 0.13])
_JOINT_SPREAD = 0.03

DrawObject = Callable[[np.random.Generator], ObjectDefinition]
"""Picks the object of an episode, from the episode's own random numbers."""


def object_drawer(config: EnvConfig) -> DrawObject:
    """What draws the objects of grasp/cube (always the cube) or grasp/objects (a definition of the family).

    Raises:
        ConfigError: the environment is none of NAMES.
    """
    if config.name == "grasp/cube":
        return lambda rng: CUBE
    if config.name == "grasp/objects":
        numbers = definitions_of(config.family)
        return lambda rng: define_object(int(numbers[int(rng.integers(len(numbers)))]))
    raise ConfigError(f"env.name is {config.name!r}; the grasp task has {' and '.join(NAMES)}. Choose one of them.")


class GraspBatch:
    """A BatchedEnvironment of `num_envs` grasp simulations on `threads` threads; an episode follows from its seed."""

    def __init__(
        self, config: EnvConfig, num_envs: int, threads: int = 1, draw_object: DrawObject | None = None
    ) -> None:
        if num_envs < 1 or threads < 1:
            raise ValueError(f"num_envs and threads must be 1 or more, got {num_envs} and {threads}")
        self.spec = task.make_spec(config)
        self.num_envs = num_envs
        self._config = config
        self._draw_object = draw_object or object_drawer(config)
        self._disturbances = Disturbances(config.variation, num_envs, self.spec.action.shape[0])
        self._model = build_model()
        weaken_gripper(self._model, config.variation.grip_scale)
        self._substeps = round(1.0 / (task.CONTROL_HZ * self._model.opt.timestep))
        self._at = index_scene(self._model)
        self._batch = mujoco.batch.Batch(self._model, nsim=num_envs, nthread=threads)
        bind, expand = self._batch.bind, self._batch.expand
        self._qpos, self._qvel, self._ctrl = bind("qpos"), bind("qvel"), bind("ctrl")
        self._site_position, self._site_rotation = bind("site_xpos"), bind("site_xmat")
        self._contacts = bind("sensordata")
        self._fields = {name: expand(name) for name in BODY_FIELDS + DOF_FIELDS + GEOM_FIELDS}
        self._objects = [CUBE] * num_envs
        self._object_size = np.zeros((num_envs, 3))
        self._rest_height = np.zeros(num_envs)
        self._steps = np.zeros(num_envs, np.int64)
        self._running = np.zeros(num_envs, bool)
        self._renderer: GraspRenderer | None = None
        # Apart from the renderer of films: with one for both, each film frame would remake it twice.
        self._eye = GraspRenderer(self._model, coarse=True) if config.observation == "camera" else None
        self._camera = self._model.camera(OBSERVING_CAMERA).id
        # The fields of the camera are only given to each simulation of its own where they differ.
        moves = bool(config.variation.camera_shift or config.variation.camera_turn)
        self._camera_pose = (expand("cam_pos"), expand("cam_quat")) if moves else None

    def kinds(self, indices: Sequence[int]) -> list[str]:
        """The shape of the object in each of these simulations: cube, box, capsule, ..."""
        return [self._objects[index].shape for index in indices]

    def reset(self, indices: Sequence[int], seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """Start new episodes; see BatchedEnvironment.

        Raises:
            ValueError: not as many seeds as indices, an index twice, or one that does not exist.
        """
        ids = np.asarray(indices, np.int64).reshape(-1)
        if len(ids) != len(seeds) or len(set(ids.tolist())) != len(ids):
            raise ValueError(f"reset takes distinct indices and one seed for each, got {list(indices)}, {list(seeds)}")
        if len(ids) and not (ids.min() >= 0 and ids.max() < self.num_envs):
            raise ValueError(f"reset indices must lie in 0..{self.num_envs - 1}, got {list(indices)}")
        # Everything a simulation carries over, the solver's warm start included, goes back to the model's defaults.
        self._batch.reset(ids, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        for index, seed in zip(ids.tolist(), seeds, strict=True):
            self._start_episode(index, np.random.default_rng((2, int(seed))))
            self._place_camera(index, int(seed))
        self._disturbances.reset(ids.tolist(), seeds)
        self._batch.forward(ids, stage=int(mujoco.mjtStage.mjSTAGE_POS))
        self._steps[ids] = 0
        self._running[ids] = True
        return self._observe(self._read(ids), ids.tolist())

    def _start_episode(self, index: int, rng: np.random.Generator) -> None:
        """Put a drawn object on the table and the open gripper near HOME."""
        definition = varied_object(self._draw_object(rng), self._config.variation)
        self._objects[index] = definition
        self._object_size[index] = definition.half_size
        self._rest_height[index] = definition.half_size[2]
        fields = object_fields(definition)
        for names, place in (
            (BODY_FIELDS, slice(self._at.object_body, self._at.object_body + 1)),
            (DOF_FIELDS, self._at.object_dofs),
            (GEOM_FIELDS, self._at.object_geoms),
        ):
            for name in names:
                self._fields[name][index, place] = fields[name]
        half_turn = 0.5 * rng.uniform(-np.pi, np.pi)
        where = _OBJECT_CENTRE + _OBJECT_SPREAD * rng.uniform(-1.0, 1.0, 2)
        joints = HOME + _JOINT_SPREAD * rng.uniform(-1.0, 1.0, ARM_JOINTS)
        self._qpos[index, :ARM_JOINTS] = self._ctrl[index, :ARM_JOINTS] = joints
        self._qpos[index, self._at.fingers] = self._ctrl[index, self._at.fingers] = FINGER_OPEN
        self._qpos[index, self._at.object_qpos] = (
            *where, definition.half_size[2], np.cos(half_turn), 0.0, 0.0, np.sin(half_turn)
        )  # fmt: skip

    def _place_camera(self, index: int, seed: int) -> None:
        """Move the camera to where the episode of `seed` has it."""
        if self._camera_pose is None:
            return
        model, camera = self._model, self._camera
        for field, value in zip(
            self._camera_pose,
            moved_camera(model.cam_pos[camera], model.cam_quat[camera], self._config.variation, seed),
            strict=True,
        ):
            field[index, camera] = value

    def step(self, actions: np.ndarray) -> BatchStep:
        """One control step of every simulation; see BatchedEnvironment.

        Raises:
            ValueError: wrong shape, a value outside [-1, 1] or not finite, or a simulation that was not reset.
            RuntimeError: the physics of a simulation became unstable.
        """
        actions = np.asarray(actions, np.float64)
        if actions.shape != (self.num_envs, *self.spec.action.shape):
            raise ValueError(f"actions must be {[self.num_envs, *self.spec.action.shape]}, got {list(actions.shape)}")
        if not (np.abs(actions) <= 1.0).all():
            row = int(np.argmin((np.abs(actions) <= 1.0).all(axis=1)))
            raise ValueError(f"actions must be finite and lie in [-1, 1]; simulation {row} was given {actions[row]}")
        if not self._running.all():
            idle = np.flatnonzero(~self._running).tolist()
            raise ValueError(f"simulations {idle} have no running episode: reset them before the next step")
        actions = self._disturbances.executed(actions)
        self._simulate(actions[:, : task.ACTION_SIZE])
        if not np.isfinite(self._qpos).all():
            broken = np.flatnonzero(~np.isfinite(self._qpos).all(axis=1)).tolist()
            raise RuntimeError(f"the physics of simulations {broken} became unstable: positions are not finite")
        self._steps += 1
        state = self._read(slice(None))
        ended = task.really_ends(state, actions, self._config)
        last = ended | (self._steps >= self.spec.episode_steps)
        self._running &= ~last
        # A time limit leaves the discount at 1.
        discount = (~ended).astype(np.float32)
        seen = self._observe(state, range(self.num_envs))
        return BatchStep(seen, task.reward(state, self._config, ended), discount, last, task.is_success(state))

    def _observe(self, state: task.GraspState, ids: Sequence[int]) -> dict[str, np.ndarray]:
        """What the policy is shown of the simulations `ids`, whose state is `state`."""
        measured = self._disturbances.measured(state, ids)
        if self._eye is None:
            return task.observe(measured)
        image = self._eye.frames(self._batch, ids, self._config.camera_size, OBSERVING_CAMERA)
        return {"camera": image, **task.observe_gripper(measured)}

    def true_state(self) -> dict[str, np.ndarray]:
        """The state observation `[N, ...]` (OBSERVATION_SPEC), exact, whatever the policy is shown.

        It is for scripted policies, which cannot see, and for judging what a network reads out of an image.
        """
        return task.observe(self._read(slice(None)))

    def _simulate(self, actions: np.ndarray) -> None:
        """Drive the arm towards what the actions ask for, and run the physics of one control step."""
        rotation = self._site_rotation[:, self._at.gripper].reshape(-1, 3, 3)
        position = self._site_position[:, self._at.gripper]
        target, yaw = control.gripper_target(actions, position, control.gripper_yaw(rotation))
        target_rotation = control.pointing_down(yaw)
        self._ctrl[:, self._at.fingers] = control.finger_target(actions)[:, None]
        for _ in range(_SOLVES):
            position = self._site_position[:, self._at.gripper]
            rotation = self._site_rotation[:, self._at.gripper].reshape(-1, 3, 3)
            error = control.pose_error(position, rotation, target, target_rotation)
            translational, rotational = self._batch.jac(self._at.hand, position)
            jacobian = np.concatenate([translational, rotational], axis=1)[:, :, :ARM_JOINTS]
            self._ctrl[:, :ARM_JOINTS] = control.joint_targets(jacobian, error, self._qpos[:, :ARM_JOINTS])
            # The position stage makes poses and contacts those of the new state, not of the substep before it.
            self._batch.step(nstep=self._substeps // _SOLVES, stage=int(mujoco.mjtStage.mjSTAGE_POS))

    def _read(self, ids: np.ndarray | slice) -> task.GraspState:
        """What observation and reward are made of, for these simulations."""
        qpos = self._qpos[ids]
        return task.GraspState(
            joints=qpos[:, :ARM_JOINTS],
            joint_velocities=self._qvel[ids, :ARM_JOINTS],
            gripper_position=self._site_position[ids, self._at.gripper],
            gripper_rotation=self._site_rotation[ids, self._at.gripper].reshape(-1, 3, 3),
            opening=qpos[:, self._at.fingers].sum(axis=1),
            object_pose=qpos[:, self._at.object_qpos],
            object_size=self._object_size[ids],
            rest_height=self._rest_height[ids],
            touching=(self._contacts[ids, 0] > 0) & (self._contacts[ids, 1] > 0),
        )

    def render(self, index: int, height: int = 240, width: int = 320, camera: str = "front") -> np.ndarray:
        """RGB frame of one simulation, uint8 `[height, width, 3]`, from the camera `front` or `shoulder`."""
        if self._renderer is None:
            self._renderer = GraspRenderer(self._model)
        return self._renderer.frame(self._batch, index, height, width, camera)

    def close(self) -> None:
        """Free the renderers; the simulations go with the object."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        if self._eye is not None:
            self._eye.close()
