"""Small experiments that the tests of roles and runtimes share: their configs, and trees compared bit by bit."""

import jax
import jax.numpy as jnp
import numpy as np

from robo_rl.config import (
    ActorConfig,
    CheckpointConfig,
    Config,
    CriticConfig,
    EnvConfig,
    EvaluationConfig,
    LearnerConfig,
    NetworkConfig,
    ReplayConfig,
    SACConfig,
)

TINY = NetworkConfig(width=16, depth=1)


def tiny(env=None, *, n_step=1, **changes):
    """A run of seconds: 3 simulations, chunks of 5 steps, networks of width 16."""
    fields = {
        "env": env or EnvConfig(name="toy/reach"),
        "agent": SACConfig(
            critic=CriticConfig(bins=21), actor_network=TINY, critic_network=TINY, n_step=n_step, discount=0.9
        ),
        "replay": ReplayConfig(capacity=64),
        "learner": LearnerConfig(batch_size=8, updates_per_dispatch=4, warmup_env_steps=30, updates_per_env_step=0.2),
        "actor": ActorConfig(envs=3, chunk_steps=5),
        "checkpoint": CheckpointConfig(policy_every=10_000, run_every=10_000),
        "evaluation": EvaluationConfig(enabled=False, episodes=4, final_episodes=7, envs=3),
        "runtime": "inline",
        "env_steps": 240,
        "log_every": 60,
    }
    return Config(**(fields | changes))


def bits(tree):
    """path -> (dtype, shape, bytes) of every leaf, typed random keys as their numbers."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jnp.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        leaf = np.asarray(leaf)
        found[jax.tree_util.keystr(path)] = (str(leaf.dtype), leaf.shape, leaf.tobytes())
    return found


def assert_same_bits(left, right):
    left, right = bits(left), bits(right)
    assert left.keys() == right.keys()
    assert [path for path in left if left[path] != right[path]] == []
