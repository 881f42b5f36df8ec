"""What a fleet adds to 200 episodes of the grasp task: `python tests/benchmarks/fleet_overhead.py [REPETITIONS]`.

Trains a tiny run with the preset's networks, judges one of its checkpoints so that the worker is warm, and then new
ones: 200 episodes in blocks of 25, one worker. Prints what the parts took by the clock and in CPU seconds: medians over
the repetitions, with the least and the most. On a machine that others use too, only CPU seconds say something of the
program; by the clock every part also holds its waits for a core. Each repetition starts the coordinator anew, which a
fleet that follows a run does once.
"""

import json
import shutil
import statistics
import sys
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

SUITE = Suite(name="overhead", task="grasp/*", episodes=200, block_episodes=50, envs=25)
FLAGS = {
    "env-steps": 1200, "runtime": "inline", "log-every": 400, "evaluation.episodes": 1, "evaluation.final-episodes": 1,
    "learner.warmup-env-steps": 800, "checkpoint.policy-every": 600, "checkpoint.run-every": 600,
}  # fmt: skip
EPISODES, REST, COORDINATOR = "playing episodes", "the rest in the worker", "coordinator and queues"
TIMED = {"run_episodes": EPISODES, "load_policy": "loading the policy", "write_result": "writing blocks"}
PARTS = (EPISODES, "loading the policy", "writing blocks", "merging", REST, COORDINATOR)


def clocks():
    """Seconds by the clock and of CPU in this process."""
    return time.perf_counter(), time.process_time()


def evaluate(suite, block):
    """`evaluate_block`, and beside its result how long its parts took."""
    start, real = clocks(), {name: getattr(worker, name) for name in TIMED}
    spent = {}

    def timed(name):
        def call(*arguments):
            before = clocks()
            result = real[name](*arguments)
            spent[TIMED[name]] = since(before)
            return result

        return call

    for name in TIMED:
        setattr(worker, name, timed(name))
    try:
        worker.evaluate_block(suite, block)
    finally:
        for name, function in real.items():
            setattr(worker, name, function)
    note(block, f"block {block.index}", {**spent, "whole call": since(start)})


def timed_merge(suite, block):
    """`merge`, and how long it took."""
    start = clocks()
    merge(suite, block)
    note(block, "merge", {"merging": since(start), "whole call": since(start)})


def since(start):
    return [now - then for now, then in zip(clocks(), start, strict=True)]


def note(block, name, spent):
    folder = RunFolder(block.run).path.parent / f"seconds-{block.step}"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(spent))


def train_tiny(folder):
    """A run of the preset's networks with two checkpoints, after 600 and 1200 environment steps."""
    flags = [text for flag, value in FLAGS.items() for text in (f"--{flag}", str(value))]
    assert cli.main(["train", "grasp_cube", "--run", str(folder), *flags]) == 0
    return RunFolder(folder)


def judge(run, executor, step):
    """Part -> [seconds by the clock, CPU seconds] of judging one more checkpoint."""
    from tests.benchmarks import fleet_overhead  # by its importable name: workers cannot import __main__

    start = clocks()
    calls = (fleet_overhead.evaluate, fleet_overhead.timed_merge)
    tally = run_fleet([run], lambda run: SUITE, executor, 1, calls, report=lambda note: None)
    whole = since(start)
    assert tally.blocks == SUITE.blocks
    parts = {}
    for which in (0, 1):
        total = Counter()
        for file in (run.path.parent / f"seconds-{step}").iterdir():
            total.update({name: both[which] for name, both in json.loads(file.read_text()).items()})
        in_calls = total.pop("whole call")
        total[REST] = in_calls - sum(total.values())
        # By the clock the calls lie within the whole; CPU seconds are counted by each process for itself.
        total[COORDINATOR] = whole[0] - in_calls if which == 0 else whole[1]
        for name in PARTS:
            parts.setdefault(name, []).append(total[name])
    return parts


def main():
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as name, ProcessExecutor(1, {"JAX_PLATFORMS": "cpu"}) as executor:
        run = train_tiny(Path(name) / "run")
        first, *others = committed_steps(run.checkpoints)
        for step in others:
            (run.checkpoints / str(step)).rename(Path(name) / "later")
        judge(run, executor, first)
        found = []
        for number in range(repetitions):
            step = 5000 * (number + 1)
            shutil.copytree(run.checkpoints / str(first), run.checkpoints / f"{step}.unfinished")
            (run.checkpoints / f"{step}.unfinished").rename(run.checkpoints / str(step))
            found.append(judge(run, executor, step))
    for which, kind in enumerate(("seconds by the clock", "CPU seconds")):
        print(f"\n{kind}, median [least, most] of {len(found)}; share of playing the episodes")
        for part in PARTS:
            seconds = [parts[part][which] for parts in found]
            shares = [parts[part][which] / parts[EPISODES][which] for parts in found]
            shown = f"{statistics.median(seconds):7.3f} [{min(seconds):.3f}, {max(seconds):.3f}]"
            print(f"{part:24} {shown:28} {statistics.median(shares):7.2%} [{min(shares):.2%}, {max(shares):.2%}]")


if __name__ == "__main__":
    main()
