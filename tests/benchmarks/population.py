"""What a population costs: ten members against one in updates per second, and the comparison against plain training.

    MUJOCO_GL=disabled python tests/benchmarks/population.py [MEMBERS] [UPDATES] [REPETITIONS]

First part: groups of UPDATES updates (two 256-wide two-layer critics and an actor, batch 256, observation 17,
action 6) of 1 and of MEMBERS members, in turn; the ratio says how many times as long the group of MEMBERS takes.
Second part: turns of acting and learning of three members in one population, simulations in a worker process, against
the same turns of three members one after the other as the inline runtime does them. All figures are medians with the
spread, of CPU time (the workers' included; other work on the machine matters little) and of wall clock. Linux only.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np

from robo_rl import presets
from robo_rl.agents.sac import make_sac
from robo_rl.compare.crew import Crew, unit_kinds
from robo_rl.compare.plan import with_fields
from robo_rl.compare.population import Population, capacity, init_members
from robo_rl.compare.simulations import Workers
from robo_rl.config import Config
from robo_rl.critics.heads import make_head
from robo_rl.experiment import Experiment, build, check_fields
from robo_rl.roles.exchange import Chunk, Reply
from robo_rl.roles.learner import Counts
from robo_rl.runtimes.processes import ACTOR_ENVIRONMENT
from robo_rl.specs import ArraySpec, EnvSpec, Experience, Transition

OBSERVATION, ACTION = 17, 6


def synthetic(config: Config) -> Experiment:
    """An experiment whose environment exists by its spec alone, so that updates can be timed without a simulator."""
    spec = EnvSpec(
        "synthetic", {"state": ArraySpec((OBSERVATION,))}, ArraySpec((ACTION,), minimum=-1, maximum=1), 1000, 50.0
    )
    check_fields(config)
    return Experiment(config, spec, make_sac(config.agent, spec, make_head(config.agent.critic)))


def filled(experiment: Experiment, members: int) -> Population:
    """A population with a block of random experience in every replay."""
    seeds = list(range(members))
    population = Population(experiment, seeds, init_members(experiment.agent, experiment.spec, 10_000, seeds))
    config, rng = experiment.config, np.random.default_rng(0)
    size = config.actor.envs * config.actor.chunk_steps

    def draw(*shape: int) -> np.ndarray:
        return rng.uniform(-1, 1, (size, *shape)).astype(np.float32)

    for _ in range(8):
        observation, following = {"state": draw(OBSERVATION)}, {"state": draw(OBSERVATION)}
        transition = Transition(observation, draw(ACTION), draw(), np.full(size, 0.99, np.float32), following)
        chunk = Chunk(0, 0, 0, 0, size, Experience(transition, draw()), ())
        population.insert([chunk] * members)
    return population


def timed(work: Callable[[], None], workers: Sequence[int] = ()) -> np.ndarray:
    """Seconds of CPU, those of the processes `workers` included, and of wall clock that `work` takes, `[2]`."""
    before = np.array([cpu_seconds(workers), time.perf_counter()])
    work()
    return np.array([cpu_seconds(workers), time.perf_counter()]) - before


def cpu_seconds(workers: Sequence[int]) -> float:
    """CPU seconds that this process and `workers` have used, from the tick counts that Linux keeps."""
    ticks = 0
    for pid in workers:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(after_name[11]) + int(after_name[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def show(name: str, pairs: Sequence[np.ndarray]) -> None:
    """Print figures `[2]` of CPU and of wall clock, one of each per repetition."""
    cpu, wall = np.array(pairs).T.tolist()
    print(f"{name}: {spread(cpu)} by CPU time, {spread(wall)} by wall clock", flush=True)


def spread(values: list[float]) -> str:
    """Median and extremes."""
    return f"{statistics.median(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def update_ratio(members: int, updates: int, repetitions: int) -> None:
    """Prints updates per second of 1 and of `members` members, and the ratio of their times."""
    base = presets.load(presets.find("dmc"))
    experiment = synthetic(with_fields(base, {"learner.updates_per_dispatch": updates}, "benchmark"))
    one, many = filled(experiment, 1), filled(experiment, members)

    def group(population: Population) -> Callable[[], None]:
        def work() -> None:
            population.update()
            jax.block_until_ready(population.state)

        return work

    for population in (one, many):
        group(population)()
    times = [(timed(group(one)), timed(group(many))) for _ in range(repetitions)]
    show("updates/s of 1 member", [updates / one for one, _ in times])
    show(f"updates/s of {members} members, each", [updates / many for _, many in times])
    show(f"time of {members} members over time of 1", [many / one for one, many in times])


def overhead(members: int, repetitions: int) -> None:
    """Prints the time of a population's turn over that of the same members trained one by one, inline."""
    base = presets.load(presets.find("dmc"))
    # Short turns: 8 control steps and 16 updates.
    short = {"actor.chunk_steps": 8, "learner.updates_per_dispatch": 16, "learner.warmup_env_steps": 200}
    config = with_fields(base, {**short, "env_steps": 20_000}, "benchmark")
    experiment, seeds = build(config), list(range(members))
    alone = []
    for seed in seeds:
        own = Experiment(config.model_copy(update={"seed": seed}), experiment.spec, experiment.agent)
        alone.append((own.learner(own.initial_state(), Counts()), own.actor()))
    with Workers(unit_kinds(config), members, 1, ACTOR_ENVIRONMENT) as workers:
        crew = Crew(experiment, seeds, workers)
        state = init_members(experiment.agent, experiment.spec, capacity(config), seeds)
        population = Population(experiment, seeds, state)

        def together() -> None:
            population.insert(crew.collect(population.acting_policy(), config.actor.chunk_steps))
            while population.may_update():
                population.update()
            jax.block_until_ready(population.state)

        def one_by_one() -> None:
            for learner, actor in alone:
                actor.receive(Reply(*learner.newer_policy(actor.version), stop=False))
                learner.insert(actor.collect(config.actor.chunk_steps))
                while learner.may_update():
                    learner.update()
                jax.block_until_ready(learner.state)

        # Both compile, and both are past the warm-up, before anything is timed.
        while population.counts.updates < 32:
            together()
            one_by_one()
        ratios = []
        for _ in range(repetitions):
            plain = timed(one_by_one)
            ratios.append(timed(together, workers.pids()) / plain)
    show(f"a population's turn over {members} inline turns", ratios)


def main() -> None:
    """Prints both parts."""
    members, updates, repetitions = (
        int(sys.argv[at]) if len(sys.argv) > at else default for at, default in ((1, 10), (2, 16), (3, 7))
    )
    print(f"{jax.devices()[0].device_kind}, groups of {updates} updates, {repetitions} repetitions")
    update_ratio(members, updates, repetitions)
    overhead(3, repetitions)


if __name__ == "__main__":
    main()
