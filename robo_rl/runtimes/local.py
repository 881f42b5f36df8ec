"""The local runtime: actors, learner and evaluator as processes of this machine, watched by the one that started them.

The embedded default: no server to install, no port to open. The parent holds no JAX; it starts the children, passes
pipes, restarts what may be restarted, and ends everything when it ends.
"""

import multiprocessing.connection
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from robo_rl import envs
from robo_rl.checkpoints.layout import remove_unfinished
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.config import Config
from robo_rl.data.episode import RecordedEpisode
from robo_rl.errors import RunFailedError
from robo_rl.experiment import check, episode_writer, open_feed
from robo_rl.render import gl_backend
from robo_rl.roles.journal import Report, saved_counts
from robo_rl.runtimes.channel import door, pass_through
from robo_rl.runtimes.children import actor_main, evaluator_main, learner_main
from robo_rl.runtimes.failure import begun
from robo_rl.runtimes.processes import ACTOR_ENVIRONMENT, SPAWN, Child

SILENCE_DEADLINE_SECONDS = 300.0
"""Longest the learner may go without a sign of life: compiling and saving are the longest silences it has."""

STOP_DEADLINE_SECONDS = 120.0
"""Longest the learner may take to commit its last checkpoint once it was asked to stop."""

HEALTHY_SECONDS = 60.0
"""A child that lived this long starts again with a clean record of restarts."""

BACK_OFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def train(config: Config, run: RunFolder, report: Report, stop: Callable[[], bool] = lambda: False) -> None:
    """Train in `run` until the budget is used or `stop()` says so; resumes if the folder holds this experiment.

    Raises:
        UserError: bad config, or a folder that cannot be used or holds another experiment.
        RunFailedError: a failed write, a run that diverged, the learner died, or a child failed more often than it may;
            its traceback is in the message.
    """
    spec = check(config)
    open_feed(config, spec)  # a data set that cannot be used is refused before any process starts
    films = config.evaluation.enabled and config.evaluation.video
    sees = envs.needs_renderer(config.env)
    actor_gl, evaluator_gl = gl_backend(sees), gl_backend(sees or films)
    with run.lock(), episode_writer(config, spec) as record:
        resume_step = run.begin(config, spec)
        incarnation = 0 if resume_step is None else saved_counts(run.checkpoints, resume_step).next_incarnation()
        supervisor = Supervisor(config, run, report, resume_step, incarnation, actor_gl, evaluator_gl, record)
        try:
            with begun(supervisor.write_status):
                supervisor.start()
                final = supervisor.learn(stop)
                if config.evaluation.enabled and not stop():
                    supervisor.finish_evaluations(final, stop)
                supervisor.write_status("stopped" if stop() else "finished")
        finally:
            supervisor.kill()
            remove_unfinished(run.checkpoints)


class Restarts:
    """When a child that died may start again, and when it has died too often."""

    def __init__(self, most: int) -> None:
        """At most so many restarts in a row; a long healthy life clears the record."""
        self._most, self.count = most, 0
        self._born = time.monotonic()
        self.due: float | None = None

    def died(self) -> bool:
        """Note a death; False if it was one too many, else `due` says when to start again."""
        now = time.monotonic()
        if now - self._born > HEALTHY_SECONDS:
            self.count = 0
        self.count += 1
        self.due = now + BACK_OFF_SECONDS[min(self.count, len(BACK_OFF_SECONDS)) - 1]
        return self.count <= self._most

    def is_due(self) -> bool:
        """Whether a dead child's pause is over."""
        return self.due is not None and time.monotonic() >= self.due

    def born(self) -> None:
        """Note a start."""
        self._born, self.due = time.monotonic(), None


class Supervisor:
    """The children of one run."""

    def __init__(
        self,
        config: Config,
        run: RunFolder,
        report: Report,
        resume_step: int | None,
        incarnation: int,
        actor_gl: str,
        evaluator_gl: str,
        record: Callable[[RecordedEpisode], None] | None = None,
    ) -> None:
        """Nothing is started yet.

        incarnation: of the first actor; each that starts after it has the next one
        actor_gl, evaluator_gl: MUJOCO_GL of these children    record: is given the actors' episodes
        """
        self._record = record
        self._config, self._run, self._report, self._resume_step = config, run, report, resume_step
        self._actor_gl, self._evaluator_gl = actor_gl, evaluator_gl
        self._door, self._learners_door = door()
        self._learner: Child | None = None
        self._actors: dict[int, Child] = {}
        self._evaluator: Child | None = None
        self._incarnation = incarnation
        self._restarts = {
            name: Restarts(config.actor.max_restarts) for name in [*range(config.actor.processes), "evaluator"]
        }
        self._failures: dict[int | str, str] = {}
        self._final: int | None = None
        self._alive: dict[str, Any] = {}
        self._last_sign = self._last_status = time.monotonic()

    def start(self) -> None:
        """Start every child."""
        learner_args = (self._config, self._run.path, self._resume_step, self._learners_door)
        self._learner = Child("learner", learner_main, learner_args, {"MUJOCO_GL": gl_backend(False)})
        # The learner has its own copy now; ours would keep the door open after its death.
        self._learners_door.close()
        for actor in range(0 if self._config.data.is_offline else self._config.actor.processes):
            self._start_actor(actor)
        if self._config.evaluation.enabled:
            self._start_evaluator()

    def learn(self, stop: Callable[[], bool]) -> int:
        """Watch over the children until the learner has finished; the step of its last checkpoint."""
        assert self._learner is not None
        asked_to_stop: float | None = None
        while True:
            self._wait(0.2)
            finished = self._hear_learner()
            if finished is not None:
                return finished
            if stop() and asked_to_stop is None:
                asked_to_stop = time.monotonic()
                self._report("note", "stopping: the learner commits a checkpoint")
                self._learner.tell("stop")
            if asked_to_stop is not None and time.monotonic() - asked_to_stop > STOP_DEADLINE_SECONDS:
                raise RunFailedError(f"The learner did not commit a checkpoint within {STOP_DEADLINE_SECONDS:.0f} s.")
            self._tend_actors()
            self._tend_evaluator()
            if time.monotonic() - self._last_status > 2:
                self.write_status("training" if asked_to_stop is None else "stopping")

    def finish_evaluations(self, final: int, stop: Callable[[], bool]) -> None:
        """Let the evaluator judge what is left, the last checkpoint above all."""
        self._final = final
        for actor in self._actors.values():
            actor.kill()
        self._actors.clear()
        if self._evaluator is not None:
            self._evaluator.tell("final", final)
        self._report("note", "training is over; the evaluator judges the last checkpoint")
        while not stop():
            self._wait(0.2)
            if self._tend_evaluator():
                return
            if time.monotonic() - self._last_status > 2:
                self.write_status("evaluating")

    def kill(self) -> None:
        """End every child at once; harmless where it has ended."""
        for child in [self._learner, *self._actors.values(), self._evaluator]:
            if child is not None:
                child.kill()
        self._door.close()
        self._learners_door.close()  # open still where starting the children failed

    def write_status(self, state: str) -> None:
        """Write status.json, what `robo-rl status` shows; UserError if the folder cannot be written."""
        self._last_status = time.monotonic()
        children = {f"actor {actor}": child for actor, child in self._actors.items()}
        children |= {"learner": self._learner, "evaluator": self._evaluator}
        status = {
            "state": state,
            "pid": os.getpid(),
            "time": time.time(),
            **self._alive,
            "processes": {name: child.process.pid for name, child in children.items() if child is not None},
            "restarts": {str(name): record.count for name, record in self._restarts.items() if record.count},
            "failures": {str(name): text.strip().splitlines()[-1] for name, text in self._failures.items()},
        }
        self._run.write_status(status)

    def _start_actor(self, actor: int) -> None:
        learners_end, actors_end = SPAWN.Pipe()
        args = (self._config, actors_end, actor, self._incarnation)
        self._incarnation += 1
        environment = {**ACTOR_ENVIRONMENT, "MUJOCO_GL": self._actor_gl}
        self._actors[actor] = Child(f"actor {actor}", actor_main, args, environment)
        # Both ends now belong to others; a copy here would hide that one of them hung up.
        actors_end.close()
        pass_through(self._door, learners_end, actor)
        learners_end.close()
        self._restarts[actor].born()

    def _start_evaluator(self) -> None:
        environment = {**ACTOR_ENVIRONMENT, "MUJOCO_GL": self._evaluator_gl}
        self._evaluator = Child("evaluator", evaluator_main, (self._config, self._run.path), environment)
        self._restarts["evaluator"].born()
        if self._final is not None:
            self._evaluator.tell("final", self._final)

    def _wait(self, seconds: float) -> None:
        children = [self._learner, *self._actors.values(), self._evaluator]
        connections = [child.connection for child in children if child is not None and child.process.is_alive()]
        multiprocessing.connection.wait(connections, seconds)

    def _hear_learner(self) -> int | None:
        """Pass on what the learner says; its last step once it has finished.

        Raises:
            RunFailedError: it failed, died or fell silent.
        """
        learner = self._learner
        assert learner is not None
        is_alive = learner.process.is_alive()  # asked before the messages: what it said last must not be missed
        for kind, what in learner.messages():
            self._last_sign = time.monotonic()
            if kind == "finished":
                return what
            if kind == "failed":
                is_users, text = what
                raise RunFailedError(text if is_users else f"The learner failed:\n{text}")
            if kind == "alive":
                self._alive = what
            self._report(kind, what)
        if not is_alive:
            learner.process.join()
            raise RunFailedError(
                f"The learner ended without a word ({_ending(learner)}). The last committed checkpoint stands; the "
                "same command resumes from it."
            )
        silence = time.monotonic() - self._last_sign
        if silence > SILENCE_DEADLINE_SECONDS:
            raise RunFailedError(
                f"The learner gave no sign of life for {silence:.0f} s and was ended. The last committed checkpoint "
                "stands; the same command resumes from it."
            )
        return None

    def _tend_actors(self) -> None:
        """Restart actors that died."""
        for actor, child in list(self._actors.items()):
            if self._gone(actor, child):
                self._start_actor(actor)

    def _tend_evaluator(self) -> bool:
        """Pass on evaluations, restart the evaluator if it died; whether it has finished."""
        child = self._evaluator
        if child is None:
            return True
        if self._gone("evaluator", child):
            self._start_evaluator()
        return self._final is not None and child.process.exitcode == 0

    def _gone(self, name: int | str, child: Child) -> bool:
        """Hear a child; True once, if it died and the pause before its restart is over.

        Raises:
            RunFailedError: it has died too often; the message holds its last traceback.
        """
        record = self._restarts[name]
        is_alive = child.process.is_alive()
        for kind, what in child.messages():
            if kind == "failed":
                self._failures[name] = what[1]
            elif kind == "episode" and self._record is not None:
                self._record(what)
            elif kind != "finished":
                self._report(kind, what)
        if is_alive or child.process.exitcode == 0:
            return False
        if record.due is None:
            reason = self._failures.get(name) or f"it ended without a word ({_ending(child)})"
            if not record.died():
                raise RunFailedError(f"{child.name} failed {record.count} times in a row. The last time:\n{reason}")
            last_line = reason.strip().splitlines()[-1]
            self._report("note", f"{child.name} died ({last_line}); restart {record.count}")
        if not record.is_due():
            return False
        child.kill()
        return True


def _ending(child: Child) -> str:
    code = child.process.exitcode
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
