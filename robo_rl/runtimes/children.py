"""What the child processes of the local runtime do: learner, actor and evaluator, each a visible loop."""

import signal
import socket
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from robo_rl.checkpoints.layout import committed_steps
from robo_rl.checkpoints.reader import load_policy
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.checkpoints.writer import CheckpointWriter
from robo_rl.config import Config
from robo_rl.errors import CheckpointError, RunFailedError
from robo_rl.experiment import Experiment, build, with_data
from robo_rl.metrics.sinks import MetricsWriter
from robo_rl.roles.evaluator import follow, greedy, judge, policy_template
from robo_rl.roles.exchange import Reply
from robo_rl.roles.journal import Journal, restored
from robo_rl.roles.learner import Counts, Learner
from robo_rl.roles.offline import learn_offline
from robo_rl.runtimes.channel import ActorServer, act

EXPERIENCE_DEADLINE_SECONDS = 300.0
"""Longest the learner waits for a chunk while the limiter lets the actors go on."""

HEARTBEAT_SECONDS = 1.0

READING_NOTE_SECONDS = 30.0


def learner_main(
    report: Connection, config: Config, folder: Path, resume_step: int | None, door: socket.socket
) -> None:
    """Learn from whatever the actors send until the budget is used or the parent (or SIGTERM) says stop.

    Raises:
        UserError: a run that diverged, a failed write, a checkpoint that cannot be read.
        RunFailedError: no experience within the deadline.
    """
    stop = StopFlag(report)
    experiment = with_data(build(config), ReadingNote(report))
    run = RunFolder(folder)
    learner = resumed_learner(experiment, run, resume_step)
    keep = config.checkpoint
    with (
        MetricsWriter(run.path) as metrics,
        CheckpointWriter(run.checkpoints, keep.keep_newest, keep.keep_best, run.scores) as checkpoints,
    ):
        metrics.truncate_after(learner.counts.env_steps)
        journal = Journal(
            learner, metrics, checkpoints, experiment.meta(), config, lambda kind, what: report.send((kind, what))
        )
        heartbeat = Heartbeat(report, learner)
        if config.data.is_offline:
            learn_offline(learner, journal, config, stop, on_dispatch=lambda: heartbeat.beat(True))
        else:
            learn_from_actors(learner, ActorServer(door), journal, config, stop, heartbeat)
        journal.finish({})
    report.send(("finished", learner.counts.env_steps))


def learn_from_actors(
    learner: Learner,
    server: ActorServer,
    journal: Journal,
    config: Config,
    stop: "StopFlag",
    heartbeat: "Heartbeat",
) -> None:
    """Take in what the actors send and make the updates it allows, until the budget is used or a stop is asked for."""
    while learner.counts.env_steps < config.env_steps and not (stop() and journal.can_finish()):
        chunks = server.receive(timeout=0 if learner.may_update() else 0.05)
        taken_in = [learner.insert(chunk) for chunk in chunks]
        if learner.may_update():
            learner.update()
        if learner.may_act():
            server.reply(lambda version: Reply(*learner.newer_policy(version), stop=False))
        if learner.counts.env_steps < config.env_steps:
            journal.tick(dict)
        # Not whether any came: a learner that refuses all of them must meet its deadline.
        heartbeat.beat(any(taken_in))
    # The actors are let go first: what they would still send is beyond the budget.
    server.stop()
    while learner.may_update() and not stop():
        learner.update()
        heartbeat.beat(True)


class ReadingNote:
    """Tells the parent now and then that a large data set is still being read, lest it take silence for death."""

    def __init__(self, report: Connection) -> None:
        """Nothing is said in the first seconds."""
        self._report, self._last = report, time.monotonic()

    def __call__(self, read: int, episodes: int) -> None:
        """After each episode: how many were read, and how many there are."""
        if time.monotonic() - self._last > READING_NOTE_SECONDS:
            self._last = time.monotonic()
            self._report.send(("note", f"the learner reads the data set: {read} of {episodes} episodes"))


def resumed_learner(experiment: Experiment, run: RunFolder, resume_step: int | None) -> Learner:
    """A fresh learner, or one as the checkpoint of `resume_step` left it."""
    state = experiment.initial_state()
    if resume_step is None:
        return experiment.learner(state, Counts())
    tree, counts = restored(run.checkpoints, resume_step, {"learner": state, "actor": {}})
    return experiment.learner(tree["learner"], counts)


def actor_main(report: Connection, config: Config, exchange: Connection, actor: int, incarnation: int) -> None:
    """Collect experience with the newest weights until the learner says stop or is gone."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    experiment = build(config)
    # The parent writes them: it has nothing else to do, and the actor goes on.
    record = None if config.data.record is None else lambda episode: report.send(("episode", episode))
    act(experiment.actor(actor, incarnation, record), exchange, config.actor.chunk_steps)


def evaluator_main(report: Connection, config: Config, folder: Path) -> None:
    """Judge every committed checkpoint until the parent names the last one and all are judged.

    Raises:
        CheckpointError: a committed checkpoint cannot be read, and not because retention took it away.
    """
    experiment = build(config)
    run = RunFolder(folder)
    env, act_greedily = experiment.evaluation_env(), greedy(experiment.agent)
    template = policy_template(experiment.agent)
    # Read once: this process alone writes them now, and to read thousands at every look would take a third of a core.
    judged = {step: len(record["episodes"]) for step, record in run.evaluation_records().items()}
    final: list[int] = []

    def final_step() -> int | None:
        while report.poll():
            kind, what = report.recv()
            if kind == "final":
                final.append(what)
        return final[-1] if final else None

    def judge_step(step: int, episodes: int) -> None:
        """Evaluate a step and write the result; nothing if retention took the step away meanwhile."""
        try:
            policy = load_policy(run.checkpoints, step, template)
        except CheckpointError:
            if step in committed_steps(run.checkpoints):
                raise
            return
        video = run.videos / f"{step}.mp4" if config.evaluation.video else None
        record = judge(env, act_greedily, policy, step, experiment.evaluation_seeds(episodes), video)
        run.write_evaluation(step, record)
        judged[step] = episodes
        report.send(("evaluation", record))

    follow(
        lambda: committed_steps(run.checkpoints),
        lambda: judged,
        judge_step,
        final_step,
        episodes=config.evaluation.episodes,
        final_episodes=config.evaluation.final_episodes,
    )
    report.send(("finished", None))


class StopFlag:
    """Whether the parent, or a SIGTERM sent to this process, asked it to commit what it has and end."""

    def __init__(self, report: Connection) -> None:
        """Listen on the connection to the parent and to SIGTERM."""
        self._report, self._stop = report, False
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        self._stop = True

    def __call__(self) -> bool:
        """True from the first time it was asked."""
        while not self._stop and self._report.poll():
            self._stop = self._report.recv()[0] == "stop"
        return self._stop


class Heartbeat:
    """Tells the parent every second that the learner's loop turns, and who waits for whom."""

    def __init__(self, report: Connection, learner: Learner) -> None:
        """The first beat comes with the first call."""
        self._report, self._learner = report, learner
        self._last_beat, self._last_chunk = 0.0, time.monotonic()

    def beat(self, progress: bool) -> None:
        """Call it once per turn; `progress` says whether anything came or was done.

        Raises:
            RunFailedError: no experience came within the deadline, although the actors may go on.
        """
        now = time.monotonic()
        if progress or not self._learner.may_act():
            self._last_chunk = now
        waited = now - self._last_chunk
        if waited > EXPERIENCE_DEADLINE_SECONDS:
            raise RunFailedError(
                f"The learner waited {waited:.0f} s for experience and none came: no actor is alive, or one step of "
                "the environment takes that long. `robo-rl status` says which actors there are."
            )
        if now - self._last_beat < HEARTBEAT_SECONDS:
            return
        self._last_beat = now
        waiting = None
        if not self._learner.may_act():
            waiting = "actors wait for updates"
        elif waited > 2:
            waiting = f"learner waits for experience ({waited:.0f} s)"
        counts = self._learner.counts
        alive = {"env_steps": counts.env_steps, "updates": counts.updates, "waiting": waiting}
        self._report.send(("alive", alive))
