"""What `robo_rl.compilation` gains on this CPU: updates with and without its option, in turn.

    JAX_PLATFORMS=cpu MUJOCO_GL=disabled python tests/benchmarks/compiler.py [REPETITIONS]

SAC as in the preset `dmc` (observation 17, action 6) and QT-Opt as in `grasp_qt_opt`, both with batches of 256. A row
per agent: milliseconds of CPU time per update, and the ratio as median over repetitions with its range.
"""

import statistics
import sys
import time
from collections.abc import Callable

import jax
from population import synthetic
from qt_opt_updates import learner as qt_opt_state
from qt_opt_updates import make_agent

from robo_rl import presets
from robo_rl.agents.agent import Agent
from robo_rl.compilation import compiled
from robo_rl.roles.learner import LearnerState, init_state, updates

BATCH, GROUP = 256, 16


def sac() -> tuple[Agent, LearnerState]:
    """The agent of the preset `dmc` with a replay of zeros: what is in it does not change what an update costs."""
    experiment = synthetic(presets.load(presets.find("dmc")))
    return experiment.agent, init_state(experiment.agent, experiment.spec, 1024, 0)


def qt_opt() -> tuple[Agent, LearnerState]:
    """The agent of the preset `grasp_qt_opt`."""
    config = presets.load(presets.find("grasp_qt_opt"))
    return make_agent(config), qt_opt_state(config)


def cpu_ms(program: Callable, state: LearnerState) -> tuple[LearnerState, float]:
    """The state after a group of updates, and the milliseconds of CPU time that one of them took."""
    started = time.process_time()
    state = jax.block_until_ready(program(state))[0]
    return state, (time.process_time() - started) * 1e3 / GROUP


def main() -> None:
    """Prints a line per agent."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    for name, make in (("SAC", sac), ("QT-Opt", qt_opt)):
        agent, state = make()

        def group(state: LearnerState, agent: Agent = agent):
            return updates(agent, BATCH, GROUP, state)

        programs = [jax.jit(group, donate_argnums=0), compiled(group, donate_argnums=0)]
        times: list[list[float]] = [[], []]
        for repetition in range(repetitions + 1):
            for program, kept in zip(programs, times, strict=True):
                state, taken = cpu_ms(program, state)
                if repetition:  # the first compiles
                    kept.append(taken)
        ratios = [plain / ours for plain, ours in zip(*times, strict=True)]
        plain, ours = map(statistics.median, times)
        print(
            f"{name:7} jax.jit {plain:5.1f} ms, compiled {ours:5.1f} ms: "
            f"{statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
