"""The replay: a ring buffer of transitions in device memory, a pytree with pure `init`, `add` and `sample`."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from robo_rl.specs import Array, EnvSpec, Transition, zero_transition


class RingState(NamedTuple):
    """Storage `[C, ...]` per field, the next position to write, and how many positions hold experience."""

    storage: Transition
    cursor: Array
    size: Array


def init(spec: EnvSpec, capacity: int) -> RingState:
    """An empty buffer for `capacity` transitions of this environment."""
    mould = zero_transition(spec)
    storage = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), mould)
    return RingState(storage, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def add(state: RingState, transitions: Transition, count: Array) -> RingState:
    """Write the first `count []` of `transitions [M, ...]` behind the cursor; the rest is padding and is dropped.

    M is fixed, so that every chunk, full or not, runs the same compiled program. Call it jitted with `state` donated:
    the storage is then changed in place.

    Raises:
        ValueError: M is larger than the buffer, so that one call would overwrite its own transitions.
    """
    capacity = state.storage.reward.shape[0]
    block = transitions.reward.shape[0]
    if block > capacity:
        raise ValueError(f"a block of {block} transitions does not fit in a replay of capacity {capacity}")
    offset = jnp.arange(block, dtype=jnp.int32)
    # Padding is sent to a position that does not exist, where the scatter drops it.
    position = jnp.where(offset < count, (state.cursor + offset) % capacity, capacity)
    storage = jax.tree.map(
        lambda stored, new: stored.at[position].set(new, mode="drop", unique_indices=False), state.storage, transitions
    )
    count = jnp.asarray(count, jnp.int32)
    return RingState(storage, (state.cursor + count) % capacity, jnp.minimum(state.size + count, capacity))


def sample(state: RingState, key: Array, batch_size: int, recency: float = 1.0) -> Transition:
    """`batch_size` transitions `[B, ...]` with replacement from those held, of which there must be one.

    recency: 1 draws uniformly; with p, of n held one is drawn whose age, counted from the newest, is n u^p for a
        uniform u, so that the newest 1/k of them are k^(-1/p) of a batch. Uniform draws show early experience again
        and again, to which networks then cling (primacy bias, Nikishin et al. 2022, arXiv 2205.07802); recent
        experience is emphasised by Wang and Ross 2019 (arXiv 1906.04009) and by FoG (Kang et al. 2025, arXiv
        2507.02712), with other weights. This one has no scale in steps, and forgets nothing
    """
    # The bound must not be 0 while nothing is held, though nobody then uses what is drawn.
    held = jnp.maximum(state.size, 1)
    if recency == 1:
        index = jax.random.randint(key, (batch_size,), 0, held)
    else:
        age = (held * jax.random.uniform(key, (batch_size,)) ** recency).astype(jnp.int32)
        index = (state.cursor - 1 - jnp.minimum(age, held - 1)) % state.storage.reward.shape[0]
    return jax.tree.map(lambda stored: jnp.take(stored, index, axis=0, mode="clip"), state.storage)
