"""dm_control simulations behind the project's Environment face: scaled actions, action repeat, time limit, seeding."""

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import dm_env
import numpy as np
from dm_env import specs

from robo_rl.config import EnvConfig
from robo_rl.envs.interface import Environment
from robo_rl.errors import ConfigError, UserError
from robo_rl.specs import ArraySpec, EnvSpec

T = TypeVar("T")

# MuJoCo gives an actuator without control limits the bounds +-mjMAXVAL (1e10), which is no range to scale to.
_UNBOUNDED = 1e10

# Words that tell the failures of the rendering back ends from all others; their types have nothing in common.
_GRAPHICS = re.compile(r"\b(opengl|egl|glfw|osmesa|mujoco_gl|glgeterror|glcontext|mjrcontext)", re.IGNORECASE)


class SimulationError(RuntimeError):
    """The physics left the finite numbers. The message names environment, seed and step; the episode is lost."""


class Simulation(NamedTuple):
    """A loaded dm_control environment and the few facts in which the families differ.

    environment:    dm_control's control.Environment or composer.Environment, made without a time limit
    random_states:  every generator an episode draws from; all are set when an episode is seeded
    forget:         puts back what the task object carries from one episode to the next, called before a seeded reset
    time_limit:     steps of `environment` (env steps) after which an episode is truncated
    reward_bounds:  least and greatest reward of one env step, None where unknown
    solved_reward:  reward of one env step from which on the task counts as solved, None without a notion of success
    angles:         observation -> its entries that are angles of joints without limits
    """

    environment: Any
    random_states: tuple[np.random.RandomState, ...]
    forget: Callable[[], None]
    time_limit: int
    reward_bounds: tuple[float, float] | None
    solved_reward: float | None
    angles: Mapping[str, tuple[int, ...]] = MappingProxyType({})


class ControlEnvironment(Environment):
    """One dm_control simulation stepped at the control rate of the policy.

    Observations are those of dm_control, not flattened: float32 arrays of rank >= 1 (a scalar becomes shape `(1,)`);
    camera images stay uint8 `[height, width, 3]`. Actions `[A]` in [-1, 1] are mapped linearly to the bounds of each
    actuator (values beyond are clipped); an actuator without bounds takes the action as its control. The discount is
    the one the task gives: 0 only where it terminates, 1 at a time limit.
    """

    def __init__(self, config: EnvConfig, simulation: Simulation) -> None:
        """Raises ConfigError if `config.episode_steps` is longer than the task's own time limit."""
        self._simulation = simulation
        self._inner = simulation.environment
        self._repeat = config.action_repeat
        self.spec = _environment_spec(config, simulation)
        self._action_middle, self._action_scale = action_scaling(self._inner.action_spec())
        self._seed: int | None = None
        self._control_steps = 0
        self._env_steps = 0
        self._needs_reset = True
        self._solved = False

    def seed_episode(self, seed: int) -> None:
        """Make the next `reset` start the episode of this seed (any integer >= 0), whatever ran here before."""
        if seed < 0:
            raise ValueError(f"{self.spec.name}: an episode seed is an integer >= 0, not {seed}")
        self._seed = int(seed)
        # A seed sequence spreads neighbouring seeds and takes integers of any size; RandomState.seed stops at 2^32.
        state = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(self._seed))).get_state()
        for random_state in self._simulation.random_states:
            random_state.set_state(state)
        self._simulation.forget()
        self._needs_reset = True

    def reset(self) -> dm_env.TimeStep:
        """Start an episode: the seeded one after `seed_episode`, else the next of the running random stream."""
        self._needs_reset = True
        first = loaded(self.spec.name, lambda: self._guard(self._inner.reset))
        self._control_steps = self._env_steps = 0
        self._solved = False
        self._needs_reset = False
        return dm_env.restart(self._observe(first.observation))

    def step(self, action: np.ndarray) -> dm_env.TimeStep:
        """Hold `action [A]` for `action_repeat` env steps, fewer if the episode ends; rewards are summed.

        After a LAST step, and before the first reset, it resets and ignores the action, as dm_env prescribes.

        Raises:
            ValueError: wrong shape or a value that is not finite.
            SimulationError: the physics or the task gave a value that is not finite.
        """
        if self._needs_reset:
            return self.reset()
        control = self._control(action)
        reward, discount, timestep = 0.0, 1.0, None
        for _ in range(self._repeat):
            timestep = self._guard(lambda: self._inner.step(control))
            self._env_steps += 1
            reward += float(timestep.reward)
            discount *= float(timestep.discount)
            if timestep.last() or self._env_steps >= self._simulation.time_limit:
                break
        assert timestep is not None
        self._control_steps += 1
        observation = self._observe(timestep.observation)
        self._require_finite("reward", np.asarray(reward))
        solved_reward = self._simulation.solved_reward
        self._solved = solved_reward is not None and float(timestep.reward) >= solved_reward
        if timestep.last() or self._control_steps >= self.spec.episode_steps:
            self._needs_reset = True
            return dm_env.TimeStep(dm_env.StepType.LAST, reward, discount, observation)
        return dm_env.transition(reward, observation, discount)

    def observation_spec(self) -> dict[str, specs.Array]:
        """The dm_env form of `spec.observation`."""
        return {name: specs.Array(spec.shape, spec.dtype, name) for name, spec in self.spec.observation.items()}

    def action_spec(self) -> specs.BoundedArray:
        """The dm_env form of `spec.action`: float32 `[A]` in [-1, 1]."""
        return specs.BoundedArray(self.spec.action.shape, "float32", -1.0, 1.0, "action")

    def success(self) -> bool:
        """Whether the last env step earned the task's full reward; always False where the task has no such notion."""
        return self._solved

    def render(self, height: int = 240, width: int = 320) -> np.ndarray:
        """One RGB frame, uint8 `[height, width, 3]`, of the first camera of the model, without shadows.

        Raises:
            UserError: no OpenGL back end can be used here.
        """
        physics = self._inner.physics
        camera = 0 if physics.model.ncam else -1
        flags = {"shadow": False, "reflection": False}
        frame = loaded(
            self.spec.name, lambda: physics.render(height, width, camera_id=camera, render_flag_overrides=flags)
        )
        return np.ascontiguousarray(frame)

    def close(self) -> None:
        """Free the simulation and its renderer."""
        self._needs_reset = True
        self._inner.close()

    def _control(self, action: np.ndarray) -> np.ndarray:
        """The actuators' controls, float64 `[A]`, for `action [A]` in [-1, 1]."""
        action = np.asarray(action, np.float64)
        if action.shape != self.spec.action.shape:
            raise ValueError(f"{self.spec.name}: an action has shape {self.spec.action.shape}, not {action.shape}")
        if not np.isfinite(action).all():
            raise ValueError(f"{self.spec.name}: the action is not finite: {action}")
        return self._action_middle + self._action_scale * np.clip(action, -1.0, 1.0)

    def _observe(self, observation: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """`observation` of dm_control as the arrays that the spec promises, sorted by name."""
        arrays = {}
        for name, spec in self.spec.observation.items():
            # `array`, not `asarray`: dm_control hands out views into the simulation's live memory.
            array = np.array(observation[name], spec.dtype).reshape(spec.shape)
            self._require_finite(f"observation {name!r}", array)
            arrays[name] = array
        return arrays

    def _guard(self, advance: Callable[[], dm_env.TimeStep]) -> dm_env.TimeStep:
        """`advance()`, with dm_control's bare error about the physics turned into one that says where it happened."""
        try:
            return advance()
        except RuntimeError as error:
            from dm_control.rl.control import PhysicsError

            if not isinstance(error, PhysicsError):
                raise
            raise self._diverged(str(error)) from error

    def _require_finite(self, what: str, array: np.ndarray) -> None:
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise self._diverged(f"the {what} is not finite: {array}")

    def _diverged(self, reason: str) -> SimulationError:
        self._needs_reset = True
        return SimulationError(
            f"{self.spec.name}: the simulation diverged in env step {self._env_steps + 1} of the episode with seed "
            f"{self._seed} ({reason.strip()}). Reset it to go on; if it recurs, the actions are too wild for this task."
        )


def action_scaling(spec: specs.BoundedArray) -> tuple[np.ndarray, np.ndarray]:
    """Middle and half width `[A]` such that `middle + half_width * action` maps [-1, 1] to the bounds of `spec`."""
    minimum = np.broadcast_to(spec.minimum, spec.shape).astype(np.float64)
    maximum = np.broadcast_to(spec.maximum, spec.shape).astype(np.float64)
    bounded = (minimum > -_UNBOUNDED) & (maximum < _UNBOUNDED)
    middle = np.where(bounded, (minimum + maximum) / 2, 0.0)
    half_width = np.where(bounded, (maximum - minimum) / 2, 1.0)
    return middle, half_width


def loaded(name: str, load: Callable[[], T]) -> T:
    """The result of `load()`, with a failure of OpenGL turned into a UserError that says how to get a renderer.

    Nearly every back end fails in a way of its own, and at a moment of its own: at the import of mujoco, at the load of
    a task with a height field or a camera, or at the first frame. Errors that are not about graphics pass unchanged.
    """
    try:
        return load()
    except Exception as error:
        if not _GRAPHICS.search(str(error)):
            raise
        raise UserError(
            f"{name} needs OpenGL for this and found none ({error}). Set MUJOCO_GL before the program starts: egl "
            "(a GPU, or in software), osmesa (in software) or glfw (a desktop); `disabled` serves state-only work, not "
            "pictures, *_vision tasks or suite/quadruped-escape. On Debian and Ubuntu egl needs: "
            "apt-get install libegl1 libgl1-mesa-dri; osmesa needs: apt-get install libosmesa6"
        ) from error


def _environment_spec(config: EnvConfig, simulation: Simulation) -> EnvSpec:
    inner, repeat = simulation.environment, config.action_repeat
    own_limit = math.ceil(simulation.time_limit / repeat)
    if config.episode_steps is not None and config.episode_steps > own_limit:
        raise ConfigError(
            f"env.episode_steps is {config.episode_steps}, but an episode of {config.name} has at most {own_limit} "
            f"control steps at env.action_repeat {repeat}. Leave it out or lower it."
        )
    bounds = simulation.reward_bounds
    return EnvSpec(
        name=config.name,
        observation={
            name: _array_spec(spec, simulation.angles.get(name, ()))
            for name, spec in sorted(inner.observation_spec().items())
        },
        action=ArraySpec(tuple(inner.action_spec().shape), "float32", minimum=-1.0, maximum=1.0),
        episode_steps=config.episode_steps or own_limit,
        control_hz=1.0 / (inner.control_timestep() * repeat),
        env_steps_per_step=repeat,
        has_success=simulation.solved_reward is not None,
        reward_bounds=None if bounds is None else (repeat * bounds[0], repeat * bounds[1]),
    )


def _array_spec(spec: specs.Array, angles: tuple[int, ...]) -> ArraySpec:
    dtype = "uint8" if spec.dtype == np.uint8 else "float32"
    return ArraySpec(tuple(spec.shape) or (1,), dtype, angles=angles)
