"""Reward scaling by a running statistic of returns, so that one support fits every task.

The divisor follows SimbaV2 (Lee et al. 2025, arXiv 2502.15280, "reward scaling"): max(std G, max|G| / v_cap) for the
forward discounted return G. Without the second term, steadily high returns shrink the deviation and push targets out
of the support. Two things are added here: room for the entropy bonus, after BRC (Nauman et al. 2025, arXiv
2505.23150), and time limits, where the critic bootstraps beyond the rewards that were seen. The paper's epsilon under
the root is left out: max|G| already keeps the divisor above 0, and without it the unit of the reward does not matter.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from robo_rl import moments
from robo_rl.critics.checks import require
from robo_rl.errors import ConfigError
from robo_rl.specs import Array


class ReturnStatistics(NamedTuple):
    """What is known of the forward returns, in environment reward units; part of the agent's state and checkpoint.

    count:    `[]` float32, returns counted. At 2^24 single additions it stands still, and the statistic becomes a
              moving average over the last 2^24 returns.
    mean:     `[]`    variance: `[]`, population variance    max_abs: `[]`, the largest |return| so far
    """

    count: jax.Array
    mean: jax.Array
    variance: jax.Array
    max_abs: jax.Array


def init() -> ReturnStatistics:
    """The statistic of no returns at all."""
    # Four arrays and not one four times: a donated buffer must not appear twice in the donated state.
    return ReturnStatistics(*(jnp.zeros((), jnp.float32) for _ in ReturnStatistics._fields))


KEPT_UP_SHARE = 0.2
"""Share of the horizon 1 / (1 - gamma) over which a reward must come without a break to count as kept up."""


def kept_up_steps(gamma: float) -> int:
    """Over how many control steps `kept_up` looks back.

    Raises:
        ConfigError: `gamma` is not in [0, 1).
    """
    _check_gamma(gamma)
    return max(1, round(KEPT_UP_SHARE / (1 - gamma)))


def kept_up(recent: np.ndarray) -> np.ndarray:
    """What every one of the `recent [K, N]` rewards brought at least, `[N]`: 0 where they have no common sign."""
    return np.clip(0.0, recent.min(axis=0), recent.max(axis=0))


def forward_return(
    previous: Array, reward: Array, kept: Array, terminated: Array, truncated: Array, gamma: float
) -> tuple[Array, Array]:
    """One step of G_t = gamma * G_{t-1} + r_t in N environment streams; NumPy in, NumPy out, JAX in, JAX out.

    At a time limit the critic's target goes on beyond the episode, and can exceed every return that was seen: by a
    quarter in a 40-step episode of constant reward at gamma 0.96. There, the larger of |G_t| and |kept| / (1 - gamma),
    that reward for ever, is what is reported. Not the last reward: a finger that spins for a moment at the limit has
    it, and would promise ten times what was ever seen.

    Args:
        previous: `[N]`, the second result of the step before; zeros at first.
        reward: `[N]`, reward of this single control step, environment units.
        kept: `[N]`, `kept_up` of the last rewards of the episode.
        terminated, truncated: bool `[N]`, whether the episode really ended here, or met its time limit.
        gamma: discount per control step, in [0, 1).

    Returns:
        The returns `[N]` to give to `update`, and `[N]` for the next call: 0 where an episode ended.

    Raises:
        ConfigError: `gamma` is not in [0, 1).
    """
    _check_gamma(gamma)
    xp = reward.__array_namespace__()
    total = gamma * previous + reward
    for_ever = kept / (1 - gamma)
    returns = xp.where(truncated & ~terminated & (xp.abs(for_ever) > xp.abs(total)), for_ever, total)
    return returns, xp.where(terminated | truncated, xp.zeros_like(total), total)


def update(stats: ReturnStatistics, returns: ArrayLike, mask: ArrayLike) -> ReturnStatistics:
    """`stats` with the `returns [B]` where `mask [B]` is true; what is masked may hold anything, NaN included.

    A return that counts and is not finite makes the statistic not finite.
    """
    mask = jnp.asarray(mask, bool)
    returns = jnp.where(mask, require("returns", returns, *mask.shape), 0.0)
    count, mean, variance = moments.merge(moments.Moments(*stats[:3]), moments.of_group(returns, mask))
    return ReturnStatistics(
        count, mean, variance, max_abs=jnp.maximum(stats.max_abs, jnp.max(jnp.abs(returns), initial=0.0))
    )


def entropy_room(temperature: ArrayLike, action_size: int, gamma: float) -> jax.Array:
    """Room `[]` the discounted entropy bonus needs in the support, scaled return units.

    temperature * A / (4 (1 - gamma)), BRC's allowance (arXiv 2505.23150): half of what a policy collects that stays
    at the target entropy -A / 2 for ever. The bound for a uniform policy, temperature * A * ln 2 / (1 - gamma), is 2.8
    times as large and is not reserved: it would leave the rewards a sliver of the support.

    Raises:
        ConfigError: `gamma` is not in [0, 1).
    """
    _check_gamma(gamma)
    return require("temperature", temperature) * action_size / (4 * (1 - gamma))


def room_shortfall(v_max: float, room: ArrayLike) -> jax.Array:
    """How much of the entropy `room []` does not fit into half the support; above 0 the log should warn. `[]`."""
    return jnp.maximum(require("room", room) - v_max / 2, 0.0)


def scale(stats: ReturnStatistics, v_max: float, room: ArrayLike) -> jax.Array:
    """The divisor `[]` of rewards: environment units per scaled unit.

    max(std G, max|G| / v_cap) with v_cap = v_max - room: no return seen so far leaves [-v_cap, v_cap]. The room is
    cut to half of `v_max`, lest a high temperature squeeze the rewards to nothing; `room_shortfall` says when it was.
    1 as long as no return other than 0 was seen, when rewards are 0 whatever they are divided by.
    """
    v_cap = v_max - jnp.clip(require("room", room), 0.0, v_max / 2)
    divisor = jnp.maximum(jnp.sqrt(stats.variance), stats.max_abs / v_cap)
    # A NaN must pass: `max_abs > 0` would turn it into 1 and hide it.
    return jax.lax.stop_gradient(jnp.where(stats.max_abs == 0, 1.0, divisor))


class ValueUnit(NamedTuple):
    """The scales in which the values of learning critics and of their targets are, as averages of 1 / scale.

    critics: `[]`    targets: `[]`; both 0 before the first update
    """

    critics: jax.Array
    targets: jax.Array


def no_unit() -> ValueUnit:
    """The unit of critics that have not learned anything."""
    return ValueUnit(jnp.zeros(()), jnp.zeros(()))


def followed(unit: ValueUnit, divisor: ArrayLike, rate: float) -> ValueUnit:
    """`unit` after an update in which rewards were divided by `divisor []`.

    Critics are taken to come into a new scale as quickly as their targets follow them, at `rate` per update.
    """
    now = 1 / require("divisor", divisor)
    critics = jnp.where(unit.critics == 0, now, unit.critics + rate * (now - unit.critics))
    targets = jnp.where(unit.targets == 0, now, unit.targets + rate * (critics - unit.targets))
    return ValueUnit(critics, targets)


def conversion(unit: ValueUnit, divisor: ArrayLike) -> jax.Array:
    """What a target critic's value is multiplied by to be in the scale of today, `[]` in (0, 1].

    A target learned when rewards were divided by s says V / s; once they are divided by s' it would promise V s' / s.
    Where the first large return makes the scale jump that is many times what was ever seen, and takes a bootstrap of
    many steps to wear off. PopArt (van Hasselt et al. 2016, arXiv 1602.07714) rescales a linear last layer instead,
    which the logits of a histogram do not allow.

    Never above 1: a scale falls only as slowly as deviations do, or from 1 before any return was seen.
    """
    now = 1 / require("divisor", divisor)
    return jnp.where(unit.targets == 0, 1.0, jnp.minimum(now / unit.targets, 1.0))


def _check_gamma(gamma: float) -> None:
    if not 0 <= gamma < 1:
        raise ConfigError(f"The discount per step is {gamma}; return scaling needs it in [0, 1), e.g. 0.99.")
