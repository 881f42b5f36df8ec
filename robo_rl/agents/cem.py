"""The cross-entropy method: the action with the greatest value, by trying, keeping the best, and trying near them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from robo_rl.config import SearchConfig
from robo_rl.specs import Array

FIRST_DEVIATION = 1.0
"""Of the first Gaussian, around 0. A third of its samples land on the bounds, where best actions often are; with 0.7
or 0.5, the best of 64 x 2 samples is further from the maximum of a bowl in [-1, 1]^5."""

LEAST_DEVIATION = 1e-3
"""Where all elites agree, on a bound for instance, the next samples still differ."""


def maximise(
    evaluate: Callable[[Array], Array], key: Array, batch: int, action_size: int, search: SearchConfig
) -> tuple[Array, Array]:
    """The best action found in each of `batch` states, `[B, A]` in [-1, 1], and its value `[B]`.

    Rubinstein and Kroese 2004; as QT-Opt uses it (Kalashnikov et al. 2018, arXiv 1806.10293, section 4.2): Gaussian
    samples, cut to the bounds, and a new Gaussian with the mean and deviation of the elites in every dimension. The
    result is the best of all actions tried, so a further iteration cannot make it worse.

    All states share the random numbers: what is chosen in one does not depend on its row or on its neighbours.

    Args:
        evaluate: actions `[B, S, A]` -> values `[B, S]`; called once per iteration.
        key: decides the samples; the same key gives the same result.
        batch: B, how many states are searched at once.
        action_size: A.
        search: samples S, elites and iterations.

    Raises:
        ValueError: `evaluate` gives another shape.
    """
    mean = jnp.zeros((batch, 1, action_size))
    deviation = jnp.full((batch, 1, action_size), FIRST_DEVIATION)
    best_action, best_value = jnp.zeros((batch, action_size)), jnp.full(batch, -jnp.inf)
    for key_iteration in jax.random.split(key, search.iterations):
        noise = jax.random.normal(key_iteration, (search.samples, action_size))
        actions = jnp.clip(mean + deviation * noise, -1.0, 1.0)
        values = evaluate(actions)
        if values.shape != (batch, search.samples):
            raise ValueError(f"evaluate gave {list(values.shape)} for actions {list(actions.shape)}; expected [B, S].")
        elite_values, indices = jax.lax.top_k(values, search.elites)
        elites = jnp.take_along_axis(actions, indices[:, :, None], axis=1)
        better = elite_values[:, 0] > best_value
        best_action = jnp.where(better[:, None], elites[:, 0], best_action)
        best_value = jnp.where(better, elite_values[:, 0], best_value)
        mean = elites.mean(axis=1, keepdims=True)
        deviation = jnp.maximum(elites.std(axis=1, keepdims=True), LEAST_DEVIATION)
    return best_action, best_value
