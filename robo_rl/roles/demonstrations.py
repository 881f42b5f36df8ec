"""Recorded experience beside the replay: what brings it to the learner, and the batches that mix both."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp

from robo_rl.data.experience import Block
from robo_rl.replay import ring
from robo_rl.specs import Array, Transition


class Feed(Protocol):
    """What brings recorded experience, block by block; `data.feed.Feed` is one.

    Named here only by what the learner needs of it: whoever learns without data never imports what reads it.
    """

    @property
    def is_exhausted(self) -> bool:
        """Whether there is no block left."""
        ...

    def next(self) -> Block:
        """The next block, all of one size."""
        ...

    def state(self) -> dict[str, Any]:
        """Where it stands, as JSON."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        ...


def draw(
    replay: ring.RingState,
    recorded: ring.RingState | None,
    key: Array,
    batch_size: int,
    demonstrations: int,
    recency: float = 1.0,
) -> Transition:
    """A batch `[B, ...]`, of which the last `demonstrations` come from `recorded`, the others from the replay.

    `recency` is that of the replay; demonstrations have no age.
    """
    if demonstrations == 0:
        return ring.sample(replay, key, batch_size, recency)
    assert recorded is not None, "the learner was made without room for demonstrations"
    if demonstrations == batch_size:
        return ring.sample(recorded, key, batch_size)
    key_replay, key_recorded = jax.random.split(key)
    own = ring.sample(replay, key_replay, batch_size - demonstrations, recency)
    shown = ring.sample(recorded, key_recorded, demonstrations)
    return jax.tree.map(lambda left, right: jnp.concatenate([left, right]), own, shown)
