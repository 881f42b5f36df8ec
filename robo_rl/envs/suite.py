"""The dm_control suite: `suite/<domain>-<task>`. Tassa et al., dm_control, arXiv 2006.12983, section 6."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from robo_rl.config import EnvConfig
from robo_rl.envs.adapters import ControlEnvironment, Simulation, loaded
from robo_rl.envs.interface import Environment
from robo_rl.envs.turning import turning_entries

# Every task's own limit (time limit over control timestep); only lqr has none and gets the same.
EPISODE_ENV_STEPS = 1000


def suite_names() -> list[str]:
    """Names of all tasks, sorted, e.g. `suite/ball_in_cup-catch`."""
    return sorted(f"suite/{domain}-{task}" for domain, task in _suite().ALL_TASKS)


def make_suite(config: EnvConfig) -> Environment:
    """The task named by `config.name`, one of `suite_names()`.

    An episode is truncated after 1000 env steps; only the lqr tasks terminate. Rewards of one env step lie in [0, 1],
    except those of lqr, which have no lower bound. No task knows success apart from reward.

    Raises:
        UserError: the task needs OpenGL and there is none (quadruped-escape uploads its terrain to the renderer).
    """
    suite = _suite()
    domain, task = config.name.removeprefix("suite/").split("-", 1)
    # Fixed here: lqr draws its springs while loading, and a task must be the same in every process. The limit is ours.
    load_options = {"random": 0, "time_limit": float("inf")}
    with _quiet_about_old_attributes():
        environment = suite.load(domain, task, task_kwargs=load_options)
    quality = environment.physics.model.vis.quality
    quality.shadowsize = quality.offsamples = 0
    if config.name == "suite/quadruped-escape":
        loaded(config.name, environment.reset)
    simulation = Simulation(
        environment=environment,
        random_states=(environment.task.random,),
        forget=lambda: None,
        time_limit=EPISODE_ENV_STEPS,
        reward_bounds=None if domain == "lqr" else (0.0, 1.0),
        solved_reward=None,
        angles=turning_entries(environment),
    )
    return ControlEnvironment(config, simulation)


@contextlib.contextmanager
def _quiet_about_old_attributes() -> Iterator[None]:
    """MuJoCo's advice to whoever wrote the cheetah's XML would come once per simulation, to users who did not."""

    def is_for_users(record: logging.LogRecord) -> bool:
        return "compiler attribute 'settotalmass' is deprecated" not in record.getMessage()

    logger = logging.getLogger("absl")
    logger.addFilter(is_for_users)
    try:
        yield
    finally:
        logger.removeFilter(is_for_users)


def _suite() -> Any:
    """dm_control.suite, imported only now: the caller's MUJOCO_GL must count, and programs start faster without it."""

    def load() -> Any:
        from dm_control import suite

        return suite

    return loaded("The dm_control suite", load)
