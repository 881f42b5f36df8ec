"""`robo-rl data record`: worker processes play episodes, this process writes them to one data set in order.

Episode n follows from the seed and n alone. Blocks of episodes are dealt to the workers in turn and taken back in the
same turn, so the data set is the same whatever the number of workers, and a worker is at most a block ahead.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from robo_rl import envs
from robo_rl.data.features import dataset_name, features_of, serialize
from robo_rl.data.play import episode_seeds, play
from robo_rl.data.writer import DatasetWriter
from robo_rl.errors import RunFailedError
from robo_rl.recording.settings import RecordConfig, make_policy, settled
from robo_rl.render import require_gl_backend
from robo_rl.runtimes.processes import ACTOR_ENVIRONMENT, GONE, Child
from robo_rl.specs import EnvSpec

Report = Callable[[int, int], None]
"""episodes in the data set so far, successes among those of this call."""


class Recorded(NamedTuple):
    """What a call of `record` added, and what the data set holds now."""

    added: int
    steps: int
    successes: int
    episodes: int


def record(
    config: RecordConfig, report: Report = lambda episodes, successes: None, stop: Callable[[], bool] = lambda: False
) -> Recorded:
    """Record until the data set has `config.episodes`, or `stop()` says so; what is complete is kept in any case.

    Raises:
        ConfigError, ExportError, CheckpointError: an environment or policy that does not exist or does not fit it.
        DataError: the folder holds something else.
        RunFailedError: a worker failed; the episodes before it stand.
    """
    config = settled(config)
    spec = check(config)
    environment = dict(ACTOR_ENVIRONMENT)
    if envs.needs_renderer(config.env):
        environment["MUJOCO_GL"] = require_gl_backend()
    fixed = {"env": config.env.model_dump(mode="json"), "policy": config.policy, "noise": config.noise,
             "seed": config.seed, "spec": spec.to_json()}  # fmt: skip
    added = steps = successes = 0
    name, features = dataset_name(spec.name), features_of(spec)
    with DatasetWriter(config.out, name, features, fixed, config.shard_episodes) as writer:
        start = writer.finished
        blocks = range(start, config.episodes, config.envs)
        workers = [
            Child(f"recorder {number}", worker_main, (config, list(blocks[number :: config.workers])), environment)
            for number in range(min(config.workers, len(blocks)))
        ]
        try:
            for number in range(len(blocks)):
                block = _next(workers[number % len(workers)], stop)
                if block is None:
                    break
                for content, length, succeeded in block:
                    writer.add(content)
                    added, steps, successes = added + 1, steps + length, successes + bool(succeeded)
                report(start + added, successes)
        finally:
            for worker in workers:
                worker.kill()
    return Recorded(added, steps, successes, start + added)


def check(config: RecordConfig) -> EnvSpec:
    """The spec of what is recorded; raises what `record` raises, before any process starts."""
    environment = envs.make(config.env, config.seed)
    spec = environment.spec
    environment.close()
    make_policy(config, spec)
    return spec


def worker_main(report: Any, config: RecordConfig, blocks: list[int]) -> None:
    """Play the blocks that begin with these episodes, and send each: (record, control steps, success) per episode."""
    env = envs.make_batched(config.env, config.envs)
    intend, name = make_policy(config, env.spec, getattr(env, "true_state", None))
    features = features_of(env.spec)
    for first in blocks:
        count = min(config.envs, config.episodes - first)
        episodes = play(env, intend, config.noise, episode_seeds(config.seed, first, count), name)
        report.send(("block", [(serialize(features, env.spec, e), e.length, e.success) for e in episodes]))


def _next(worker: Child, stop: Callable[[], bool]) -> list[tuple[bytes, int, bool | None]] | None:
    """The worker's next block; None if a stop is asked for first.

    Raises:
        RunFailedError: the worker failed or died.
    """
    while not stop():
        if not worker.connection.poll(0.2):
            continue
        try:
            kind, what = worker.connection.recv()
        except GONE:
            worker.process.join(timeout=5)
            raise RunFailedError(
                f"{worker.name} ended without a word (exit code {worker.process.exitcode}). The episodes before it "
                "are in the data set; the same command goes on."
            ) from None
        if kind == "failed":
            raise RunFailedError(f"{worker.name} failed; the episodes before it are in the data set.\n{what[1]}")
        return what
    return None
