"""Which returns can be had: from the bounds of the reward, so that a support need not be tuned per task."""

import jax
import jax.numpy as jnp

from robo_rl.critics.head import ValueHead
from robo_rl.errors import ConfigError
from robo_rl.specs import EnvSpec

MARGIN = 0.05
"""Share of the range added at both ends, so that an estimate that strays a little over a bound still counts."""

_EDGE = 0.02
"""Share of the range that first outputs keep from its ends; less than MARGIN leaves of it."""

_STEEPEST = 100.0


def value_range(spec: EnvSpec, discount: float) -> tuple[float, float]:
    """`return_bounds` with a margin at both ends: what the critic's support should cover; raises what that raises."""
    lo, hi = return_bounds(spec, discount)
    room = MARGIN * (hi - lo)
    return lo - room, hi + room


def return_bounds(spec: EnvSpec, discount: float) -> tuple[float, float]:
    """Least and greatest discounted return of this environment (environment units).

    Where an episode can go on for ever these are bounds / (1 - discount). A time limit makes them no tighter: targets
    bootstrap beyond it. Where all that an episode can win is paid on the step that ends it (`spec.pays_once`), it
    is won once: with a step penalty p and a prize of 1, returns lie in [-p / (1 - discount), 1 - p].

    Raises:
        ConfigError: the environment does not say what its rewards are, or pays the same whatever happens.
    """
    if spec.reward_bounds is None:
        raise ConfigError(
            f"{spec.name} has no bounds on its reward, from which the range of the critic would follow. Say it "
            "yourself: agent.value_range, least and greatest return."
        )
    least, greatest = spec.reward_bounds
    for_ever = 1 / (1 - discount)
    lo = min(least, least * for_ever)
    hi = max(greatest, least * for_ever) if spec.pays_once else max(greatest, greatest * for_ever)
    if not lo < hi:
        raise ConfigError(f"{spec.name} has reward bounds {spec.reward_bounds}: there is nothing to learn from it.")
    return lo, hi


def outputs_of_zero(head: ValueHead) -> jax.Array:
    """Outputs `[O]` that decode to a return of 0, the flattest ramp that does; zeros where those do.

    A new critic that says the middle of a lopsided support would promise what no episode pays. On the logits of a
    support, the ramp is the distribution of greatest entropy with that mean. Found by bisection. Where 0 is an end of
    the support or outside, they decode to what is a little inside: a softmax that is sure of the end hardly learns.
    """
    ramp = jnp.linspace(-1.0, 1.0, head.num_outputs) if head.num_outputs > 1 else jnp.ones(1)
    least, greatest = head.value(-_STEEPEST * ramp), head.value(_STEEPEST * ramp)
    room = _EDGE * (greatest - least)
    wanted = jnp.clip(0.0, least + room, greatest - room)

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        above = head.value(middle * ramp) > wanted
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    ends = jnp.float32(-_STEEPEST), jnp.float32(_STEEPEST)
    low, high = jax.lax.fori_loop(0, 50, halve, ends)
    # Symmetric heads are 0 in the middle to the last bit; bisection would only come near.
    symmetric = head.value(0.0 * ramp) == 0
    return jnp.where(symmetric, 0.0, (low + high) / 2) * ramp
