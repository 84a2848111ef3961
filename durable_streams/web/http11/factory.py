"""The connections of one service over the lean channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from durable_streams.web.http11.cold import serve_cold
from durable_streams.web.http11.connection import Exchange, Http11Connection
from durable_streams.web.http11.head import date_line
from durable_streams.web.http11.known_heads import KnownHeads
from durable_streams.web.limits import Limits
from durable_streams.web.request import Handler
from durable_streams.web.shared_headers import SharedHeaders

Route = Callable[[bytes], Handler | None]


class Http11Factory(Factory):
    """Builds connections and looks after them: one clock for the time and the patience of all.

    ``route`` gives the handler of a raw path; None sends the request to ``site``, the long way. ``shared_headers`` are
    for refusals, which no handler makes.
    """

    noisy = False

    def __init__(
        self, route: Route, site: Any, limits: Limits, clock: IReactorTime, shared_headers: SharedHeaders
    ) -> None:
        self.route = route
        self.limits = limits
        self.shared_headers = shared_headers
        self._site = site
        self._clock = clock
        self._cold: dict[Http11Connection, Any] = {}
        self._drained: Deferred[None] | None = None
        self.known_heads = KnownHeads()
        self.connections: set[Http11Connection] = set()
        self.now = clock.seconds()
        self.date = date_line(self.now)
        self._clockwork = LoopingCall(self._tick)
        self._clockwork.clock = clock

    def doStart(self) -> None:
        super().doStart()
        if not self._clockwork.running:
            self._clockwork.start(1.0)

    def doStop(self) -> None:
        super().doStop()
        if not self.connections and self._clockwork.running and not self.numPorts:
            self._clockwork.stop()

    def buildProtocol(self, addr: IAddress | None) -> Http11Connection:  # type: ignore[override]  # it has its factory
        return Http11Connection(self)

    def serve_cold(self, connection: Http11Connection, exchange: Exchange) -> None:
        self._cold[connection] = serve_cold(connection, exchange, self._site)

    def connection_lost(self, connection: Http11Connection) -> None:
        self.connections.discard(connection)
        cold = self._cold.pop(connection, None)
        if cold is not None and not cold.finished:
            cold.connectionLost(Failure(ConnectionDone()))
        if self._drained is not None and not self.connections:
            drained, self._drained = self._drained, None
            drained.callback(None)

    def _tick(self) -> None:
        self.now = now = self._clock.seconds()
        self.date = date_line(now)
        for connection in list(self.connections):
            if connection.is_idle and now - connection.since > connection.patience:
                connection.time_out()

    def drain(self) -> Deferred[None]:
        """Let every connection end after its present answer; fires when there are none."""
        for connection in list(self.connections):
            connection.drain()
        if not self.connections:
            self._stop_clockwork()
            return succeed(None)
        self._drained = Deferred()
        return self._drained.addCallback(lambda _: self._stop_clockwork())

    def _stop_clockwork(self) -> None:
        if self._clockwork.running:
            self._clockwork.stop()

    def abort(self) -> None:
        """Cut what is left."""
        for connection in list(self.connections):
            connection.abort()
        self._stop_clockwork()
