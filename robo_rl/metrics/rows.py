"""The glossary of logged columns, and what a value must be to enter a row."""

import math
from collections.abc import Mapping
from typing import Any

from robo_rl.errors import DivergedError

Value = float | int | str | bool | None
"""One cell of a row. None means that the interval has no such value, e.g. no episode ended in it."""

COLUMNS: Mapping[str, str] = {
    "env_steps": "environment steps since the start of the run; every row has it, and it never falls",
    "updates": "gradient steps since the start of the run",
    "episodes": "training episodes that ended since the start of the run",
    "seconds": "time spent training (s), summed over resumes",
    "env_steps_per_second": "environment steps per second over the interval",
    "updates_per_second": "gradient steps per second over the interval",
    "return": "mean undiscounted return of the training episodes that ended in the interval, environment units",
    "success": "share of those episodes that ended in success, 0..1; absent for tasks without that notion",
    "episode_length": "mean length of those episodes (control steps)",
    "policy_lag": "updates made since the weights that the newest chunk was collected with",
    "replay_size": "transitions in the replay",
    "critic_loss": "loss of the critics, in the unit of the head",
    "actor_loss": "loss of the policy, scaled return units",
    "critic_gradient_norm": "global norm of the critics' gradient before it is clipped",
    "actor_gradient_norm": "global norm of the actor's gradient before it is clipped",
    "temperature": "weight of the entropy bonus, scaled return units per nat",
    "entropy": "entropy of the policy on the batch (nat)",
    "q_mean": "mean value on the batch, return units",
    "q_min": "least value on the batch, return units",
    "q_max": "greatest value on the batch, return units",
    "clipped_fraction": "share of the targets' mass that was clipped to the support, 0..1",
    "reward_scale": "what rewards are divided by",
    "entropy_room_shortfall": "room in the support that the entropy bonus needs and did not get, scaled return units; "
    "above 0, targets may be clipped: raise agent.critic.v_max or leave entropy_in_target off",
    "waiting": "who waits for what, in words; absent while nobody waits",
    "checkpoint_env_steps": "environment step of the newest committed checkpoint",
    "evaluation_env_steps": "environment step of the newest evaluated checkpoint",
    "evaluation_return": "mean return of that evaluation, environment units",
    "evaluation_success": "success rate of that evaluation, 0..1",
    "evaluation_success_low": "lower end of its 95 % Wilson interval",
    "evaluation_success_high": "upper end of its 95 % Wilson interval",
}
"""The columns the program knows, with their meaning and unit. A row may carry further ones."""


def plain_row(row: Mapping[str, Any]) -> dict[str, Value]:
    """`row` with every NumPy or JAX scalar turned into the Python number it holds.

    Raises:
        ValueError: no integral `env_steps`, or a value that is neither a scalar nor text.
        DivergedError: a number that is NaN or infinite; the first such column is named.
    """
    plain = {name: _plain_value(name, value) for name, value in row.items()}
    env_steps = plain.get("env_steps")
    if not isinstance(env_steps, int) or isinstance(env_steps, bool) or env_steps < 0:
        raise ValueError(f"A metrics row needs env_steps, a whole number >= 0; this one has {env_steps!r}.")
    return plain


def _plain_value(name: str, value: Any) -> Value:
    if value is None or isinstance(value, str | bool | int):  # a bool is an int, which is how TensorBoard draws it
        return value
    if type(value) is not float:
        # Duck-typed, so that neither NumPy nor JAX is imported for it; np.float64 is a float, yet not a plain one.
        if getattr(value, "shape", None) != ():
            raise ValueError(f"Metric {name!r} is {type(value).__name__}; a row takes scalars, text or None.")
        value = value.item()
    # JSON has no NaN, and a curve with a hole where the run broke hides the break.
    if isinstance(value, float) and not math.isfinite(value):
        raise DivergedError(
            f"Metric {name!r} is {value}. The last committed checkpoint is from before; resume from it, with a lower "
            "learning rate or tighter gradient clipping if it happens again."
        )
    return value
