"""The inline runtime: one process, one thread, bit-for-bit repeatable on CPU; the reference for every test."""

import functools
import os
import time
from collections.abc import Callable
from typing import Any

from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.checkpoints.writer import CheckpointWriter
from robo_rl.config import Config
from robo_rl.data.episode import RecordedEpisode
from robo_rl.experiment import Experiment, build, episode_writer, with_data
from robo_rl.metrics.sinks import MetricsWriter
from robo_rl.roles.actor import Actor
from robo_rl.roles.evaluator import greedy, judge
from robo_rl.roles.exchange import Reply
from robo_rl.roles.journal import Journal, Report, restored
from robo_rl.roles.learner import Counts, Learner
from robo_rl.roles.offline import learn_offline
from robo_rl.runtimes.failure import begun


def train(config: Config, run: RunFolder, report: Report, stop: Callable[[], bool] = lambda: False) -> None:
    """Train in `run` until the budget is used or `stop()` says so, then write a whole checkpoint; resumes if it can.

    Raises:
        UserError: bad config, or a folder that cannot be used or holds another experiment.
        RunFailedError: a failed write, or a run that diverged.
    """
    experiment = with_data(build(config))
    keep = config.checkpoint
    with run.lock(), episode_writer(config, experiment.spec) as record:
        resume_step = run.begin(config, experiment.spec)
        status = Status(run, report)
        with begun(status.write):
            status.write("training")
            learner, actor = start(experiment, run, resume_step, record)
            evaluate = make_evaluate(experiment, run, learner, report)
            with (
                MetricsWriter(run.path) as metrics,
                CheckpointWriter(run.checkpoints, keep.keep_newest, keep.keep_best, run.scores) as checkpoints,
            ):
                metrics.truncate_after(learner.counts.env_steps)
                journal = Journal(learner, metrics, checkpoints, experiment.meta(), config, status.pass_on)
                if config.data.is_offline:
                    judge = functools.partial(evaluate, config.evaluation.episodes)
                    learn_offline(learner, journal, config, stop, on_checkpoint=judge, actor_state=actor.state)
                else:
                    learn_online(learner, actor, journal, config, stop, evaluate)
                journal.finish(actor.state())
            if not stop():
                evaluate(max(config.evaluation.episodes, config.evaluation.final_episodes))
            status.write("stopped" if stop() else "finished")


class Status:
    """Keeps status.json, what `robo-rl status` shows, while a run goes on."""

    def __init__(self, run: RunFolder, report: Report) -> None:
        """Nothing is written yet; `report` is given what `pass_on` is told."""
        self._run, self._report = run, report
        self._progress: dict[str, Any] = {}

    def write(self, state: str) -> None:
        """Say where the run stands; UserError if the folder cannot be written."""
        pid = os.getpid()
        said = {"state": state, "pid": pid, "time": time.time(), **self._progress, "processes": {"all in one": pid}}
        self._run.write_status(said)

    def pass_on(self, kind: str, what: Any) -> None:
        """A report on its way out; each row of metrics is a sign of life."""
        self._report(kind, what)
        if kind == "row":
            self._progress = {name: what[name] for name in ("env_steps", "updates")}
            self.write("training")


def learn_online(
    learner: Learner,
    actor: Actor,
    journal: Journal,
    config: Config,
    stop: Callable[[], bool],
    evaluate: Callable[[int], None],
) -> None:
    """Act and learn in turn until the budget of environment steps is used or `stop()` says so."""
    while learner.counts.env_steps < config.env_steps and not (stop() and journal.can_finish()):
        actor.receive(Reply(*learner.newer_policy(actor.version), stop=False))
        learner.insert(actor.collect(config.actor.chunk_steps))
        while learner.may_update():
            learner.update()
        if learner.counts.env_steps < config.env_steps and journal.tick(actor.state) is not None:
            evaluate(config.evaluation.episodes)


def start(
    experiment: Experiment,
    run: RunFolder,
    resume_step: int | None,
    record: Callable[[RecordedEpisode], None] | None = None,
) -> tuple[Learner, Actor]:
    """Learner and actor, fresh or as the checkpoint of `resume_step` left them; `record` is given its episodes."""
    actor = experiment.actor(record=record)
    state = experiment.initial_state()
    if resume_step is None:
        return experiment.learner(state, Counts()), actor
    template = {"learner": state, "actor": actor.state()}
    tree, counts = restored(run.checkpoints, resume_step, template)
    learner = experiment.learner(tree["learner"], counts)
    actor.restore(tree["actor"], learner.newer_policy(0)[1])
    return learner, actor


def make_evaluate(experiment: Experiment, run: RunFolder, learner: Learner, report: Report) -> Callable[[int], None]:
    """A function that judges the learner's policy on so many episodes, writes the result, and films if asked to.

    It does nothing where evaluation is disabled.
    """
    if not experiment.config.evaluation.enabled:
        return lambda episodes: None
    env, act = experiment.evaluation_env(), greedy(experiment.agent)

    def evaluate(episodes: int) -> None:
        """Judge the policy of this moment; the record has the number of its step."""
        step = learner.counts.env_steps
        video = run.videos / f"{step}.mp4" if experiment.config.evaluation.video else None
        record = judge(env, act, learner.policy(), step, experiment.evaluation_seeds(episodes), video)
        run.write_evaluation(step, record)
        report("evaluation", record)

    return evaluate
