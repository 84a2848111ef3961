"""All connections of a port, watched by the reactor as one descriptor."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from zope.interface import implementer

from durable_streams.web.connection_set import FEW, ConnectionSet


class Watcher(Clock):
    """In the place of the reactor: what it watches, and what it has to do later."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: list[Any] = []

    def addReader(self, reader: Any) -> None:
        assert reader.fileno() >= 0
        self.watched.append(reader)

    def removeReader(self, reader: Any) -> None:
        assert reader.fileno() >= 0
        self.watched.remove(reader)


@implementer(IHalfCloseableDescriptor)
class Connection:
    """One end of a pair of sockets; ``read`` says what happens when it is read."""

    def __init__(self, connections: ConnectionSet, read: Callable[[Connection], Exception | None]) -> None:
        self._connections = connections
        self._read = read
        self._mine, self._other = socket.socketpair()
        self.reads = 0
        self.sent = 0
        self.ends: list[str] = []
        self._place: int | None = connections.add(self)

    def fileno(self) -> int:
        return self._mine.fileno()

    def wake(self) -> None:
        self._other.send(b"x")

    def doRead(self) -> Exception | None:
        self._mine.recv(100)
        self.reads += 1
        return self._read(self)

    def send_held(self) -> None:
        self.sent += 1

    def stopReading(self) -> None:
        if self._place is not None:
            self._connections.remove(self._place)
            self._place = None

    def stopWriting(self) -> None:
        self.ends.append("stopped writing")

    def readConnectionLost(self, reason: Failure) -> None:
        self.ends.append("half closed")

    def writeConnectionLost(self, reason: Failure) -> None: ...

    def connectionLost(self, reason: Failure) -> None:
        self.stopReading()
        self.ends.append(type(reason.value).__name__)

    def close(self) -> None:
        self.stopReading()
        self._mine.close()
        self._other.close()


class Room:
    """A set and the connections that a test makes in it."""

    def __init__(self) -> None:
        self.reactor = Watcher()
        self.set = ConnectionSet(self.reactor)
        self.connections: list[Connection] = []

    def connect(self, read: Callable[[Connection], Exception | None] = lambda _: None) -> Connection:
        self.connections.append(Connection(self.set, read))
        return self.connections[-1]

    def round(self, *ready: Connection) -> None:
        """One round in which those have something to read."""
        for connection in ready:
            connection.wake()
        self.set.doRead()


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    yield made
    for connection in made.connections:
        connection.close()
    assert not made.reactor.watched


def test_a_round_serves_those_that_are_ready_once(room: Room) -> None:
    first, idle, second = room.connect(), room.connect(), room.connect()
    room.round(first, second)
    assert (first.reads, idle.reads, second.reads) == (1, 0, 1)


def test_the_reactor_watches_the_set_while_it_has_connections(room: Room) -> None:
    """And nothing is left open when the last one has gone."""
    first, second = room.connect(), room.connect()
    assert room.reactor.watched == [room.set]
    first.stopReading()
    assert room.reactor.watched == [room.set]
    second.stopReading()
    assert not room.reactor.watched
    with pytest.raises(ValueError, match="closed"):
        room.set.fileno()
    third = room.connect()
    room.round(third)
    assert third.reads == 1


def _answer_in_a_while(connection: Connection) -> None:
    connections = connection._connections
    assert connections.gathers
    connections.hold(connection)
    assert connection.sent == 0


def test_many_answers_of_a_round_go_out_together_at_its_end(room: Room) -> None:
    asking = [room.connect(_answer_in_a_while) for _ in range(FEW)]
    room.round(*asking)
    assert [connection.sent for connection in asking] == [1] * FEW
    assert not room.set.gathers
    room.round(*asking)
    assert [connection.sent for connection in asking] == [2] * FEW


def test_answers_that_one_commit_gives_go_out_together_too(room: Room) -> None:
    """It comes later in the same turn of the reactor, and those that could be answered in the round are not kept."""
    asking = [room.connect() for _ in range(FEW)]
    answered = room.connect(_answer_in_a_while)

    def commit() -> None:
        assert answered.sent == 1
        for connection in asking:
            _answer_in_a_while(connection)

    room.reactor.callLater(0, commit)
    room.round(*asking, answered)
    room.reactor.advance(0)
    assert [connection.sent for connection in asking] == [1] * FEW
    assert answered.sent == 1
    assert not room.set.gathers


def test_a_round_that_is_answered_leaves_nothing_for_later(room: Room) -> None:
    room.round(*[room.connect(_answer_in_a_while) for _ in range(FEW)])
    assert not room.reactor.getDelayedCalls()


def test_what_comes_while_many_are_served_belongs_to_their_round(room: Room) -> None:
    """So that it shares their commit; each connection has its turn once all the same."""
    late = room.connect()
    asking = [room.connect(lambda _: late.wake()), *(room.connect() for _ in range(FEW - 1))]
    room.round(*asking)
    assert [connection.reads for connection in (late, *asking)] == [1] * (FEW + 1)


def test_few_answers_do_not_wait(room: Room) -> None:
    waits: list[bool] = []

    def answer(connection: Connection) -> None:
        waits.append(room.set.gathers)

    room.round(*[room.connect(answer) for _ in range(FEW - 1)])
    assert waits == [False] * (FEW - 1)


def _fail(_: Connection) -> None:
    raise ZeroDivisionError


def test_a_connection_that_fails_is_ended_and_the_others_are_served(room: Room) -> None:
    failing, other = room.connect(_fail), room.connect()
    with capturedLogs() as logged:
        room.round(failing, other)
    assert failing.ends == ["stopped writing", "ZeroDivisionError"]
    assert other.reads == 1
    assert len(room.set) == 1
    assert [entry["log_failure"].type for entry in logged] == [ZeroDivisionError]


def test_a_peer_that_has_sent_all_may_still_be_answered(room: Room) -> None:
    """It has closed its half."""
    connection = room.connect(lambda _: ConnectionDone())
    room.round(connection)
    assert connection.ends == ["half closed"]
    assert not room.reactor.watched


def test_a_connection_that_breaks_is_told(room: Room) -> None:
    connection = room.connect(lambda _: ConnectionLost())
    room.round(connection)
    assert connection.ends == ["stopped writing", "ConnectionLost"]


def test_a_connection_that_another_one_ends_is_not_served_any_more(room: Room) -> None:
    """In the same round."""
    pair: list[Connection] = []

    def end_the_other(connection: Connection) -> None:
        for other in pair:
            if other is not connection:
                other.stopReading()

    pair += [room.connect(end_the_other), room.connect(end_the_other)]
    room.round(*pair)
    assert sorted(connection.reads for connection in pair) == [0, 1]


def test_a_connection_may_stop_and_go_on_in_its_own_round(room: Room) -> None:
    """As under back-pressure; also when it is the only one."""

    def pause(connection: Connection) -> None:
        connection.stopReading()
        connection._place = room.set.add(connection)

    connection = room.connect(pause)
    room.round(connection)
    room.round(connection)
    assert connection.reads == 2


def test_when_the_reactor_lets_go_every_connection_hears_of_it(room: Room) -> None:
    connections = [room.connect(), room.connect()]
    room.set.connectionLost(Failure(ConnectionLost()))
    assert [connection.ends for connection in connections] == [["ConnectionLost"]] * 2
    assert not room.reactor.watched
