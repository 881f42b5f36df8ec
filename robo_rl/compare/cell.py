"""One cell: its seeds trained as one population until the budget is used, judged on the way, resumable at any time."""

import shutil
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import jax

from robo_rl import envs
from robo_rl.checkpoints.layout import remove_unfinished, restorable_steps
from robo_rl.checkpoints.manifest import processor, revision, versions
from robo_rl.checkpoints.reader import load_meta, load_run
from robo_rl.checkpoints.writer import CheckpointWriter
from robo_rl.compare.cell_folder import FINISHED, RUNNING, CellFolder
from robo_rl.compare.cell_journal import CellJournal
from robo_rl.compare.crew import Crew, Judge, unit_kinds
from robo_rl.compare.population import Population, PopulationCounts, capacity, init_members, trunk_hash, trunk_sum
from robo_rl.compare.simulations import Workers
from robo_rl.config import Config
from robo_rl.experiment import Experiment, build
from robo_rl.render import gl_backend
from robo_rl.roles.journal import Report
from robo_rl.roles.learner import LearnerState
from robo_rl.runtimes.children import StopFlag
from robo_rl.runtimes.processes import ACTOR_ENVIRONMENT


class CellWork(NamedTuple):
    """What a process needs to train a cell.

    record:   name, loss, task, axes, as `cell.json` holds them
    config:   the training config of its members, but for the seed
    seeds:    one member each     workers: simulation processes     attempts: how often it was begun, this time included
    """

    folder: Path
    record: dict[str, Any]
    config: Config
    seeds: list[int]
    workers: int
    attempts: int


def cell_main(report: Connection, work: CellWork) -> None:
    """The process of a cell: train it until it is finished or the parent (or SIGTERM) says stop, and say which."""
    finished = train_cell(work, lambda kind, what: report.send((kind, what)), StopFlag(report))
    report.send(("finished" if finished else "stopped", None))


def train_cell(work: CellWork, report: Report, stop: Callable[[], bool]) -> bool:
    """Train the cell from where it stands; whether it is finished, and not stopped with a checkpoint to resume from.

    Raises:
        UserError: bad config, a failed write, a checkpoint that cannot be read, or a member that diverged.
        RunFailedError: a worker died, or a simulation raised.
    """
    config, experiment, folder = work.config, build(work.config), CellFolder(work.folder)
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder.checkpoints)
    environment = {**ACTOR_ENVIRONMENT, "MUJOCO_GL": gl_backend(envs.needs_renderer(config.env))}
    with (
        Workers(unit_kinds(config), len(work.seeds), work.workers, environment) as workers,
        CheckpointWriter(folder.checkpoints, keep_newest=1, keep_best=0) as checkpoints,
    ):
        crew, judge = Crew(experiment, work.seeds, workers), Judge(experiment, len(work.seeds), workers)
        state = init_members(experiment.agent, experiment.spec, capacity(config), work.seeds)
        record = record_of(work, state, folder.record() or {})
        population = Population(experiment, work.seeds, state)
        resume(population, crew, folder)
        journal = CellJournal(folder, population, record, report)
        saved = population.counts.env_steps
        while (now := population.counts.env_steps) < config.env_steps and not stop():
            chunks = crew.collect(population.acting_policy(), steps_to_take(config, now))
            population.insert(chunks)
            journal.note(chunks)
            while population.may_update():
                population.update()
            before, now = now, population.counts.env_steps
            if now >= config.env_steps:
                break
            if _due(now, before, config.log_every):
                journal.log()
            if _due(now, before, config.checkpoint.policy_every):
                journal.evaluated(judge.judge(population.policy(), config.evaluation.episodes))
            if _due(now, before, config.checkpoint.run_every):
                save(checkpoints, population, crew, experiment)
                saved = now
        if now < config.env_steps:
            if now > saved:
                save(checkpoints, population, crew, experiment)
            journal.write_record(RUNNING)
            return False
        journal.log()
        journal.evaluated(judge.judge(population.policy(), config.evaluation.final_episodes))
    keep_policies(folder, population, experiment)
    journal.write_record(FINISHED)
    # What cannot be removed must not make a failure of a cell that is finished.
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    return True


def record_of(work: CellWork, first: LearnerState, before: Mapping[str, Any]) -> dict[str, Any]:
    """What `cell.json` says of a cell whatever comes of it.

    first: the members' state at the start `[M, ...]`    before: the record that a former sitting left, empty if none
    """
    origin = {"processor": processor(), "git": revision(), "versions": versions()}
    former = {name: before.get(name) for name in origin}
    earlier = [*before.get("earlier", []), *([former] if before and former != origin else [])]
    members = list(enumerate(work.seeds))
    return {
        **work.record,
        "seeds": work.seeds,
        "attempts": work.attempts,
        "error": None,
        **origin,
        "earlier": earlier,
        "devices": sorted({f"{device.platform} {device.device_kind}" for device in jax.devices()}),
        "initial_weights": {str(seed): trunk_hash(first.agent, member) for member, seed in members},
        "initial_weights_sum": {str(seed): trunk_sum(first.agent, member) for member, seed in members},
        "config": work.config.model_dump(mode="json"),
    }


def steps_to_take(config: Config, env_steps: int) -> int:
    """Control steps of the next chunk: a whole one, or fewer to meet the next evaluation or the end of the budget."""
    every = config.checkpoint.policy_every
    boundary = min((env_steps // every + 1) * every, config.env_steps)
    per_step = config.actor.envs * config.env.action_repeat
    return min(config.actor.chunk_steps, -(-(boundary - env_steps) // per_step))


def _due(env_steps: int, last: int, every: int) -> bool:
    return env_steps // every > last // every


def save(checkpoints: CheckpointWriter, population: Population, crew: Crew, experiment: Experiment) -> None:
    """Start to save all that a resume needs.

    Raises:
        DivergedError: a parameter is not finite; nothing is saved then.
        CheckpointError: a write failed.
    """
    counts = population.counts._replace(seconds=population.seconds())
    population.require_finite_state()
    run = {"members": population.state, "actors": actor_states(crew)}
    checkpoints.save(counts.env_steps, population.policy(), run, {**experiment.meta(), "counts": counts._asdict()})


def resume(population: Population, crew: Crew, folder: CellFolder) -> None:
    """Bring population and crew to the newest checkpoint, if there is one, and forget the rows beyond it."""
    steps = restorable_steps(folder.checkpoints)
    if steps:
        template = {"members": population.state, "actors": actor_states(crew)}
        tree = load_run(folder.checkpoints, steps[-1], template)
        counts = load_meta(folder.checkpoints, steps[-1])["counts"]
        population.resume(tree["members"], PopulationCounts(**{**counts, "episodes": tuple(counts["episodes"])}))
        for number, actor in enumerate(crew.actors):
            actor.restore(tree["actors"][str(number)], None)
    folder.truncate_after(population.counts.env_steps)


def actor_states(crew: Crew) -> dict[str, Any]:
    """Counters and running episodes of every member's actor."""
    return {str(number): actor.state() for number, actor in enumerate(crew.actors)}


def keep_policies(folder: CellFolder, population: Population, experiment: Experiment) -> None:
    """Keep the trained policies `[M, ...]` of a cell that is done, instead of what a resume would need."""
    # A former attempt may have come this far.
    shutil.rmtree(folder.policies, ignore_errors=True)
    meta = {**experiment.meta(), "seeds": population.seeds}
    with CheckpointWriter(folder.policies, keep_newest=1, keep_best=0) as policies:
        policies.save(population.counts.env_steps, population.policy(), None, meta)
