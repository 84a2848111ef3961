"""The standalone server's life, without sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection

from durable_streams.server import Listener, StreamServer
from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage
from durable_streams.web.application import StreamApplication
from durable_streams.web.channels import CHANNELS
from tests.web.wire import head


class Endless:
    """A factory with a connection that never ends by itself."""

    def __init__(self) -> None:
        self.aborted = False

    def drain(self) -> Deferred[None]:
        return Deferred()

    def abort(self) -> None:
        self.aborted = True


class Process:
    """A process that nobody hurries."""

    def fail(self) -> None:
        raise AssertionError

    def settle(self) -> None:
        pass

    def at_next_signal(self, hurry: Callable[[], None]) -> None:
        pass


class ClosingStorage(MemoryStorage):
    closed = False

    def close(self) -> Deferred[None]:
        self.closed = True
        return super().close()


class Nowhere:
    """An endpoint that listens on a reactor in memory."""

    def __init__(self, reactor: MemoryReactorClock) -> None:
        self._reactor = reactor

    def listen(self, factory: object) -> Deferred[object]:
        listening: Deferred[object] = Deferred()
        listening.callback(self._reactor.listenTCP(1, factory, interface="127.0.0.1"))
        return listening


def test_connections_that_do_not_end_are_cut_and_the_storage_closes() -> None:
    """Whoever holds a connection open does not keep the server from stopping well."""
    clock = Clock()
    storage = ClosingStorage(clock)
    factory = Endless()
    listener = Listener(Nowhere(MemoryReactorClock()), "http", factory)  # type: ignore[arg-type]  # as much as is asked
    server = StreamServer(StreamService(storage, clock=clock), [listener], "/", Process(), drain_seconds=10)
    server.startService()
    stopped = server.stopService()
    clock.advance(9.9)
    assert (factory.aborted, storage.closed, stopped.called) == (False, False, False)
    clock.advance(0.1)
    assert (factory.aborted, storage.closed, stopped.called) == (True, True, True)
    assert stopped.result is None


def connected(factory: Any, *said: bytes) -> StringTransportWithDisconnection:
    """A client's connection on which something was said already."""
    transport = StringTransportWithDisconnection()
    transport.protocol = factory.buildProtocol(transport.getPeer())
    transport.protocol.makeConnection(transport)
    for part in said:
        transport.protocol.dataReceived(part)
    return transport


@pytest.mark.parametrize("channel", sorted(CHANNELS))
def test_an_append_that_does_not_arrive_in_time_is_cut(channel: str) -> None:
    """It is waited for as long as for an answer; then it is without one, and nothing of it is appended."""
    clock = Clock()
    service = StreamService(MemoryStorage(clock), clock=clock)
    factory: Any = CHANNELS[channel](StreamApplication(service), "http", clock)
    listener = Listener(Nowhere(MemoryReactorClock()), "http", factory)  # type: ignore[arg-type]  # as much as is asked
    server = StreamServer(service, [listener], "/", Process(), drain_seconds=10)
    server.startService()
    service.create("a")
    fields = ["Content-Type: application/octet-stream", "Content-Length: 10"]
    in_body = connected(factory, head("POST", "a", *fields), b"half ")
    in_head = connected(factory, head("POST", "a", *fields)[:-20])
    idle = connected(factory)
    stopped = server.stopService()
    clock.advance(9.9)
    assert [each.connected for each in (idle, in_body, in_head)] == [False, True, True]
    clock.advance(0.1)
    assert [each.connected for each in (idle, in_body, in_head)] == [False, False, False]
    assert in_body.value() + in_head.value() == b""
    assert service.activity.appends == 0
    assert stopped.called
    assert not [call for call in clock.getDelayedCalls() if call.active()]
