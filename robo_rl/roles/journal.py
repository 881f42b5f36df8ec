"""What a run leaves behind as it goes: a row of metrics and a checkpoint whenever one is due."""

from collections.abc import Callable
from typing import Any

from robo_rl.checkpoints.reader import load_meta, load_run
from robo_rl.checkpoints.writer import CheckpointWriter
from robo_rl.config import Config
from robo_rl.metrics.sinks import MetricsWriter
from robo_rl.roles.learner import Counts, Learner

Report = Callable[[str, Any], None]
"""("row", metrics), ("checkpoint", step) or ("note", text): what a person may want to see."""


CLIPPED_WARNING = 0.01
"""Share of clipped targets above which a person is told, once per run."""


class Journal:
    """Writes rows every `log_every`, policies every `policy_every`, whole runs every `run_every` environment steps."""

    def __init__(
        self,
        learner: Learner,
        metrics: MetricsWriter,
        checkpoints: CheckpointWriter,
        meta: dict[str, Any],
        config: Config,
        report: Report,
    ) -> None:
        """A journal that goes on from the learner's counts; `meta` goes into every checkpoint."""
        self._learner, self._metrics, self._checkpoints, self._meta = learner, metrics, checkpoints, meta
        self._log_every, self._every = config.log_every, config.checkpoint
        self._report, self._warned = report, False
        start = learner.counts
        self._logged, self._logged_updates, self._logged_seconds = start.env_steps, start.updates, learner.seconds()
        self._saved_policy = self._saved_run = start.env_steps
        # A run that has any checkpoint can be resumed: the first is whole, whatever its turn.
        self._has_whole = start.env_steps > 0

    def tick(self, actor_state: Callable[[], Any]) -> int | None:
        """Write what is due; the step of a checkpoint, if one was started. `actor_state` goes into a whole one.

        Raises:
            DivergedError: a metric or parameter is not finite; nothing is saved then.
            CheckpointError, UserError: a write failed.
        """
        env_steps = self._learner.counts.env_steps
        if _due(env_steps, self._logged, self._log_every):
            self.log()
        whole = _due(env_steps, self._saved_run, self._every.run_every)
        if not whole and not _due(env_steps, self._saved_policy, self._every.policy_every):
            return None
        return self._save(actor_state() if whole or not self._has_whole else None)

    def log(self) -> None:
        """Write a row now."""
        row = self._learner.row()
        elapsed = max(row["seconds"] - self._logged_seconds, 1e-9)
        row["env_steps_per_second"] = round((row["env_steps"] - self._logged) / elapsed, 1)
        row["updates_per_second"] = round((row["updates"] - self._logged_updates) / elapsed, 1)
        self._metrics.write(row)
        self._logged, self._logged_updates = int(row["env_steps"]), int(row["updates"])
        self._logged_seconds = row["seconds"]
        self._report("row", row)
        if not self._warned and row.get("clipped_fraction", 0) > CLIPPED_WARNING:
            self._warned = True
            self._report(
                "note",
                f"{row['clipped_fraction']:.1%} of the critics' targets lie outside the support and are clipped (see "
                "clipped_fraction): values are biased. Widen it with agent.critic.bins: for SAC raise "
                "agent.critic.v_max or lower agent.initial_temperature, for QT-Opt set agent.value_range.",
            )

    def can_finish(self) -> bool:
        """Whether a whole checkpoint can be written now: not while this very step has one of the policy only."""
        return self._saved_run == self._saved_policy or self._learner.counts.env_steps > self._saved_policy

    def finish(self, actor_state: Any) -> None:
        """The last row, and a whole checkpoint unless this step has one; returns when it is committed."""
        if self._learner.counts.env_steps > self._logged:
            self.log()
        if self._learner.counts.env_steps > self._saved_run:
            self._save(actor_state)
        self._checkpoints.wait()

    def _save(self, actor_state: Any | None) -> int:
        learner = self._learner
        learner.require_finite_state()
        step = learner.counts.env_steps
        run = None if actor_state is None else {"learner": learner.state, "actor": actor_state}
        counts = learner.counts._replace(seconds=learner.seconds()).to_json()
        self._checkpoints.save(step, learner.policy(), run, {**self._meta, "counts": counts})
        self._saved_policy = step
        if run is not None:
            self._saved_run, self._has_whole = step, True
        self._report("checkpoint", step)
        return step


def _due(env_steps: int, last: int, every: int) -> bool:
    return env_steps // every > last // every


def restored(folder: Any, step: int, template: dict[str, Any]) -> tuple[dict[str, Any], Counts]:
    """The `run` item of a checkpoint in the shape of `template`, and the counts saved with it."""
    return load_run(folder, step, template), saved_counts(folder, step)


def saved_counts(folder: Any, step: int) -> Counts:
    """The counts saved with a checkpoint; raises what `load_meta` raises."""
    return Counts.from_json(load_meta(folder, step)["counts"])
