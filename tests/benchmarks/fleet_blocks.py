"""What the coordinator costs per block, without physics: `python tests/benchmarks/fleet_blocks.py [CHECKPOINTS]`.

Checkpoints are folders with hashes only, a block's result is a file of two episodes, and the executor works at once in
the coordinator's own process, so that all the time that is not the work itself is the coordinator's. Prints one line
for an eighth, a quarter, a half and all of CHECKPOINTS (1,000), each with 100 blocks: a cost that is linear in the work
gives the same figure per block in each. Then the cost of starting again over finished files.
"""

import concurrent.futures
import json
import sys
import tempfile
import time
from pathlib import Path

from robo_rl.fleet.blocks import block_file, row_file
from robo_rl.fleet.coordinator import run_fleet
from tests.fleet import stub

BLOCKS = 100
SUITE = stub.make_suite(episodes=2 * BLOCKS, block_episodes=2)


class Stopwatch:
    """An executor that does each call at once and adds up the time that the calls take (CPU seconds)."""

    def __init__(self):
        self.seconds = 0.0

    def submit(self, function, suite, block):
        start = time.process_time()
        future = concurrent.futures.Future()
        future.set_result(function(suite, block))
        self.seconds += time.process_time() - start
        return future


def evaluate(suite, block):
    file = block_file(suite, block)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('{"episodes": []}\n')


def merge(suite, block):
    row_file(suite, block).write_text(json.dumps({"episodes": suite.episodes}))


def measure(run):
    stopwatch, start = Stopwatch(), time.process_time()
    tally = run_fleet([run], lambda run: SUITE, stopwatch, 4, (evaluate, merge), report=lambda note: None)
    return tally.blocks, time.process_time() - start - stopwatch.seconds


def main():
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print("checkpoints  blocks    coordinator per block (CPU ms)  restart over finished files (CPU s)")
    for checkpoints in (most // 8, most // 4, most // 2, most):
        with tempfile.TemporaryDirectory() as folder:
            run = stub.make_run(Path(folder) / "run", range(5000, 5000 * (checkpoints + 1), 5000))
            blocks, seconds = measure(run)
            assert blocks == checkpoints * BLOCKS, "every block exactly once"
            again, restart = measure(run)
            assert again == 0, "a restart finds every file"
        print(f"{checkpoints:11,d}  {blocks:7,d}  {1000 * seconds / blocks:25.4f}  {restart:30.2f}")


if __name__ == "__main__":
    main()
