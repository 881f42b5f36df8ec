"""Camera observations of the grasp task per second on one core, beside what the settings of the renderer cost.

    MUJOCO_GL=egl LP_NUM_THREADS=0 python tests/benchmarks/grasp_frames.py [SIMULATIONS] [STEPS]

Figures are per second of CPU time, so other work on the machine matters little: median and range over repetitions.
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from robo_rl.config import EnvConfig
from robo_rl.envs.grasp_batch import GraspBatch
from robo_rl.envs.grasp_render import GraspRenderer
from robo_rl.envs.grasp_scene import OBSERVING_CAMERA

REPETITIONS = 5


def rate(work: Callable[[], object], count: int) -> str:
    """How often a second of CPU time does one of the `count` things that `work` does."""
    work()
    rates = []
    for _ in range(REPETITIONS):
        started = time.process_time()
        work()
        rates.append(count / (time.process_time() - started))
    return f"{statistics.median(rates):6.0f}/s of CPU ({min(rates):.0f} to {max(rates):.0f})"


def steps(config: EnvConfig, num_envs: int, count: int) -> str:
    """Control steps with random actions, observations included."""
    env = GraspBatch(config.model_copy(update={"episode_steps": 10**9}), num_envs)
    env.reset(range(num_envs), range(num_envs))
    actions = np.random.default_rng(0).uniform(-1, 1, (count, num_envs, 5))

    def work() -> None:
        for action in actions:
            env.step(action)

    result = rate(work, count * num_envs)
    env.close()
    return result


def frames(size: int, coarse: bool, num_envs: int, count: int) -> str:
    """Frames alone, of simulations that stand still."""
    env = GraspBatch(EnvConfig(name="grasp/objects"), num_envs)
    env.reset(range(num_envs), range(num_envs))
    renderer = GraspRenderer(env._model, coarse)
    everyone = list(range(num_envs))
    result = rate(
        lambda: [renderer.frames(env._batch, everyone, size, OBSERVING_CAMERA) for _ in range(count)], count * num_envs
    )
    renderer.close()
    return result


def main() -> None:
    """Prints a line for each setting."""
    num_envs = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    print(f"{num_envs} simulations on one thread")
    for name in ("grasp/cube", "grasp/objects"):
        for observation in ("state", "camera"):
            config = EnvConfig.model_validate({"name": name, "observation": observation})
            print(f"{name:14} {observation:7} control steps {steps(config, num_envs, count)}", flush=True)
    for size in (64, 84, 128):
        for coarse in (True, False):
            shape = "coarse" if coarse else "smooth"
            print(f"{size:3} pixels, {shape} shapes, frames {frames(size, coarse, num_envs, count)}", flush=True)


if __name__ == "__main__":
    main()
