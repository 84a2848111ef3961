"""HTTPS: the lean channel for HTTP/1.1, Twisted's for HTTP/2, as the client chooses in the TLS handshake (ALPN)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from twisted.web.http import H2_ENABLED
from zope.interface import implementer

from durable_streams.web.http11.factory import Http11Factory
from durable_streams.web.stock import StockSite

_HTTP_2 = b"h2"
_HTTP_1 = b"http/1.1"


class NegotiatingConnection(Protocol, TimeoutMixin):
    """A connection whose protocol is known with its first bytes: they come after the handshake."""

    def __init__(self, factory: NegotiatingFactory) -> None:
        self.factory: NegotiatingFactory = factory
        self._chosen: Any = None

    def connectionMade(self) -> None:
        self.factory.undecided.add(self)
        self.callLater = self.factory.clock.callLater  # type: ignore[method-assign]  # TimeoutMixin's own seam
        self.setTimeout(self.factory.http_1.limits.keep_alive)

    def dataReceived(self, data: bytes) -> None:
        if self._chosen is None:
            self._choose()
        self._chosen.dataReceived(data)

    def _choose(self) -> None:
        self._decided()
        transport: Any = self.transport
        negotiated = transport.negotiatedProtocol
        chosen: Any = self.factory.http_2 if negotiated == _HTTP_2 else self.factory.http_1
        self._chosen = chosen.buildProtocol(transport.getPeer())
        self._chosen.makeConnection(transport)

    def _decided(self) -> None:
        self.setTimeout(None)
        self.factory.undecided.discard(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._decided()
        if self._chosen is not None:
            self._chosen.connectionLost(reason)

    def timeoutConnection(self) -> None:
        self.abort()

    def abort(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()


@implementer(IProtocolNegotiationFactory)
class NegotiatingFactory(Factory):
    """For TLS endpoints: hands each connection to the factory of the HTTP version that it speaks."""

    noisy = False

    def __init__(self, http_1: Http11Factory, http_2: StockSite, clock: Any) -> None:
        self.http_1 = http_1
        self.http_2 = http_2
        self.clock = clock
        self.undecided: set[NegotiatingConnection] = set()

    def acceptableProtocols(self) -> list[bytes]:
        """What the handshake offers, the best first."""
        return [_HTTP_2, _HTTP_1] if H2_ENABLED else [_HTTP_1]

    def doStart(self) -> None:
        super().doStart()
        for factory in (self.http_1, self.http_2):
            factory.doStart()

    def doStop(self) -> None:
        super().doStop()
        for factory in (self.http_1, self.http_2):
            factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> NegotiatingConnection:  # type: ignore[override]  # it has its factory
        return NegotiatingConnection(self)

    def drain(self) -> Deferred[None]:
        """Cut who has said nothing yet, let every other connection end after its present answer."""
        for connection in list(self.undecided):
            connection.abort()
        return gatherResults([self.http_1.drain(), self.http_2.drain()]).addCallback(lambda _: None)

    def abort(self) -> None:
        """Cut what is left."""
        for connection in list(self.undecided):
            connection.abort()
        self.http_1.abort()
        self.http_2.abort()
