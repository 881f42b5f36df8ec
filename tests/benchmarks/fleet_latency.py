"""From the commit of a checkpoint to its first block: `python tests/benchmarks/fleet_latency.py [CHECKPOINTS]`.

One idle worker process on the local disk and real evaluations of the grasp task, 2 episodes a block. A tiny run is
trained first; its checkpoint is then committed anew, 20 times, at odd moments. Prints medians and maxima of the seconds
from the commit until the worker has the block, until its first episode begins (the policy is loaded and checked then),
and until the file of the block is there.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from robo_rl.checkpoints.layout import committed_steps
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.fleet import worker
from robo_rl.fleet.blocks import merge
from robo_rl.fleet.coordinator import run_fleet
from robo_rl.fleet.executor import ProcessExecutor
from robo_rl.fleet.suite import Suite
from tests.benchmarks.fleet_overhead import train_tiny

SUITE = Suite(name="latency", task="grasp/*", episodes=4, block_episodes=2, envs=2)
MOMENTS = ("has the block", "first episode begins", "block's file is there")


def evaluate(suite, block):
    """`evaluate_block`, which leaves word of when it was called, began the first episode, and was done."""
    moments, real = [time.time()], worker.run_episodes

    def timed(*arguments):
        moments.append(time.time())
        return real(*arguments)

    worker.run_episodes = timed
    try:
        worker.evaluate_block(suite, block)
    finally:
        worker.run_episodes = real
    moments.append(time.time())
    if block.index == 0:
        file = RunFolder(block.run).path.parent / f"moments-{block.step}.json"
        file.with_suffix(".part").write_text(json.dumps(moments))
        file.with_suffix(".part").rename(file)


def commit(run, source, step):
    """A new checkpoint by one rename, as the writer commits; the time of the rename."""
    shutil.copytree(source, run.checkpoints / f"{step}.unfinished")
    time.sleep(0.5 + step % 7 / 20)
    (run.checkpoints / f"{step}.unfinished").rename(run.checkpoints / str(step))
    return time.time()


def latency(run, source, step):
    committed = commit(run, source, step)
    file = run.path.parent / f"moments-{step}.json"
    while not file.exists():
        time.sleep(0.005)
    return [moment - committed for moment in json.loads(file.read_text())]


def main():
    from tests.benchmarks import fleet_latency  # by its importable name: workers cannot import __main__

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    environment = {"JAX_PLATFORMS": "cpu", "MUJOCO_GL": os.environ.get("MUJOCO_GL", "disabled")}
    with tempfile.TemporaryDirectory() as name, ProcessExecutor(1, environment) as executor:
        run = train_tiny(Path(name) / "run")
        for step in committed_steps(run.checkpoints):
            (run.checkpoints / str(step)).rename(Path(name) / "source" if step < 1000 else Path(name) / "later")
        is_over = threading.Event()
        options = {"mode": "follow", "report": lambda note: None, "stop": is_over.is_set}
        calls = (fleet_latency.evaluate, merge)
        fleet = threading.Thread(target=run_fleet, args=([run], lambda run: SUITE, executor, 1, calls), kwargs=options)
        fleet.start()
        # The first makes the worker start and compile
        waited = [latency(run, Path(name) / "source", 5000 * (number + 1)) for number in range(count + 1)][1:]
        is_over.set()
        fleet.join()
    print(f"{len(waited)} checkpoints, seconds from the commit until the worker ...")
    for name, seconds in zip(MOMENTS, zip(*waited, strict=True), strict=True):
        print(f"{name:24} median {statistics.median(seconds):.2f}   maximum {max(seconds):.2f}")


if __name__ == "__main__":
    main()
