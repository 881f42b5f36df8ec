"""Units of evaluation work, the files their results are, and how the files of a variation become one row.

    RUN/evaluations/SUITE/suite.json                          the suite as it was used, see `suite.resolved`
    RUN/evaluations/SUITE/STEP-POLICY/VARIATION/BLOCK.json    one block: its episodes; written once, by rename
    RUN/evaluations/SUITE/STEP-POLICY/VARIATION.json          all its blocks merged

POLICY is a digest of the policy's files: a resumed run passes the same steps again with other weights, and the results
of the one must not count for the other. Nothing in a file depends on when, where or by whom it was written, so a
block evaluated twice is the same file with the same content.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.errors import CheckpointError, ConfigError, UserError
from robo_rl.files import is_remote, names_in, read_json, write_json_atomic
from robo_rl.fleet.suite import Suite, incompatibilities, parse_suite, resolved, run_config
from robo_rl.metrics.statistics import bootstrap_mean_interval, wilson_interval

WORST_EPISODES = 5
RESAMPLES = 2_000
"""Of the interval of the mean return. 200 episodes of the grasp task take under 2 s; 10,000 would add 1.4 % to that."""


class CheckpointGoneError(CheckpointError):
    """A checkpoint was removed, or replaced by a resumed run, before it could be read."""


class Block(NamedTuple):
    """Some episodes of one checkpoint in one variation.

    run: path of the run folder   step: environment steps of the checkpoint   policy: digest of its policy's files
    variation: a name of the suite   index: which block, from 0; None: merge all blocks of the variation
    """

    run: str
    step: int
    policy: str
    variation: str
    index: int | None


def suite_folder(run: RunFolder, suite: str) -> Path:
    """Where the results of a suite lie."""
    return run.evaluations / suite


def variation_folder(suite: Suite, block: Block) -> Path:
    """Where the blocks of this block's variation lie."""
    return suite_folder(RunFolder(block.run), suite.name) / f"{block.step}-{block.policy}" / block.variation


def block_file(suite: Suite, block: Block) -> Path:
    """The file that is the result of `block`."""
    return variation_folder(suite, block) / f"{block.index:05d}.json"


def row_file(suite: Suite, block: Block) -> Path:
    """The merged row of this block's variation."""
    folder = variation_folder(suite, block)
    return folder.with_name(f"{folder.name}.json")


def write_result(path: Path, record: Any) -> None:
    """Write one result, whole or not at all.

    Raises:
        UserError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomic(path, record)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}). Free space there and start the fleet again: it "
            "goes on from the files that are whole."
        ) from error


def finished_blocks(folder: Path) -> set[int]:
    """The blocks whose files are in a variation's folder."""
    return {int(name[:-5]) for name in names_in(folder) if name.endswith(".json") and name[:-5].isdecimal()}


def remove_temporaries(file: Path) -> None:
    """Remove what a worker that was killed while it wrote `file` has left; an object store keeps no halves."""
    if is_remote(file):
        return
    for path in file.parent.glob(f".{file.name}.*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def open_suite(run: RunFolder, suite: Suite) -> Suite:
    """Write down what the results of this run are results of, and remove what killed workers left among them.

    Returns the suite as it was written down: whoever judges by it plays what its results say, whatever else the run's
    config says by then. The caller holds the run's fleet lock: nobody else is writing there.

    Raises:
        ConfigError: the suite is for another task, or results are there already, of one of the same name that differs.
        UserError: no run folder, or it cannot be written.
    """
    config = run_config(run)
    suite = resolved(suite, config)
    file = suite_folder(run, suite.name) / "suite.json"
    if file.exists():
        # One that an earlier version wrote leaves fields to the run's config
        changed = incompatibilities(resolved(parse_suite(read_json(file), str(file)), config), suite)
        if changed:
            raise ConfigError(
                f"{file.parent} holds results of another suite with the name {suite.name}. What differs (there -> "
                "now):\n  " + "\n  ".join(changed) + "\nGive the suite's file another name (--suite FILE), so that "
                "both can be told apart. If the run was resumed with other fields of `evaluation`, the other way is to "
                "resume it with those of before, and to train with these in another folder (--run DIR)."
            )
    for path in () if is_remote(file) else file.parent.rglob(".*.tmp"):
        path.unlink()
    write_result(file, suite.model_dump(mode="json"))
    return suite


def read_blocks(suite: Suite, block: Block, indices: Iterable[int] | None = None) -> list[dict[str, Any]]:
    """The episodes of some (None: all) blocks of a variation, in the order of their seeds.

    Raises:
        UserError: a file is missing or damaged, or is the result of something else; names it.
    """
    episodes: list[dict[str, Any]] = []
    for index in range(suite.blocks) if indices is None else indices:
        path = block_file(suite, block._replace(index=index))
        try:
            record = read_json(path)
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error.strerror}). Start the fleet again: it makes it anew."
            ) from error
        if [episode["seed"] for episode in record["episodes"]] != suite.seeds(index):
            raise UserError(
                f"{path} is not the result of block {index} of {suite.name}. Delete it and start the fleet."
            )
        episodes.extend(record["episodes"])
    return episodes


def merge(suite: Suite, block: Block) -> None:
    """Write the merged row of a variation all of whose blocks are there.

    Raises:
        UserError: a block cannot be read, or the row cannot be written.
    """
    episodes = read_blocks(suite, block)
    row = {
        "step": block.step,
        "policy": block.policy,
        "suite": suite.name,
        "variation": block.variation,
        **summary(episodes),
    }
    write_result(row_file(suite, block), row)


def summary(episodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Count, mean return and success rate with 95 % intervals (bootstrap, Wilson), and the worst episodes.

    `success` is None for tasks without that notion.
    """
    returns = [episode["return"] for episode in episodes]
    low, high = bootstrap_mean_interval(returns, resamples=RESAMPLES)
    success = None
    if episodes[0]["success"] is not None:
        successes = sum(episode["success"] for episode in episodes)
        interval = wilson_interval(successes, len(episodes))
        success = {"rate": successes / len(episodes), "low": interval[0], "high": interval[1]}
    worst = sorted(episodes, key=lambda episode: (bool(episode["success"]), episode["return"], episode["seed"]))
    return {
        "episodes": len(episodes),
        "return": {"mean": float(np.mean(returns)), "low": low, "high": high},
        "success": success,
        "worst": worst[:WORST_EPISODES],
    }
