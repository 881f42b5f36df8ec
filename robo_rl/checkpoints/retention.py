"""Which checkpoints are kept: the newest, the best judged so far, one to resume from, and those being evaluated."""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence

from orbax.checkpoint import checkpoint_managers


def preserved_steps(
    steps: Collection[int], restorable: Collection[int], scores: Mapping[int, float], keep_newest: int, keep_best: int
) -> set[int]:
    """The steps to keep out of `steps`.

    Args:
        steps: every step there is, that being saved included.
        restorable: those that hold `run`; the newest of them is always kept.
        scores: step -> score, higher is better, for the steps judged so far. Steps that are gone are ignored, a score
            that is not finite counts as none; of equal scores the newer step is better.
        keep_newest: how many of the newest steps are kept, at least 1.
        keep_best: how many of the best steps are kept.
    """
    newest = sorted(steps)[-keep_newest:]
    judged = [step for step in steps if math.isfinite(scores.get(step, math.nan))]
    best = sorted(judged, key=lambda step: (scores[step], step), reverse=True)[:keep_best]
    return {*newest, *best, *sorted(set(restorable) & set(steps))[-1:]}


@dataclasses.dataclass
class Retention(checkpoint_managers.PreservationPolicy):
    """`preserved_steps` in the form Orbax asks for. `scores` and `restorable` are set before each save.

    Orbax's own BestN wants the score at save time; ours arrives later, from evaluators in other processes.
    """

    keep_newest: int
    keep_best: int
    scores: Mapping[int, float] = dataclasses.field(default_factory=dict)
    restorable: Collection[int] = ()
    condemn: Callable[[set[int]], set[int]] = set
    """Given the steps that would go, those that may: what a fleet is evaluating stays until a later save."""

    def should_preserve(
        self,
        checkpoints: Sequence[checkpoint_managers.PolicyCheckpointInfo],
        *,
        context: checkpoint_managers.PreservationContext,
    ) -> Sequence[bool]:
        """Whether each of `checkpoints` is kept; called by Orbax inside a save."""
        steps = [checkpoint.step for checkpoint in checkpoints]
        kept = preserved_steps(steps, self.restorable, self.scores, self.keep_newest, self.keep_best)
        dropped = self.condemn(set(steps) - kept)
        return [step not in dropped for step in steps]
