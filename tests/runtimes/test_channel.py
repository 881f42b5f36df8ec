"""The exchange between local processes, with the actor's loop in a thread and the learner's side in the test."""

import contextlib
import os
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from robo_rl.errors import RunFailedError
from robo_rl.roles.exchange import Chunk, Reply
from robo_rl.runtimes import channel
from robo_rl.runtimes.processes import SPAWN

SECONDS = 20.0
"""Longest that a test waits for something that must happen."""

WHILE = 0.2
"""How long a test watches that something does not happen (s)."""


def begin_a_message(connection):
    """Send a part of what announces itself as 3 MB, as a process does that is killed halfway."""
    os.write(connection.fileno(), struct.pack("!i", 3_000_000) + b"the beginning")


class ToyActor:
    """Collects numbered chunks and notes what it was answered."""

    def __init__(self, number: int) -> None:
        self.number, self.collected, self.replies = number, 0, []

    def collect(self, chunk_steps: int) -> Chunk:
        self.collected += 1
        version = self.replies[-1].version
        return Chunk(self.number, 1, self.collected - 1, version, chunk_steps, experience=(), episodes=())

    def receive(self, reply: Reply) -> None:
        self.replies.append(reply)


class Exchange:
    """A learner's server, and actors that run in threads."""

    def __init__(self) -> None:
        self.door, learners_door = channel.door()
        self.server = channel.ActorServer(learners_door)
        self._threads = ThreadPoolExecutor()
        self._open = contextlib.ExitStack()
        self._open.callback(self._threads.shutdown)
        self._open.callback(self.server.stop)
        self._open.enter_context(learners_door)
        self._open.enter_context(self.door)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._open.close()

    def connect(self, number: int):
        """The actor's end of a pipe whose other end was passed through the door."""
        learners_end, actors_end = SPAWN.Pipe()
        channel.pass_through(self.door, learners_end, number)
        learners_end.close()
        self._open.callback(actors_end.close)
        assert self.server.receive(SECONDS) == []  # it came in, and has said nothing yet
        return actors_end

    def start(self, number: int):
        """An actor whose loop runs in a thread, and the future of that loop."""
        actor, connection = ToyActor(number), self.connect(number)
        return actor, self._threads.submit(channel.act, actor, connection, 5)

    def chunks(self, count: int) -> list[Chunk]:
        received, deadline = [], time.monotonic() + SECONDS
        while len(received) < count:
            assert time.monotonic() < deadline, f"only {received} came"
            received += self.server.receive(0.05)
        return received


@pytest.fixture
def exchange():
    with Exchange() as exchange:
        yield exchange


def weights(version: int):
    """Answers everyone with weights of `version`."""
    return lambda has: Reply(version, f"weights {version}, not {has}", stop=False)


def wait_until(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_an_actor_is_greeted_with_the_newest_weights_before_it_collects_anything(exchange):
    actor, _ = exchange.start(3)
    assert exchange.server.receive(WHILE) == []
    assert actor.collected == 0
    exchange.server.reply(weights(41))
    [chunk] = exchange.chunks(1)
    assert actor.replies == [Reply(41, "weights 41, not 0", stop=False)]
    assert (chunk.actor, chunk.sequence, chunk.version, chunk.env_steps) == (3, 0, 41, 5)


def test_one_chunk_is_in_flight_while_the_next_is_collected_and_no_more(exchange):
    actor, _ = exchange.start(0)
    exchange.server.reply(weights(1))
    assert [chunk.sequence for chunk in exchange.chunks(1)] == [0]
    wait_until(lambda: actor.collected == 2)
    assert exchange.server.receive(WHILE) == []  # the reply is held back, and with it the next chunk
    assert actor.collected == 2
    exchange.server.reply(weights(2))
    assert [chunk.sequence for chunk in exchange.chunks(1)] == [1]
    assert [reply.version for reply in actor.replies] == [1, 2]


def test_everyone_is_answered_once_and_with_the_version_that_he_has(exchange):
    first, _ = exchange.start(0)
    exchange.server.reply(weights(7))
    exchange.chunks(1)
    second, _ = exchange.start(1)
    exchange.server.reply(weights(8))
    exchange.server.reply(weights(9))  # nobody waits any more
    assert {chunk.actor: chunk.version for chunk in exchange.chunks(2)} == {0: 7, 1: 8}
    assert [reply.policy for reply in first.replies] == ["weights 7, not 0", "weights 8, not 7"]
    assert [reply.policy for reply in second.replies] == ["weights 8, not 0"]


def test_an_actor_that_is_gone_is_let_go_and_the_others_go_on(exchange):
    gone = exchange.connect(0)
    exchange.start(1)
    gone.close()
    exchange.server.reply(weights(1))
    assert [chunk.actor for chunk in exchange.chunks(1)] == [1]
    exchange.server.reply(weights(2))
    assert [chunk.actor for chunk in exchange.chunks(1)] == [1]


def test_an_actor_that_dies_while_it_collects_is_an_end_of_file(exchange):
    connection = exchange.connect(0)
    exchange.server.reply(weights(1))
    connection.close()
    began = threading.Event()
    assert exchange.server.receive(SECONDS) == []
    exchange.server.reply(lambda has: began.set())
    assert not began.is_set()  # nobody is left to be answered


def test_an_actor_that_dies_halfway_through_a_chunk_is_let_go_and_the_others_go_on(exchange):
    killed = exchange.connect(0)
    exchange.server.reply(weights(1))
    assert killed.recv().version == 1
    exchange.start(1)
    begin_a_message(killed)
    killed.close()
    exchange.server.reply(weights(1))
    assert [chunk.actor for chunk in exchange.chunks(1)] == [1]
    exchange.server.reply(weights(2))
    assert [chunk.actor for chunk in exchange.chunks(1)] == [1]


class Unreachable:
    """A pipe whose other end went in a way that has no class of its own."""

    def send(self, what):
        raise OSError("transport endpoint is not connected")

    def close(self):
        pass


def test_an_actor_that_cannot_be_answered_is_let_go(exchange):
    exchange.server._actors[Unreachable()] = 0
    exchange.server._waiting = {connection: 0 for connection in exchange.server._actors}
    exchange.server.reply(weights(1))
    assert not exchange.server._actors
    exchange.server._actors[Unreachable()] = 0
    exchange.server.stop()
    assert not exchange.server._actors


def test_an_error_of_the_learners_own_is_not_taken_for_an_actor_that_is_gone(exchange):
    exchange.connect(0)

    def make(version):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        exchange.server.reply(make)


def test_stop_reaches_those_that_wait_and_those_that_collect(exchange):
    waiting, waiting_ends = exchange.start(0)
    exchange.server.reply(weights(1))
    exchange.chunks(1)
    fresh, fresh_ends = exchange.start(1)
    exchange.server.stop()
    assert waiting_ends.result(SECONDS) is None
    assert fresh_ends.result(SECONDS) is None
    assert fresh.collected == 0
    assert [reply.version for reply in waiting.replies] == [1]


def test_stop_reaches_an_actor_whose_chunk_was_not_received_yet(exchange):
    actor, ends = exchange.start(0)
    exchange.server.reply(weights(1))
    wait_until(lambda: actor.collected == 2)
    exchange.server.stop()
    assert ends.result(SECONDS) is None


def test_an_actor_ends_in_silence_when_the_learner_is_gone(monkeypatch):
    learners_end, actors_end = SPAWN.Pipe()
    learners_end.send(Reply(1, None, stop=False))
    learners_end.close()
    with actors_end:
        actor = ToyActor(0)
        assert channel.act(actor, actors_end, 5) is None
    assert actor.collected <= 2


def test_no_reply_within_the_deadline_says_who_waited_for_what(monkeypatch):
    monkeypatch.setattr(channel, "REPLY_DEADLINE_SECONDS", 0.05)
    learners_end, actors_end = SPAWN.Pipe()
    with learners_end, actors_end:
        learners_end.send(Reply(1, None, stop=False))
        with pytest.raises(RunFailedError, match="for the learner's reply") as raised:
            channel.act(ToyActor(0), actors_end, 5)
    assert "metrics.jsonl" in str(raised.value)
