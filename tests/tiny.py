"""Flags that shrink any preset to a run of seconds: later flags win, so they stand at the end of a command."""

import shlex

from robo_rl import presets

SHARED_FLAGS = shlex.split("""
    --env-steps 300 --log-every 100 --env.episode-steps 20 --replay.capacity 1000
    --learner.warmup-env-steps 100 --learner.batch-size 8
    --learner.updates-per-env-step 0.1 --learner.updates-per-dispatch 2
    --actor.processes 1 --actor.envs 2 --actor.chunk-steps 5
    --agent.critic-network.kind mlp --agent.critic-network.width 8 --agent.critic-network.depth 1
    --agent.critic.bins 11
    --evaluation.episodes 2 --evaluation.final-episodes 2 --evaluation.envs 2
""")
OF_KIND = {
    "sac": shlex.split("""
        --agent.actor-network.kind mlp --agent.actor-network.width 8 --agent.actor-network.depth 1
    """),
    "qt_opt": shlex.split("""
        --agent.acting-search.samples 4 --agent.acting-search.elites 2
        --agent.target-search.samples 4 --agent.target-search.elites 2
    """),
}
TINY_FLAGS = [*SHARED_FLAGS, *OF_KIND["sac"]]


def tiny_flags(preset: str) -> list[str]:
    """The flags for this preset, whose kind of agent decides which there are."""
    return [*SHARED_FLAGS, *OF_KIND[presets.load(presets.find(preset)).agent.kind]]
