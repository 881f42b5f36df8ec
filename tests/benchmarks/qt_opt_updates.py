"""QT-Opt's updates and labelled targets per second on this machine.

    python tests/benchmarks/qt_opt_updates.py [SECONDS]

Batches come from a replay on the device, updates run in groups of 32 as in training, on the networks of the preset
`grasp_qt_opt`. Two searches for targets are compared: the preset's and the one for acting. Wall clock and CPU time
(s) stand side by side, because other work on the machine only slows the first. Each row: median and spread of groups.
"""

import sys
import time

import jax
import numpy as np

from robo_rl import presets
from robo_rl.agents.agent import Agent
from robo_rl.agents.qt_opt import make_qt_opt
from robo_rl.compilation import compiled
from robo_rl.config import Config
from robo_rl.envs.grasp_task import make_spec
from robo_rl.experiment import make_value_head
from robo_rl.replay import ring
from robo_rl.roles.learner import LearnerState, init_state, updates
from robo_rl.specs import zero_transition

BATCH, GROUP, STORED = 256, 32, 2048


def make_agent(config: Config) -> Agent:
    """The QT-Opt agent of this configuration."""
    spec = make_spec(config.env)
    return make_qt_opt(config.agent, spec, make_value_head(config.agent, spec))


def learner(config: Config) -> LearnerState:
    """A learner's state with a full replay of random transitions."""
    spec = make_spec(config.env)
    state = init_state(make_agent(config), spec, STORED, 0)
    rng = np.random.default_rng(0)
    stored = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(x.dtype), zero_transition(spec, STORED))
    stored = stored._replace(action=np.tanh(stored.action), discount=np.full(STORED, 0.9, np.float32))
    return state._replace(replay=ring.add(state.replay, stored, np.int32(STORED)))


def measure(agent: Agent, state: LearnerState, seconds: float) -> str:
    """Runs groups for `seconds` and says how many updates and labels a second that was."""
    program = compiled(lambda s: updates(agent, BATCH, GROUP, s), donate_argnums=0)
    state = jax.block_until_ready(program(state))[0]
    walls, cpus = [], []
    end = time.perf_counter() + seconds
    while len(walls) < 3 or time.perf_counter() < end:
        wall, cpu = time.perf_counter(), time.process_time()
        state = jax.block_until_ready(program(state))[0]
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    rates = GROUP / np.array(walls)
    low, middle, high = np.percentile(rates, [10, 50, 90])
    per_cpu = GROUP / np.median(cpus)
    return (
        f"{middle:6.1f} updates/s [{low:.1f}, {high:.1f}]  {middle * BATCH:8.0f} targets/s  "
        f"{per_cpu:6.1f} updates per CPU-second  ({len(walls)} groups)"
    )


def main() -> None:
    """Prints a line per search."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    config = presets.load(presets.find("grasp_qt_opt"))
    searches = {"targets as in the preset": config.agent.target_search, "as for acting": config.agent.acting_search}
    print(f"batch {BATCH}, {config.agent.critic_network}")
    for name, search in searches.items():
        agent = config.agent.model_copy(update={"target_search": search})
        searching = config.model_copy(update={"agent": agent})
        line = measure(make_agent(searching), learner(searching), seconds)
        print(f"{name:25} {search.samples:3d} x {search.iterations}: {line}", flush=True)


if __name__ == "__main__":
    main()
