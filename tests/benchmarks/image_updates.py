"""SAC updates per second from camera images, by batch and encoder, in the scan that training runs.

    JAX_PLATFORMS=cpu python tests/benchmarks/image_updates.py [BATCH ...]

Sampling from the replay and random shifts are part of it. Median and range over repetitions, per second of wall clock
and of CPU time; the ratio is that of batches from state alone to those with images, in CPU time.
"""

import statistics
import sys
import time

import jax
import numpy as np

from robo_rl.agents.agent import Agent
from robo_rl.config import Config, EnvConfig, ImageConfig, SACConfig
from robo_rl.experiment import build
from robo_rl.replay import ring
from robo_rl.roles.learner import LearnerState, updates

REPETITIONS = 5
UPDATES = 8
ENCODERS = {
    "8x8 patches, 1 convolution": ImageConfig(patch=8, channels=32, convolutions=1),
    "4x4 patches, 2 convolutions": ImageConfig(patch=4, channels=32, convolutions=2),
}


def filled(config: Config) -> tuple[Agent, LearnerState]:
    """An agent, and its learner's state with a replay that holds noise."""
    experiment = build(config)
    state = experiment.initial_state()
    rng = np.random.default_rng(0)

    def noise(leaf: jax.Array) -> jax.Array:
        if leaf.dtype == np.uint8:
            return jax.numpy.asarray(rng.integers(0, 256, leaf.shape, dtype=np.uint8))
        return jax.numpy.asarray(rng.uniform(-1, 1, leaf.shape).astype(leaf.dtype))

    storage = jax.tree.map(noise, state.replay.storage)
    replay = ring.RingState(storage, state.replay.cursor, np.int32(config.replay.capacity))
    return experiment.agent, state._replace(replay=replay)


def measure(env: EnvConfig, image: ImageConfig, batch: int) -> tuple[float, str]:
    """Updates per second of CPU time, and a line that says it."""
    config = Config(env=env, agent=SACConfig(image=image))
    agent, state = filled(config.model_copy(update={"replay": config.replay.model_copy(update={"capacity": 2000})}))
    program = jax.jit(lambda s: updates(agent, batch, UPDATES, s)[0], donate_argnums=0)
    state = jax.block_until_ready(program(state))
    wall, cpu = [], []
    for _ in range(REPETITIONS):
        started, cpu_started = time.perf_counter(), time.process_time()
        state = jax.block_until_ready(program(state))
        wall.append(UPDATES / (time.perf_counter() - started))
        cpu.append(UPDATES / (time.process_time() - cpu_started))
    rate = statistics.median(cpu)
    return rate, (
        f"{rate:5.0f} updates/s of CPU ({min(cpu):.0f} to {max(cpu):.0f}), "
        f"{statistics.median(wall):5.0f} of wall clock ({min(wall):.0f} to {max(wall):.0f})"
    )


def main() -> None:
    """Prints a line per batch and encoder."""
    for batch in [int(argument) for argument in sys.argv[1:]] or [64, 128, 256]:
        plain, line = measure(EnvConfig(), ImageConfig(), batch)
        print(f"batch {batch:3}  {'state alone':28} {line}", flush=True)
        for name, image in ENCODERS.items():
            rate, line = measure(EnvConfig(observation="camera"), image, batch)
            print(f"batch {batch:3}  {name:28} {line}  ratio {plain / rate:.1f}", flush=True)


if __name__ == "__main__":
    main()
