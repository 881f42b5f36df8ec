"""Noise that lasts: exploration which pushes the same way for a while gets further than one that trembles."""

import jax
import jax.numpy as jnp

from robo_rl.specs import Array


def lasting_noise(key: Array, step: Array | int, shape: tuple[int, ...], octaves: int) -> Array:
    """Standard normal noise `shape` for this control step; over successive steps it has `octaves` octaves.

    Octave k is drawn anew every 2^k steps, and the sum of all is scaled to a deviation of 1. One octave is white noise;
    many have a spectrum close to 1/f, pink noise (Voss's algorithm, in Gardner, Scientific American 238(4), 1978),
    which explores better than white noise on most tasks of dm_control (Eberhard et al. 2023, "Pink Noise Is All You
    Need", ICLR). Each number is a function of key and step: there is no state to carry, save or restore.

    `step` counts control steps of this actor, not of an episode.
    """
    if octaves < 1:
        raise ValueError(f"noise has at least 1 octave, not {octaves}")

    def octave(index: Array) -> Array:
        drawn_at = jax.lax.shift_right_logical(jnp.uint32(step), index)
        return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, index), drawn_at), shape)

    return jax.vmap(octave)(jnp.arange(octaves, dtype=jnp.uint32)).sum(axis=0) / jnp.sqrt(octaves)


def first_actions(key: Array, step: Array | int, shape: tuple[int, ...], octaves: int) -> Array:
    """What an actor does before all learning: the tanh of noise of so many octaves, or, with none, uniform actions.

    Uniform actions in [-1, 1] are drawn anew at every step, tremble around one place, and see half the rewards
    (docs/results/dmc_tuning).
    """
    if octaves == 0:
        return jax.random.uniform(jax.random.fold_in(key, step), shape, minval=-1.0, maxval=1.0)
    return jnp.tanh(lasting_noise(key, step, shape, octaves))
