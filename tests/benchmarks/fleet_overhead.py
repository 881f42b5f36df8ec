"""What a fleet adds to 200 episodes of the grasp task: `python tests/benchmarks/fleet_overhead.py`.

Trains a tiny run, judges one of its checkpoints so that the worker is warm, and then another: 200 episodes in blocks
of 25. Prints what the parts took: playing the episodes, loading the policy, writing and merging results, dispatch.
"""

import json
import tempfile
import time
from collections import Counter
from pathlib import Path

from robo_rl import cli
from robo_rl.checkpoints.layout import committed_steps
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.fleet import worker
from robo_rl.fleet.blocks import merge
from robo_rl.fleet.coordinator import run_fleet
from robo_rl.fleet.executor import ProcessExecutor
from robo_rl.fleet.suite import Suite

SUITE = Suite(name="overhead", task="grasp/*", episodes=200, block_episodes=25, envs=25)
FLAGS = {
    "env-steps": 1200, "runtime": "inline", "log-every": 400, "evaluation.episodes": 1, "evaluation.final-episodes": 1,
    "learner.warmup-env-steps": 800, "checkpoint.policy-every": 600, "checkpoint.run-every": 600,
}  # fmt: skip


TIMED = {"run_episodes": "episodes", "load_policy": "loading the policy", "write_result": "writing blocks"}


def evaluate(suite, block):
    """`evaluate_block`, and beside its result how long its parts took (s)."""
    real = {name: getattr(worker, name) for name in TIMED}
    spent = {}

    def timed(name):
        def call(*arguments):
            start = time.perf_counter()
            result = real[name](*arguments)
            spent[TIMED[name]] = time.perf_counter() - start
            return result

        return call

    for name in TIMED:
        setattr(worker, name, timed(name))
    try:
        worker.evaluate_block(suite, block)
    finally:
        for name, function in real.items():
            setattr(worker, name, function)
    note(block, f"block {block.index}", spent)


def timed_merge(suite, block):
    """`merge`, and how long it took (s)."""
    start = time.perf_counter()
    merge(suite, block)
    note(block, "merge", {"merging": time.perf_counter() - start})


def note(block, name, spent):
    folder = RunFolder(block.run).path.parent / f"seconds-{block.step}"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(spent))


def train_tiny(folder):
    """A run of the preset's networks with two checkpoints, after 600 and 1200 environment steps."""
    flags = [text for flag, value in FLAGS.items() for text in (f"--{flag}", str(value))]
    assert cli.main(["train", "grasp_cube", "--run", str(folder), *flags]) == 0
    return RunFolder(folder)


def main():
    from tests.benchmarks import fleet_overhead  # by its importable name: workers cannot import __main__

    with tempfile.TemporaryDirectory() as name, ProcessExecutor(1, {"JAX_PLATFORMS": "cpu"}) as executor:
        folder = Path(name)
        run = train_tiny(folder / "run")
        first, *_, last = committed_steps(run.checkpoints)
        (run.checkpoints / str(last)).rename(folder / str(last))
        for step in (first, last):
            if step == last:
                (folder / str(last)).rename(run.checkpoints / str(last))
            start = time.perf_counter()
            calls = (fleet_overhead.evaluate, fleet_overhead.timed_merge)
            run_fleet([run], lambda run: SUITE, executor, 1, calls, report=lambda note: None)
            whole = time.perf_counter() - start
        parts = Counter()
        for file in (folder / f"seconds-{last}").iterdir():
            parts.update(json.loads(file.read_text()))
    parts["dispatch and the rest"] = whole - sum(parts.values())
    for name, seconds in parts.most_common():
        print(f"{name:24} {seconds:7.3f} s  {seconds / whole:7.2%}")


if __name__ == "__main__":
    main()
