"""From the commit of a checkpoint to the start of its first block: `python tests/benchmarks/fleet_latency.py`.

One idle worker process on the local disk, an evaluation without physics, 20 checkpoints committed at odd moments.
Prints median and maximum in seconds, to which come what loading a policy takes (see checkpoints.py).
"""

import statistics
import tempfile
import threading
import time
from pathlib import Path

from robo_rl.fleet.blocks import block_file, write_result
from robo_rl.fleet.coordinator import run_fleet
from robo_rl.fleet.executor import ProcessExecutor
from tests.fleet import stub

SUITE = stub.make_suite()


def evaluate(suite, block):
    write_result(block_file(suite, block), {"started": time.time()})


def merge(suite, block):
    """Nothing to merge here."""


def main():
    from tests.benchmarks import fleet_latency  # by its importable name: workers cannot import __main__

    with tempfile.TemporaryDirectory() as folder, ProcessExecutor(1, {}) as executor:
        run = stub.make_run(Path(folder) / "run")
        is_over = threading.Event()
        calls = (fleet_latency.evaluate, fleet_latency.merge)
        options = {"mode": "follow", "report": lambda note: None, "stop": is_over.is_set}
        fleet = threading.Thread(target=run_fleet, args=([run], lambda run: SUITE, executor, 1, calls), kwargs=options)
        fleet.start()
        waited = [latency(run, 5000 * (number + 1)) for number in range(21)][1:]  # the first starts the worker
        is_over.set()
        fleet.join()
    print(f"{len(waited)} checkpoints: median {statistics.median(waited):.2f} s, maximum {max(waited):.2f} s")


def latency(run, step):
    time.sleep(0.5 + step % 7 / 20)
    stub.add_checkpoint(run, step)
    committed = time.time()
    while not (files := list(run.evaluations.glob(f"stub/{step}-*/nominal/00000.json"))):
        time.sleep(0.01)
    return stub.load(files[0])["started"] - committed


if __name__ == "__main__":
    main()
