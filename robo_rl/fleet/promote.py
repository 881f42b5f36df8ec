"""Promotion: `best` moves to a checkpoint that the episodes of a suite show to be better, and to no other.

    RUN/promoted/NUMBER/checkpoints/STEP/   a copy of the policy and its meta, so that neither retention nor a resumed
                                            run can take it away; kept of the last two promotions
    RUN/best -> promoted/NUMBER             moved by one rename: a reader always finds a whole checkpoint behind it
    RUN/promoted.json                       what, when, against what, on which evidence

The candidate is the checkpoint with the best mean on the even blocks of the suite; whether it is better than the one
that `best` points to is decided on the odd blocks alone. The best of many looks better than it is on the episodes it
was chosen by; on the others it has no such advantage, so one lucky evaluation promotes nothing.
"""

import contextlib
import datetime
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from robo_rl.checkpoints.hashes import HASHES, find_damage, item_digest, listed_files
from robo_rl.checkpoints.layout import META, POLICY, committed_steps
from robo_rl.checkpoints.locks import exclusive
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.errors import CheckpointError, UserError
from robo_rl.files import is_remote, read_json, write_json_atomic
from robo_rl.fleet.blocks import Block, finished_blocks, read_blocks, suite_folder, variation_folder
from robo_rl.fleet.evidence import Comparison, paired_comparison
from robo_rl.fleet.suite import Suite, incompatibilities, load_suite, parse_suite, resolved, run_config

Scores = dict[str, list[float]]
"""variation -> score of each episode, in the order of the seeds: success where the task knows it, else the return."""


class Decision(NamedTuple):
    """What a promotion would do, and why. `comparison` is None for the first one, which has nobody to beat.

    mean, episodes: the candidate's score on the evidence, and its size   blocks: the evidence, of each variation
    """

    promotes: bool
    reason: str
    candidate: Block
    comparison: Comparison | None
    mean: float
    episodes: int
    blocks: list[int]


def promote(run: RunFolder, suite_name: str | None = None, dry_run: bool = False) -> Decision:
    """Move `best` of a run if the evidence says so; with `dry_run` only say what would be done.

    Raises:
        UserError: no evaluations of the suite, no checkpoint with all its blocks, evidence that does not compare, a
            damaged file, a folder that cannot be written, or another promotion at work.
        CheckpointError: the candidate's checkpoint is damaged.
    """
    if is_remote(run.path):
        raise UserError(f"{run.path} is in an object store, which has no links for `best`. Copy the run here first.")
    run.config()  # refuses what is no run folder
    suite = evaluated_suite(run, suite_name)
    try:
        with _alone(run):
            history = read_history(run)
            decision = decide(run, suite, history[-1] if history else None)
            if not dry_run:
                _point_to_last(run, history)
                if decision.promotes:
                    _enact(run, suite, history, decision)
    except OSError as error:
        raise UserError(
            f"{run.path} cannot be written ({error.strerror or error}). `best` is where it was; free space there "
            "and promote again."
        ) from error
    return decision


def evaluated_suite(run: RunFolder, name: str | None) -> Suite:
    """The suite to decide by: the named one, or the only one this run was judged by.

    Raises:
        UserError: none or several were used, or the named one was changed since.
    """
    used = sorted(path.parent.name for path in run.evaluations.glob("*/suite.json"))
    if not used:
        raise UserError(f"{run.path} has no evaluations to promote on. Run `robo-rl fleet {run.path.name}` first.")
    if name is None and len(used) > 1:
        raise UserError(f"{run.path} was judged by several suites: {', '.join(used)}. Choose one with --suite.")
    suite = load_suite(name) if name is not None and name not in used else None
    chosen = suite.name if suite is not None else name or used[0]
    if chosen not in used:
        raise UserError(f"{run.path} was not judged by suite {chosen}, but by {', '.join(used)}.")
    file = suite_folder(run, chosen) / "suite.json"
    recorded = parse_suite(read_json(file), str(file))
    if suite is None:
        return recorded
    config = run_config(run)
    changed = incompatibilities(resolved(recorded, config), resolved(suite, config))
    if changed:
        raise UserError(
            f"Suite {chosen} has changed since {run.path} was judged (there -> now): {'; '.join(changed)}. Decide by "
            f"what it was (--suite {chosen}), or let the fleet judge by a suite of another name."
        )
    return suite


def read_history(run: RunFolder) -> list[dict[str, Any]]:
    """Every promotion of the run, oldest first; UserError if promoted.json is damaged."""
    file = run.path / "promoted.json"
    return read_json(file)["promotions"] if file.exists() else []


def decide(run: RunFolder, suite: Suite, incumbent: dict[str, Any] | None) -> Decision:
    """Who should be `best`, given the entry of the one that is (None: nobody yet). Reads, and writes nothing.

    Raises:
        UserError: no checkpoint has all its blocks, the incumbent lacks too many of this suite, or a damaged file.
    """
    chosen = _candidate(run, suite)
    blocks, rule = _evidence(run, suite, incumbent), suite.promotion
    ours = _scores(suite, chosen, blocks)
    mean, episodes = _mean(ours), sum(map(len, ours.values()))

    def decision(promotes: bool, reason: str, comparison: Comparison | None = None) -> Decision:
        return Decision(promotes, reason, chosen, comparison, mean, episodes, blocks)

    if incumbent is not None and (incumbent["step"], incumbent["policy"]) == (chosen.step, chosen.policy):
        return decision(False, f"step {chosen.step} is best already")
    if episodes < rule.min_episodes:
        needed = f"the {rule.min_episodes} that the suite asks for"
        return decision(False, f"{episodes} episodes of evidence are fewer than {needed}")
    # The first has nobody to beat, so that without a floor whatever was judged would be deployed.
    if rule.min_score is not None and mean < rule.min_score:
        needed = f"the {rule.min_score:g} that the suite asks for"
        return decision(False, f"step {chosen.step} scores {mean:.4g}, less than {needed}")
    if incumbent is None:
        return decision(True, f"step {chosen.step} is the first to be promoted")
    theirs = _scores(suite, chosen._replace(step=incumbent["step"], policy=incumbent["policy"]), blocks)
    compared = paired_comparison(ours, theirs, rule.confidence, rule.resamples)
    promotes = compared.low > rule.margin
    reason = (
        f"step {chosen.step} gains {compared.gain:+.4g} on step {incumbent['step']}, at least {compared.low:+.4g} with "
        f"{rule.confidence:.0%} confidence over {episodes} paired episodes; "
        f"{'more than' if promotes else 'which is not more than'} the margin of {rule.margin:g}"
    )
    return decision(promotes, reason, compared)


def _candidate(run: RunFolder, suite: Suite) -> Block:
    """The checkpoint with the best mean on the even blocks; UserError if none has all its blocks."""
    candidates = judged_checkpoints(run, suite)
    if not candidates:
        raise UserError(
            f"No checkpoint of {run.path} that is still there has all its blocks in suite {suite.name}. Let the fleet "
            f"finish: robo-rl fleet {run.path.name} --suite {suite.name}"
        )
    even = range(0, suite.blocks, 2)
    return max(candidates, key=lambda block: (_mean(_scores(suite, block, even)), block.step))


def _evidence(run: RunFolder, suite: Suite, incumbent: dict[str, Any] | None) -> list[int]:
    """The blocks to decide on: the odd ones; if the incumbent's checkpoint is gone, those of them that it has.

    A suite may get more episodes after retention took the incumbent, which then never gets them. Which blocks it has
    does not depend on what came out of them, so they are evidence like all of them, only less.

    Raises:
        UserError: the incumbent lacks blocks that a fleet can still make, or has too few.
    """
    odd = list(range(1, suite.blocks, 2))
    if incumbent is None:
        return odd
    step, policy = incumbent["step"], incumbent["policy"]
    blocks = {
        variation: finished_blocks(variation_folder(suite, Block(str(run.path), step, policy, variation, None)))
        for variation in suite.variations
    }
    shared = [index for index in odd if all(index in finished for finished in blocks.values())]
    is_there = item_digest(run.checkpoints / str(step), POLICY) == policy
    episodes = len(shared) * suite.block_episodes * len(blocks)
    if shared != odd and (is_there or episodes < suite.promotion.min_episodes):
        lacking = [variation for variation, finished in blocks.items() if not finished.issuperset(odd)]
        raise UserError(_lack_of_evidence(run, suite, incumbent, is_there, lacking, episodes))
    return shared


def _lack_of_evidence(
    run: RunFolder, suite: Suite, incumbent: dict[str, Any], is_there: bool, lacking: Sequence[str], episodes: int
) -> str:
    """Why nothing can be compared with the incumbent, and what to do."""
    what = (
        f"The current best, step {incumbent['step']}, was not judged by all of suite {suite.name}: it lacks blocks in "
        f"{', '.join(lacking)}"
    )
    judge = f"robo-rl fleet {run.path.name} --suite {suite.name}"
    if is_there:
        return f"{what}. Its checkpoint is still there, so let the fleet finish: {judge}"
    former = incumbent["evidence"]["suite"]
    if former == suite.name:
        otherwise = f"the suite as it was then (--suite FILE, a {former}.yaml without what came to it since)"
    else:
        otherwise = f"the suite that it was promoted by (--suite {former})"
    return (
        f"{what}, and its checkpoint is gone from {run.checkpoints}. All variations have {episodes} episodes of "
        f"evidence on it in common, fewer than the {suite.promotion.min_episodes} that the suite asks for. Promote by "
        f"{otherwise}; or put the copy back (cp -r {run.path / incumbent['checkpoint']} {run.checkpoints}), let the "
        f"fleet judge it ({judge}) and promote again."
    )


def judged_checkpoints(run: RunFolder, suite: Suite) -> list[Block]:
    """The committed checkpoints all of whose blocks are there, as blocks without index, ascending by step."""
    found = []
    for step in committed_steps(run.checkpoints):
        digest = item_digest(run.checkpoints / str(step), POLICY)
        block = Block(str(run.path), step, digest or "", next(iter(suite.variations)), None)
        if digest and is_judged(suite, block):
            found.append(block)
    return found


def is_judged(suite: Suite, block: Block) -> bool:
    """Whether all blocks of all variations of this block's checkpoint are there."""
    wanted = set(range(suite.blocks))
    return all(
        wanted <= finished_blocks(variation_folder(suite, block._replace(variation=variation)))
        for variation in suite.variations
    )


def _scores(suite: Suite, block: Block, indices: Sequence[int]) -> Scores:
    def score(episode: dict[str, Any]) -> float:
        return episode["return"] if episode["success"] is None else float(episode["success"])

    return {
        variation: [score(one) for one in read_blocks(suite, block._replace(variation=variation), indices)]
        for variation in suite.variations
    }


def _mean(scores: Scores) -> float:
    return float(np.mean([np.mean(values) for values in scores.values()]))


def _enact(run: RunFolder, suite: Suite, history: list[dict[str, Any]], decision: Decision) -> None:
    """Copy the checkpoint, append to the history, move `best`; each is whole or not there."""
    chosen, number = decision.candidate, len(history) + 1
    place = run.path / "promoted" / f"{number:04d}"
    if place.exists():  # of a promotion that was killed before it was written down, perhaps of another step
        shutil.rmtree(place)
    _copy_checkpoint(run.checkpoints / str(chosen.step), place / "checkpoints" / str(chosen.step), chosen.policy)
    former = history[-1] if history else None
    entry = {
        "number": number,
        "step": chosen.step,
        "policy": chosen.policy,
        "checkpoint": str((place / "checkpoints" / str(chosen.step)).relative_to(run.path)),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "against": None if former is None else {"step": former["step"], "policy": former["policy"]},
        "evidence": {
            "suite": suite.name,
            "variations": list(suite.variations),
            "blocks": decision.blocks,
            "episodes": decision.episodes,
            "mean": decision.mean,
            "comparison": None if decision.comparison is None else decision.comparison._asdict(),
            "rule": suite.promotion.model_dump(),
            "reason": decision.reason,
        },
    }
    write_json_atomic(run.path / "promoted.json", {"promotions": [*history, entry]})
    _point_to_last(run, [*history, entry])
    _remove_superseded(run, number)


def _copy_checkpoint(source: Path, target: Path, policy: str) -> None:
    """Copy policy and meta to `target`, which gets its name when all is written and is what was judged."""
    unfinished = target.with_name(f"{target.name}.unfinished")
    try:
        for file in [HASHES, *(name for name in listed_files(source) if name.startswith((f"{POLICY}/", f"{META}/")))]:
            (unfinished / file).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # the check that follows names what is missing
                shutil.copy2(source / file, unfinished / file)
        _check_copy(source, unfinished, policy)
    except (OSError, CheckpointError):
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    unfinished.rename(target)


def _check_copy(source: Path, copy: Path, policy: str) -> None:
    """CheckpointError unless `copy` is whole and holds the policy that the evidence is about."""
    damage = next((bad for item in (POLICY, META) if (bad := find_damage(copy, item))), None)
    # A copy that is bad because its source went meanwhile is no sign of damage
    if item_digest(copy, POLICY) != policy or (damage and item_digest(source, POLICY) != policy):
        raise CheckpointError(
            f"{source} is no longer the checkpoint that was judged, with policy {policy}: retention removed it, or a "
            "resumed run passed that step again. `best` is where it was. Let the fleet judge what is there now, and "
            "promote again."
        )
    if damage:
        raise CheckpointError(f"{source} cannot be promoted: its copy is bad: {damage}. `best` is where it was.")


def _point_to_last(run: RunFolder, history: list[dict[str, Any]]) -> None:
    """Make `best` point to the last entry of the history; also mends what a killed promotion left undone."""
    if not history:
        return
    target = os.path.join("promoted", f"{history[-1]['number']:04d}")
    best, link = run.path / "best", run.path / f".best.{os.getpid()}.tmp"
    if best.is_symlink() and os.readlink(best) == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    link.replace(best)


def _remove_superseded(run: RunFolder, number: int) -> None:
    """Erase copies of earlier promotions, but not of the one before: someone may still be reading that."""
    for place in (run.path / "promoted").iterdir():
        if place.name.isdecimal() and int(place.name) < number - 1:
            shutil.rmtree(place)


@contextlib.contextmanager
def _alone(run: RunFolder) -> Iterator[None]:
    def refusal(owner: str) -> str:
        return f"Process {owner} is promoting in {run.path} right now. Try again when it has finished."

    with exclusive(run.path / "promote.lock", str(os.getpid()), refusal):
        for pattern in (".promoted.json.*.tmp", ".best.*.tmp"):  # of promotions that were killed within a write
            for leftover in run.path.glob(pattern):
                leftover.unlink()
        yield
