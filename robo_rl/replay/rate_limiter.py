"""How far the actors may run ahead of the updates, and the reverse. Pure: counts in, yes or no out."""

from typing import NamedTuple


class RateLimiter(NamedTuple):
    """Holds updates / (env_steps - warmup) at a ratio; the counts belong to the learner and are saved with the run.

    updates_per_env_step: the ratio aimed at
    warmup_env_steps:     environment steps before the first update
    updates_per_dispatch: updates come in groups of this size
    max_lead_env_steps:   environment steps the actors may be ahead; None switches that side off

    The ratio comes from the config and the counts from the checkpoint, so a restored run with another ratio moves on
    (reverb #103). Both sides can never be blocked at once: an update is refused only while fewer than
    `updates_per_dispatch` updates are owed, and then the actors' lead is below the bound that would stop them.
    """

    updates_per_env_step: float
    warmup_env_steps: int
    updates_per_dispatch: int
    max_lead_env_steps: int | None

    def owed(self, env_steps: int, updates: int) -> float:
        """Updates still to be made for the environment steps taken; below zero where updates are ahead."""
        return (env_steps - self.warmup_env_steps) * self.updates_per_env_step - updates

    def may_update(self, env_steps: int, updates: int) -> bool:
        """Whether one more group of updates is due."""
        return self.owed(env_steps, updates) >= self.updates_per_dispatch

    def may_act(self, env_steps: int, updates: int) -> bool:
        """Whether the actors may take more environment steps now."""
        if self.max_lead_env_steps is None:
            return True
        lead = max(self.max_lead_env_steps * self.updates_per_env_step, self.updates_per_dispatch)
        return self.owed(env_steps, updates) < lead
