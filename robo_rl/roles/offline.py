"""Learning from recorded episodes alone: no actor, no replay, no pacing; the run's clock counts updates."""

from collections.abc import Callable
from typing import Any

from robo_rl.config import Config
from robo_rl.roles.journal import Journal
from robo_rl.roles.learner import Learner


def learn_offline(
    learner: Learner,
    journal: Journal,
    config: Config,
    stop: Callable[[], bool],
    on_dispatch: Callable[[], None] = lambda: None,
    on_checkpoint: Callable[[], None] = lambda: None,
    actor_state: Callable[[], Any] = dict,
) -> None:
    """Make updates until the budget (`env_steps`, here updates) is used or `stop()` says so.

    `on_dispatch` is called after every dispatch of updates, `on_checkpoint` after every checkpoint but the last;
    `actor_state` is what the runtime keeps of its actors in a whole one.

    Raises:
        DivergedError: a metric or parameter is not finite.
        CheckpointError, UserError: a write failed.
    """
    while learner.counts.env_steps < config.env_steps and not (stop() and journal.can_finish()):
        learner.update()
        on_dispatch()
        if learner.counts.env_steps < config.env_steps and journal.tick(actor_state) is not None:
            on_checkpoint()
