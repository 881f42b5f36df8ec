"""Child processes: started with `spawn`, in a process group of their own, gone when their parent is gone."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from robo_rl.errors import UserError

SPAWN = multiprocessing.get_context("spawn")

ACTOR_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",  # an actor must never take hold of an accelerator
    "CUDA_VISIBLE_DEVICES": "",
    "MUJOCO_GL": "disabled",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "OMP_NUM_THREADS": "1",
    "LP_NUM_THREADS": "0",  # Mesa's software renderer draws in the calling thread, not in threads of its own
}
"""Read when JAX and MuJoCo are imported, so it has to stand before the process starts."""

GONE = (EOFError, OSError)
"""What a pipe raises when the process at its other end is gone; a plain OSError if that died halfway through a message.
"""


class Child:
    """A child process, and the connection on which it reports to its parent."""

    def __init__(self, name: str, target: Callable[..., None], args: tuple[Any, ...], environment: Mapping[str, str]):
        """Start `target(report connection, *args)`."""
        self.name = name
        self.connection, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=child_main, args=(target, theirs, args), name=name, daemon=False)
        with _environment(environment), _interrupt_held_back():
            self.process.start()
        theirs.close()

    def messages(self) -> Iterator[tuple[str, Any]]:
        """What the child has said since the last call."""
        with contextlib.suppress(*GONE):
            while self.connection.poll():
                yield self.connection.recv()

    def tell(self, kind: str, what: Any = None) -> None:
        """Send to the child; nothing happens if it is gone, which its exit code tells anyway."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send((kind, what))

    def kill(self) -> None:
        """End the child and whatever it started, at once; also what it left behind if it is dead already."""
        number = self.process.pid
        assert number is not None, "the constructor has started it"
        with contextlib.suppress(ProcessLookupError):
            # Its group bears its own number, once its first line has run; before that there is no such group.
            os.killpg(number, signal.SIGKILL)
        self.process.kill()
        self.process.join(timeout=5)
        self.connection.close()


def child_main(target: Callable[..., None], report: Connection, args: tuple[Any, ...]) -> None:
    """First code of every child. An error reaches the parent as ("failed", (is the user's, text)), then exit code 1."""
    os.setpgid(0, 0)  # the terminal's Ctrl-C is for the parent alone, which decides what it means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # held back by the parent until here
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        target(report, *args)
    except BaseException as error:
        is_users = isinstance(error, UserError)
        text = str(error) if is_users else traceback.format_exc()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            report.send(("failed", (is_users, text)))
        report.close()
        os._exit(1)  # threads of Orbax or JAX must not hold back the news
    report.close()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os.killpg(os.getpid(), signal.SIGKILL)  # itself and whatever it started


@contextlib.contextmanager
def _interrupt_held_back() -> Iterator[None]:
    """Ctrl-C waits until the block ends; for a child that starts inside, which inherits that, until its first code.

    For the seconds of its imports a child is in the terminal's process group, and an interrupt would kill it.
    """
    resource_tracker.ensure_running()  # else the child's start would start it, which lets interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """The process environment with `changes`, for children that start inside."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
