"""The Jaco arm tasks of dm_control: `manipulation/<name>`. Tassa et al., dm_control, arXiv 2006.12983, section 5.3."""

import warnings
from typing import Any

import numpy as np

from robo_rl.config import EnvConfig
from robo_rl.envs.adapters import ControlEnvironment, Simulation, loaded
from robo_rl.envs.interface import Environment

# dm_control's own limit, `dm_control.manipulation._TIME_LIMIT`, in s of simulated time: 250 steps at 25 Hz.
EPISODE_SECONDS = 10.0

# The reward of every task is shaped and reaches 1 exactly where the goal stands; the margin is for float rounding.
SOLVED_REWARD = 1.0 - 1e-6

# A random placement of the props may collide; the tries draw from the same seeded stream, so the episode stays seeded.
_RESET_ATTEMPTS = 10


def manipulation_names() -> list[str]:
    """Names of all tasks, sorted, e.g. `manipulation/lift_brick_features`; `*_vision` ones observe through a camera."""
    return sorted(f"manipulation/{name}" for name in _modules()[0].ALL)


def make_manipulation(config: EnvConfig) -> Environment:
    """The task named by `config.name`, one of `manipulation_names()`.

    An episode is truncated after 10 s; no task terminates. `success` is the full reward of 1 in the last env step: the
    hand at the target, the prop lifted, the bricks stacked. Observations come without dm_control's buffer axis of 1.

    Raises:
        UserError: a `*_vision` task where there is no OpenGL.
    """
    _, composer, registry = _modules()
    task = registry.get_constructor(config.name.removeprefix("manipulation/"))()
    # In the MJCF, not in the physics: the model is compiled anew at every reset.
    quality = task.root_entity.mjcf_model.visual.quality
    quality.shadowsize = quality.offsamples = 0
    environment = loaded(
        config.name,
        lambda: composer.Environment(
            task, random_state=0, strip_singleton_obs_buffer_dim=True, max_reset_attempts=_RESET_ATTEMPTS
        ),
    )
    simulation = Simulation(
        environment=environment,
        random_states=(environment.random_state,),
        forget=lambda: _forget_brick_order(task),
        time_limit=round(EPISODE_SECONDS / environment.control_timestep()),
        reward_bounds=(0.0, 1.0),
        solved_reward=SOLVED_REWARD,
    )
    return ControlEnvironment(config, simulation)


def _forget_brick_order(task: Any) -> None:
    """Undo the shuffling that the reassemble tasks do in place, episode after episode, on the order of their bricks."""
    order = getattr(task, "_initial_order", None)
    if order is not None:
        order[:] = np.arange(len(order))


def _modules() -> tuple[Any, Any, Any]:
    """dm_control's `manipulation`, `composer` and task registry, imported only when needed (see `suite._suite`)."""

    def load() -> tuple[Any, Any, Any]:
        # Importing composer puts "always show deprecations" before the caller's own rules; leaving the block undoes it.
        with warnings.catch_warnings():
            from dm_control import composer, manipulation
            from dm_control.manipulation.shared import registry
        return manipulation, composer, registry

    return loaded("dm_control.manipulation", load)
