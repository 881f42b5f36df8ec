"""Seeds are a tree grown from the one root seed of a run: every user of randomness names its own branch."""

import zlib

import numpy as np

EVALUATION_SEEDS = 2**30
"""Episode seeds below this are for evaluation, those from here to 2^31 for training: the two never meet."""


def child(root: int, *path: int | str) -> int:
    """The seed at `path` below `root`, in [0, 2^31); equal paths give equal seeds, others independent ones."""
    branch = [zlib.crc32(step.encode()) if isinstance(step, str) else step for step in path]
    state = np.random.SeedSequence(entropy=root, spawn_key=branch).generate_state(1)
    return int(state[0] >> 1)


def training_episode(root: int, actor: int, incarnation: int, episode: int) -> int:
    """Seed of an actor's n-th training episode, in [2^30, 2^31)."""
    return EVALUATION_SEEDS + child(root, "episode", actor, incarnation, episode) % EVALUATION_SEEDS


def evaluation_episodes(first: int, count: int) -> list[int]:
    """The fixed list of episode seeds a checkpoint is judged on.

    Raises:
        ValueError: the list would leave the half of the seeds that is kept for evaluation.
    """
    if first < 0 or first + count > EVALUATION_SEEDS:
        raise ValueError(f"evaluation seeds {first} ... {first + count - 1} leave [0, {EVALUATION_SEEDS})")
    return list(range(first, first + count))
