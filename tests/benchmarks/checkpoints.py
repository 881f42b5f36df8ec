"""Prints how long a policy of 5 MB and a run of 100 MB take to save and restore. Usage: checkpoints.py [FOLDER]."""

import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from robo_rl.checkpoints.reader import load_policy, load_run
from robo_rl.checkpoints.writer import CheckpointWriter

ROUNDS = 5


def arrays(megabytes: float, leaves: int) -> dict[str, Any]:
    """Float32 noise, which does not compress well: the slow case."""
    generator = np.random.default_rng(0)
    count = int(megabytes * 250_000 / leaves)
    return {f"leaf{index}": jax.device_put(generator.normal(size=count).astype("f")) for index in range(leaves)}


def milliseconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(call())
    return 1000 * (time.perf_counter() - start)


def report(what: str, times: list[float]) -> None:
    print(f"{what:42} median {statistics.median(times):6.0f} ms   first {times[0]:6.0f} ms")


def main(folder: pathlib.Path) -> None:
    policy, run = arrays(5, 20), arrays(100, 40)
    for name, held in (("policy 5 MB", None), ("policy 5 MB + run 100 MB", run)):
        target = folder / name.replace(" ", "-")
        blocked, committed = [], []
        with CheckpointWriter(target, keep_newest=2, keep_best=1) as writer:
            for step in range(1, ROUNDS + 1):
                blocked.append(milliseconds(lambda step=step: writer.save(step, policy, held, {})))  # noqa: B023
                committed.append(blocked[-1] + milliseconds(writer.wait))
        report(f"{name}: save() blocks", blocked)
        report(f"{name}: committed after", committed)
    report(
        "policy: restore with template", [milliseconds(lambda: load_policy(target, ROUNDS, policy)) for _ in range(5)]
    )
    report("policy: restore as NumPy", [milliseconds(lambda: load_policy(target, ROUNDS)) for _ in range(5)])
    report("run: restore with template", [milliseconds(lambda: load_run(target, ROUNDS, run)) for _ in range(5)])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(pathlib.Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(pathlib.Path(temporary))
