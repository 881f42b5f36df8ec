"""Who does the work: something shaped like `concurrent.futures`, and the one made of processes of this machine."""

import concurrent.futures
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any, Protocol

from robo_rl.runtimes.processes import Child


class Executor(Protocol):
    """What the coordinator needs of an executor; `concurrent.futures`, dask and Ray's pools have this shape."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> "concurrent.futures.Future[Any]":
        """Call `function(*args)` somewhere; both can be sent to another process."""
        ...


class WorkerDiedError(Exception):
    """The process that worked on the call is gone; the call may be submitted again."""


class ProcessExecutor:
    """`workers` processes; one that dies fails only the call it was at, and is replaced for the next one.

    The standard library's ProcessPoolExecutor gives up altogether when one of its processes dies. Here each process
    has a pipe of its own, whose end tells of its death, and a thread that waits for it.
    """

    # Threads start processes under a changed environment, which is the whole process's: one at a time.
    _starting = threading.Lock()

    def __init__(self, workers: int, environment: Mapping[str, str]) -> None:
        """No process is started before there is work for it; `environment` is put over this process's own."""
        self._environment = environment
        self._calls: queue.SimpleQueue[tuple[concurrent.futures.Future[Any], Any] | None] = queue.SimpleQueue()
        self._children: dict[int, Child] = {}
        self._is_open = True
        self._threads = [threading.Thread(target=self._serve, args=(n,), daemon=True) for n in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., Any], /, *args: Any) -> "concurrent.futures.Future[Any]":
        """The future result of `function(*args)`; it raises WorkerDiedError if its process died meanwhile."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._calls.put((future, (function, args)))
        return future

    def pids(self) -> list[int]:
        """The processes there are."""
        pids = [child.process.pid for child in list(self._children.values()) if child.process.is_alive()]
        return [pid for pid in pids if pid is not None]

    def shutdown(self) -> None:
        """End every process at once; calls that were running raise WorkerDiedError."""
        self._is_open = False
        for _ in self._threads:
            self._calls.put(None)
        with self._starting:
            for child in list(self._children.values()):
                if child.process.is_alive():
                    child.process.kill()  # its thread sees the end of the pipe, and cleans up
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> "ProcessExecutor":
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()

    def _serve(self, number: int) -> None:
        """One worker's thread: take a call, have the process do it, hand on what came of it."""
        child: Child | None = None
        while self._is_open and (item := self._calls.get()) is not None:
            future, call = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                if child is None or not child.process.is_alive():
                    child = self._start(number, child)
                child.connection.send(call)
                kind, what = child.connection.recv()
            except (EOFError, OSError):
                future.set_exception(WorkerDiedError(f"worker {number} died ({_ending(child)})"))
            except Exception as error:
                future.set_exception(error)  # the call cannot be sent
            else:
                _settle(future, kind, what)
        if child is not None:
            child.kill()

    def _start(self, number: int, former: Child | None) -> Child:
        with self._starting:
            if former is not None:
                former.kill()
            if not self._is_open:
                raise EOFError("the executor is shut down")
            self._children[number] = Child(f"worker {number}", worker_main, (), self._environment)
            return self._children[number]


def worker_main(report: Connection) -> None:
    """Do the calls that come, until there is nobody to send them."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        try:
            function, args = report.recv()
        except EOFError:
            return
        try:
            reply = ("result", function(*args))
        except Exception as error:
            error.add_note(traceback.format_exc())
            reply = ("raised", error)
        try:
            report.send(reply)
        except OSError:
            return
        except Exception as error:  # pickling comes before sending, so nothing was sent yet
            report.send(("raised", RuntimeError(f"what {function} gave cannot be sent: {error}\n{reply[1]!r}")))


def _settle(future: "concurrent.futures.Future[Any]", kind: str, what: Any) -> None:
    if kind == "result":
        future.set_result(what)
    elif kind == "raised":
        future.set_exception(what)
    else:  # the last words of a child that ends, see `child_main`
        future.set_exception(RuntimeError(what[1]))


def _ending(child: Child | None) -> str:
    if child is None:
        return "it never started"
    child.process.join(timeout=5)
    code = child.process.exitcode
    return f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
