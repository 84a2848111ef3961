"""The standalone server's life, without sockets."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from durable_streams.server import Listener, StreamServer
from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage


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
