"""The exchange between local processes: one inherited pipe per actor, never more than one chunk in flight on it.

Pipes are made by the parent and handed to its own children, so nobody else can write to them. New ones, for actors that
were restarted, reach the learner as file descriptors through its door.
"""

import contextlib
import json
import multiprocessing.connection
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection

from robo_rl.errors import RunFailedError
from robo_rl.roles.actor import Actor
from robo_rl.roles.exchange import Chunk, Reply
from robo_rl.runtimes.processes import GONE

REPLY_DEADLINE_SECONDS = 300.0
"""Longest an actor waits for its reply; the limiter holds replies back for as long as updates are owed."""


def door() -> tuple[socket.socket, socket.socket]:
    """Two ends of a door: the parent passes pipes through the first, the learner takes them from the second."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)


def pass_through(door: socket.socket, pipe: Connection, actor: int) -> None:
    """Hand the learner's end of an actor's pipe to the learner; the caller then closes its own copy."""
    socket.send_fds(door, [json.dumps({"actor": actor}).encode()], [pipe.fileno()])


class ActorServer:
    """The learner's side: takes chunks from whoever has one, and replies when the learner allows it."""

    def __init__(self, door: socket.socket) -> None:
        """A server without actors; they come through `door`."""
        self._door = door
        self._actors: dict[Connection, int] = {}
        # Whose turn it is to be answered, with the version of the weights that it has.
        self._waiting: dict[Connection, int] = {}

    def receive(self, timeout: float) -> list[Chunk]:
        """Chunks that have arrived; waits up to `timeout` seconds for the first. Actors that are gone are let go."""
        chunks = []
        for ready in multiprocessing.connection.wait([self._door, *self._actors], timeout):
            if ready is self._door:
                self._let_in()
                continue
            assert isinstance(ready, Connection)
            try:
                chunk: Chunk = ready.recv()
            except GONE:
                self._let_go(ready)
                continue
            self._waiting[ready] = chunk.version
            chunks.append(chunk)
        return chunks

    def reply(self, make: Callable[[int], Reply]) -> None:
        """Answer everyone who waits with `make(version it has)`."""
        for connection, version in list(self._waiting.items()):
            del self._waiting[connection]
            reply = make(version)  # outside of the block below: an error in it is the learner's own
            try:
                connection.send(reply)
            except GONE:
                self._let_go(connection)

    def stop(self) -> None:
        """Tell everyone to stop, and hang up."""
        self.reply(lambda version: Reply(version, None, stop=True))
        for connection in list(self._actors):
            with contextlib.suppress(*GONE):
                connection.send(Reply(0, None, stop=True))
            self._let_go(connection)

    def _let_in(self) -> None:
        message, descriptors, _, _ = socket.recv_fds(self._door, 1024, 1)
        connection = Connection(descriptors[0])
        self._actors[connection] = json.loads(message)["actor"]
        self._waiting[connection] = 0  # greeted with the newest weights, so that a restarted actor is not a random one

    def _let_go(self, connection: Connection) -> None:
        self._actors.pop(connection, None)
        self._waiting.pop(connection, None)
        connection.close()


def act(actor: Actor, connection: Connection, chunk_steps: int) -> None:
    """The actor's loop: while one chunk is on its way and its reply is held back, the next is being collected.

    Returns when the learner says stop or hangs up.

    Raises:
        RunFailedError: no reply within the deadline.
    """
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        reply = _reply(connection)
        if reply.stop:
            return
        actor.receive(reply)
        connection.send(actor.collect(chunk_steps))
        while True:
            chunk = actor.collect(chunk_steps)
            reply = _reply(connection)
            if reply.stop:
                return
            actor.receive(reply)
            connection.send(chunk)


def _reply(connection: Connection) -> Reply:
    if not connection.poll(REPLY_DEADLINE_SECONDS):
        raise RunFailedError(
            f"An actor waited {REPLY_DEADLINE_SECONDS:.0f} s for the learner's reply: the learner hangs, or an update "
            "takes very long. Look at its last row in metrics.jsonl; learner.updates_per_dispatch may be too large."
        )
    return connection.recv()
