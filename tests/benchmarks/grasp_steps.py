"""Control steps per second of the grasp task on one core, inverse kinematics included.

    MUJOCO_GL=disabled python tests/benchmarks/grasp_steps.py [SIMULATIONS] [EPISODES]

The scripted policy grasps (most contacts), random actions mostly do not; its own time is not counted. Figures are per
second of CPU time, so other work on the machine matters little; wall-clock figures stand beside them.
"""

import sys
import time

import numpy as np

from robo_rl.config import EnvConfig
from robo_rl.envs.grasp_batch import GraspBatch
from robo_rl.envs.grasp_scripted import scripted_actions


def measure(name: str, policy: str, num_envs: int, episodes: int) -> str:
    """Runs `episodes` episodes in each of `num_envs` simulations and returns one line of figures."""
    env = GraspBatch(EnvConfig(name=name), num_envs)
    rng = np.random.default_rng(0)
    cpu = wall = reset = 0.0
    successes = 0
    for episode in range(episodes):
        started = time.process_time()
        observation = env.reset(range(num_envs), range(episode * num_envs, (episode + 1) * num_envs))
        reset += time.process_time() - started
        for _ in range(env.spec.episode_steps):
            scripted = policy == "scripted"
            actions = scripted_actions(observation, 0.0, rng) if scripted else rng.uniform(-1, 1, (num_envs, 5))
            started, wall_started = time.process_time(), time.perf_counter()
            step = env.step(actions)
            cpu, wall = cpu + time.process_time() - started, wall + time.perf_counter() - wall_started
            observation = step.observation
        successes += int(step.success.sum())
    played = num_envs * episodes
    steps = played * env.spec.episode_steps
    return (
        f"{name:14} {policy:9} {steps / cpu:7.0f} steps/s of CPU  {steps / wall:7.0f} steps/s of wall clock  "
        f"reset {1e3 * reset / played:5.2f} ms  success {successes / played:4.0%}"
    )


def main() -> None:
    """Prints a line per task and policy."""
    num_envs = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    episodes = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    print(f"{num_envs} simulations on one thread, {episodes} episodes each")
    for name in ("grasp/cube", "grasp/objects"):
        for policy in ("scripted", "random"):
            print(measure(name, policy, num_envs, episodes), flush=True)


if __name__ == "__main__":
    main()
