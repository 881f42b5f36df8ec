"""An evaluation without physics, and run folders without training, for tests of what surrounds both."""

import json
import os
import signal

import numpy as np

from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.config import Config, EnvConfig
from robo_rl.files import write_json_atomic
from robo_rl.fleet.blocks import block_file, write_result
from robo_rl.fleet.suite import Suite
from tests.toys import SPEC


def make_suite(**changes):
    fields = {"name": "stub", "task": "toy/*", "episodes": 8, "block_episodes": 2, "envs": 2}
    return Suite.model_validate(fields | changes)


def make_run(folder, steps=(), **changes):
    run = RunFolder(folder)
    config = Config(env=EnvConfig(name="toy/reach")).model_copy(update=changes)
    run.begin(config, SPEC)
    for step in steps:
        add_checkpoint(run, step)
    return run


def add_checkpoint(run, step, content="weights"):
    """What the coordinator sees of a checkpoint: a folder with hashes."""
    folder = run.checkpoints / f"{step}.unfinished"
    folder.mkdir()
    write_json_atomic(folder / "hashes.json", {"policy/w": {"bytes": 1, "sha256": f"{content} {step}"}})
    folder.rename(run.checkpoints / str(step))


def episodes(suite, block):
    draw = np.random.default_rng([block.step, block.index])
    return [
        {"seed": seed, "kind": "toy", "return": float(draw.normal(block.step)), "length": 3, "success": seed % 2 == 0}
        for seed in suite.seeds(block.index)
    ]


def evaluate(suite, block):
    """Instead of `worker.evaluate_block`."""
    write_result(block_file(suite, block), {"episodes": episodes(suite, block)})


def die_once(suite, block):
    """The first worker at block 1 of a checkpoint is killed while it writes."""
    file = block_file(suite, block)
    mark = RunFolder(block.run).path / f"died-{block.step}"
    if block.index == 1 and not mark.exists():
        mark.touch()
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / f".{file.name}.{os.getpid()}.tmp").write_text("{")
        os.kill(os.getpid(), signal.SIGKILL)
    evaluate(suite, block)


def tree(folder):
    """Every file below `folder` -> its text."""
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def load(path):
    return json.loads(path.read_text())
