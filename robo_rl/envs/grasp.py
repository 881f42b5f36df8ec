"""The grasp task as a dm_env environment: a Panda-like arm lifts an object from a table by friction alone.

`grasp/cube` has one cube, `grasp/objects` a procedural family. The parts: grasp_scene (the model), grasp_objects (what
is grasped), grasp_variation (what makes it harder), grasp_control (actions to joint targets), grasp_task (observation,
reward, success), grasp_batch (stepping), grasp_render (pictures), grasp_scripted (a policy that solves it).
"""

import secrets
from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from robo_rl import seeds
from robo_rl.config import EnvConfig
from robo_rl.envs.grasp_batch import GraspBatch
from robo_rl.envs.interface import BatchedEnvironment, Environment
from robo_rl.specs import ArraySpec


def make_grasp(config: EnvConfig) -> "Grasp":
    """The environment `config.name` (grasp/cube or grasp/objects), one episode at a time.

    Raises:
        ConfigError: another name, or a field that the grasp task does not have.
    """
    return Grasp(GraspBatch(config, 1))


def make_grasp_batch(config: EnvConfig, num_envs: int, threads: int = 1) -> BatchedEnvironment:
    """`num_envs` simulations of `config.name` stepped together on `threads` threads.

    Raises:
        ConfigError: another name, or a field that the grasp task does not have.
    """
    return GraspBatch(config, num_envs, threads)


class Grasp(Environment):
    """A batch of one behind the dm_env interface; the same seed and actions give the same episode as in any batch."""

    def __init__(self, batch: GraspBatch) -> None:
        self.spec = batch.spec
        self._batch = batch
        self._seed: int | None = None
        self._root, self._following = secrets.randbits(31), 0
        self._running = False
        self._success = False

    def seed_episode(self, seed: int) -> None:
        """Make the next `reset` start the episode of this seed; those after it follow from it too."""
        self._seed = self._root = seed
        self._following = 0

    def reset(self) -> dm_env.TimeStep:
        """Start an episode: of the seed given to `seed_episode`, or after it of the next one that follows from it."""
        self._following += 1
        seed = seeds.child(self._root, "following", self._following) if self._seed is None else self._seed
        self._seed, self._running, self._success = None, True, False
        return dm_env.restart(_first(self._batch.reset([0], [seed])))

    def step(self, action: Any) -> dm_env.TimeStep:
        """Apply one action `[5]`, or `[6]` with the terminate action.

        After a LAST step, and before the first reset, it starts a new episode instead.

        Raises:
            ValueError: an action of the wrong shape, not finite or outside [-1, 1].
        """
        if not self._running:
            return self.reset()
        result = self._batch.step(np.asarray(action)[None])
        observation, reward = _first(result.observation), float(result.reward[0])
        self._success = bool(result.success[0])
        if result.last[0]:
            self._running = False
            end = dm_env.truncation if result.discount[0] else dm_env.termination
            return end(reward, observation)
        return dm_env.transition(reward, observation)

    def success(self) -> bool:
        """Whether the object is held more than 10 cm above where it lay."""
        return self._success

    def shape_name(self) -> str:
        """The shape of the object of this episode: cube, box, capsule, ..."""
        return self._batch.kinds([0])[0]

    def render(self, height: int = 240, width: int = 320, camera: str = "front") -> np.ndarray:
        """RGB frame, uint8 `[height, width, 3]`, from the camera `front` or `shoulder`."""
        return self._batch.render(0, height, width, camera)

    def close(self) -> None:
        """Free the renderer."""
        self._batch.close()

    def observation_spec(self) -> dict[str, specs.Array]:
        """What `reset` and `step` return, as dm_env specs."""
        return {name: _dm_spec(name, array) for name, array in self.spec.observation.items()}

    def action_spec(self) -> specs.BoundedArray:
        """Five numbers in [-1, 1]: displacement along x, y, z, turn, opening; a sixth if episodes can be ended."""
        return specs.BoundedArray(self.spec.action.shape, np.float32, -1.0, 1.0, name="action")


def _first(observation: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The only row of a batch of one."""
    return {name: array[0] for name, array in observation.items()}


def _dm_spec(name: str, array: ArraySpec) -> specs.Array:
    """The dm_env spec of one observation, bounded where our spec is."""
    if array.minimum is None or array.maximum is None:
        return specs.Array(array.shape, np.dtype(array.dtype), name)
    return specs.BoundedArray(array.shape, np.dtype(array.dtype), array.minimum, array.maximum, name)
