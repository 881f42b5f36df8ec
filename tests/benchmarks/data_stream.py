"""Whether memory stays flat while a data set several times the buffer streams into the demonstrations on the device.

Usage: python tests/benchmarks/data_stream.py [--episodes 300] [--buffer 2000] [--passes 3]
Writes episodes of 40 steps with a 64 x 64 picture of noise each, which PNG cannot shrink, and streams them. It prints
the resident memory (MB) of this process after every third of a pass, and how fast transitions came.
"""

import argparse
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import psutil

from robo_rl.config import DataConfig
from robo_rl.data.episode import RecordedEpisode
from robo_rl.data.features import features_of, serialize
from robo_rl.data.feed import Feed
from robo_rl.data.writer import DatasetWriter
from robo_rl.replay import ring
from robo_rl.specs import ArraySpec, EnvSpec

STEPS = 40
SPEC = EnvSpec(
    "noise/pictures", {"image": ArraySpec((64, 64, 3), "uint8"), "state": ArraySpec((8,))}, ArraySpec((5,)), STEPS, 10.0
)


def episode(number: int) -> RecordedEpisode:
    """An episode of noise."""
    rng = np.random.default_rng(number)
    return RecordedEpisode(
        observation={
            "image": rng.integers(0, 256, (STEPS + 1, 64, 64, 3), np.uint8),
            "state": rng.normal(size=(STEPS + 1, 8)).astype(np.float32),
        },
        action=rng.uniform(-1, 1, (STEPS, 5)).astype(np.float32),
        reward=rng.uniform(size=STEPS).astype(np.float32),
        terminated=False,
        seed=number,
        policy="noise",
        success=None,
    )


def resident() -> float:
    """Resident memory of this process (MB)."""
    return psutil.Process().memory_info().rss / 1e6


def stream(folder: Path, buffer: int, passes: int) -> list[float]:
    """Stream `passes` times over the data set; resident memory after every third of a pass, once the buffer is full."""
    config = DataConfig(path=str(folder), buffer=buffer, stream_episodes=4)
    feed = Feed(config, SPEC, n_step=1, discount=0.99, seed=0)
    held = feed.capacity * sum(leaf.nbytes for leaf in jax.tree.leaves(ring.init(SPEC, 1)))
    print(f"{feed.summary.steps} transitions in the data set, {feed.capacity} in the buffer ({held / 1e6:.0f} MB)")
    add = jax.jit(ring.add, donate_argnums=0)
    state = ring.init(SPEC, feed.capacity)
    measured, start, count = [], time.perf_counter(), 0
    third = feed.summary.episodes // config.stream_episodes // 3
    for number in range(1, 3 * third * passes + 1):
        block = feed.next()
        state = add(state, block.experience.transition, np.int32(block.count))
        count += block.count
        if number % third == 0:
            jax.block_until_ready(state)
            measured.append(resident())
            rate = count / (time.perf_counter() - start)
            print(f"pass {number / third / 3:5.2f}: resident {measured[-1]:7.1f} MB, {rate:7.0f} transitions/s")
    return measured


def main() -> None:
    """Write, stream, and say how far memory rose after the first pass."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--buffer", type=int, default=2000)
    parser.add_argument("--passes", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, features = Path(name) / "data", features_of(SPEC)
        with DatasetWriter(folder, "noise", features, {}, 50) as writer:
            for number in range(options.episodes):
                writer.add(serialize(features, SPEC, episode(number)))
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        print(f"{options.episodes} episodes, {size:.0f} MB on disk; resident {resident():.1f} MB before")
        measured = stream(folder, options.buffer, options.passes)
    first, rest = max(measured[:3]), measured[3:]
    print(f"highest in the first pass {first:.1f} MB, later {min(rest):.1f} to {max(rest):.1f} MB")


if __name__ == "__main__":
    main()
