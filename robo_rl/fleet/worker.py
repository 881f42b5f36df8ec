"""What a worker of the fleet does: evaluate one block, deterministically, and write its file.

A worker keeps what the next block will probably need: the agent and the simulations of a run, and the policies it
loaded last. Nothing of it changes a result.
"""

import collections
import functools
from typing import NamedTuple

from robo_rl import envs
from robo_rl.agents.agent import Policy
from robo_rl.checkpoints.hashes import item_digest
from robo_rl.checkpoints.layout import POLICY, committed_steps
from robo_rl.checkpoints.reader import load_policy
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.envs.interface import BatchedEnvironment
from robo_rl.errors import CheckpointError, ConfigError
from robo_rl.experiment import Experiment, build
from robo_rl.fleet.blocks import Block, CheckpointGoneError, block_file, write_result
from robo_rl.fleet.suite import Suite, evaluation_environment, run_config
from robo_rl.roles.evaluator import Greedy, greedy, policy_template, run_episodes

MOST_ENVIRONMENTS = 12
"""Sets of simulations a worker keeps; the one used longest ago is closed for a new one."""


MOST_RUNS = 4
"""Runs of which a worker keeps the agent, compiled once for all checkpoints, and policies that it keeps."""


class Bench(NamedTuple):
    """What all checkpoints of one run are judged with."""

    experiment: Experiment
    act: Greedy
    template: Policy


def evaluate_block(suite: Suite, block: Block) -> None:
    """Play the episodes of `block` and write its file. Equal checkpoint, suite and block give equal bytes.

    Raises:
        CheckpointGoneError: retention or a resumed run took the checkpoint away.
        CheckpointError: it is there, and damaged.
        ConfigError: the suite does not fit the run's task.
        UserError: the result cannot be written.
    """
    bench = _bench(block.run)
    environment = _environment(suite.model_dump_json(), block.run, block.variation)
    assert block.index is not None, "a block to evaluate has an index"
    episodes = run_episodes(
        environment, bench.act, _policy(block.run, block.step, block.policy), suite.seeds(block.index)
    )
    record = {
        "step": block.step,
        "policy": block.policy,
        "suite": suite.name,
        "variation": block.variation,
        "block": block.index,
        "env": environment.spec.name,
        "episodes": [
            {"seed": e.seed, "kind": e.kind, "return": e.episode_return, "length": e.length, "success": e.success}
            for e in episodes
        ],
    }
    write_result(block_file(suite, block), record)


def warm_up(run: str) -> None:
    """Make what evaluating a checkpoint of this run needs, before there is one; errors of `evaluate_block`."""
    _bench(run)


@functools.lru_cache(maxsize=MOST_RUNS)
def _bench(run: str) -> Bench:
    experiment = build(run_config(RunFolder(run)))
    return Bench(experiment, greedy(experiment.agent), policy_template(experiment.agent))


_environments: "collections.OrderedDict[tuple[str, str, str], BatchedEnvironment]" = collections.OrderedDict()


def _environment(suite_json: str, run: str, variation: str) -> BatchedEnvironment:
    key = (suite_json, run, variation)
    if key not in _environments:
        while len(_environments) >= MOST_ENVIRONMENTS:
            _environments.popitem(last=False)[1].close()
        experiment, suite = _bench(run).experiment, Suite.model_validate_json(suite_json)
        config = evaluation_environment(suite, variation, experiment.config)
        environment = envs.make_batched(config, suite.envs)
        theirs, ours = environment.spec, experiment.spec
        if (theirs.observation, theirs.action) != (ours.observation, ours.action):
            environment.close()
            raise ConfigError(
                f"Variation {variation} of suite {suite.name} makes {config.name}, whose observations or actions are "
                f"not those of the run's {ours.name}: its policy cannot act there. Choose a suite for this task."
            )
        _environments[key] = environment
    _environments.move_to_end(key)
    return _environments[key]


# As many as there are benches: runs take turns, and a worker that kept one policy would load at every block
@functools.lru_cache(maxsize=MOST_RUNS)
def _policy(run: str, step: int, digest: str) -> Policy:
    folder = RunFolder(run).checkpoints
    try:
        policy = load_policy(folder, step, _bench(run).template)
    except CheckpointError as error:
        if step in committed_steps(folder) and item_digest(folder / str(step), POLICY) == digest:
            raise
        raise CheckpointGoneError(str(error)) from error
    # Asked after reading: a step that was replaced meanwhile is another checkpoint
    if item_digest(folder / str(step), POLICY) != digest:
        raise CheckpointGoneError(f"{folder / str(step)} is no longer the checkpoint with policy {digest}.")
    return policy
