"""Kills workers, coordinator and trainer of a fleet at random, and compares what comes out with a quiet fleet's work.

Also a program, of the parts that are killed:
    python -m tests.fleet.chaos train RUN    commits 10 checkpoints, or those that are missing
    python -m tests.fleet.chaos fleet RUN    4 workers with an evaluation without physics, until the training is over
"""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from robo_rl.checkpoints.layout import committed_steps
from robo_rl.checkpoints.run_folder import RunFolder
from tests.fleet import stub
from tests.runtimes.local_run import is_alive, kill, wait_until_gone

CHECKPOINTS, WORKERS = 10, 4
SUITE = stub.make_suite(episodes=40, block_episodes=2, variations={"nominal": {}, "other": {}})


class Process:
    """A command that is started again after it was killed; `ended` once it has come to its own end."""

    def __init__(self, command, output):
        self.command, self.output, self.starts = command, output, 0
        self.process = None

    def start(self):
        self.starts += 1
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
        with self.output.open("a") as output:
            self.process = subprocess.Popen(self.command, env=environment, stdout=output, stderr=subprocess.STDOUT)

    def kill(self):
        """SIGKILL, and again from the start; the orphans are left to notice."""
        orphans = children(self.process.pid)
        self.process.kill()
        self.process.wait()
        assert wait_until_gone(orphans, 10) == [], "children outlive their parent"
        self.start()

    def ended(self):
        code = self.process.poll()
        assert code in (None, 0), self.output.read_text()[-3000:]
        return code == 0


def children(pid):
    """The child processes of a living one, without multiprocessing's own helpers."""
    try:
        pids = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        # Children that were started by another thread are listed with that thread
        for task in Path(f"/proc/{pid}/task").iterdir():
            pids += [int(one) for one in (task / "children").read_text().split()]
        return [one for one in set(pids) if is_alive(one) and b"resource_tracker" not in command_line(one)]
    except (FileNotFoundError, ProcessLookupError):
        return []


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def disturb(run, fleet, trainer, seconds, pause, seed=0):
    """Kill a worker every `pause` seconds or so for `seconds`, and once the coordinator and the trainer; how many."""
    draw, start, killed = random.Random(seed), time.monotonic(), 0
    while (now := time.monotonic() - start) < seconds and not fleet.ended():
        time.sleep(draw.uniform(0.5, 1.5) * pause)
        workers = children(fleet.process.pid)
        if workers:
            kill(draw.choice(workers))
            killed += 1
        if len(committed_steps(run.checkpoints)) > 3 and trainer.starts == 1:
            trainer.kill()
        if now > seconds / 2 and fleet.starts == 1:
            fleet.kill()
    return killed


def chaos(folder, train, fleet, seconds, pause):
    """Run both commands in disorder; the run, how often workers were killed, and what the fleet said."""
    run = RunFolder(folder / "run")
    trainer, fleet = Process(train, folder / "trainer.txt"), Process(fleet, folder / "fleet.txt")
    trainer.start()
    try:
        while not committed_steps(run.checkpoints):
            assert not trainer.ended() or committed_steps(run.checkpoints), "the trainer ended without a checkpoint"
            time.sleep(0.1)
        fleet.start()
        killed = disturb(run, fleet, trainer, seconds, pause)
        while not fleet.ended() or not trainer.ended():
            time.sleep(0.1)
    finally:
        for one in (trainer, fleet):
            if one.process is not None and one.process.poll() is None:
                one.process.kill()
                one.process.wait()
    assert (trainer.starts, fleet.starts) == (2, 2), "each of the two was killed once"
    return run, killed, fleet.output.read_text()


def quiet_copy(run, folder):
    """The same run without evaluations."""
    shutil.copytree(run.path, folder, ignore=shutil.ignore_patterns("evaluations", "*.lock", "pins"))
    return RunFolder(folder)


def leftovers(run):
    return [path for path in run.path.rglob("*") if "tmp" in path.name or "unfinished" in path.name]


def train(path):
    import jax.numpy as jnp

    from robo_rl.checkpoints.writer import CheckpointWriter
    from robo_rl.config import CheckpointConfig, Config, EnvConfig
    from robo_rl.files import write_json_atomic
    from tests.toys import SPEC

    run = RunFolder(path)
    config = Config(env=EnvConfig(name="toy/reach"), checkpoint=CheckpointConfig(policy_every=100, run_every=100))
    with run.lock(), CheckpointWriter(run.checkpoints, CHECKPOINTS, 0) as writer:
        newest = run.begin(config, SPEC) or 0
        for step in range(newest + 100, 100 * CHECKPOINTS + 1, 100):
            tree = {"w": jnp.full(3, step)}
            writer.save(step, tree, tree, {})
            writer.wait()
            time.sleep(0.7)
        write_json_atomic(run.status_file, {"state": "finished"})


def evaluate(suite, block):
    """A stub that takes a while, and whose checkpoint must be there to its end."""
    time.sleep(0.05)
    assert (RunFolder(block.run).checkpoints / str(block.step) / "hashes.json").is_file(), "deleted under a reader"
    stub.evaluate(suite, block)


def fleet(path, workers=WORKERS):
    from robo_rl.fleet.blocks import merge
    from robo_rl.fleet.coordinator import run_fleet
    from robo_rl.fleet.executor import ProcessExecutor
    from tests.fleet import chaos

    with ProcessExecutor(workers, {}) as executor:
        # By its importable name, since this file may be running as __main__
        run_fleet([RunFolder(path)], lambda run: SUITE, executor, workers, (chaos.evaluate, merge), mode="until_done")


if __name__ == "__main__":
    {"train": train, "fleet": fleet}[sys.argv[1]](sys.argv[2])
