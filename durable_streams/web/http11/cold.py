"""The long way: routes that are not streams go through twisted.web and Klein unmodified."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.web.http_headers import Headers
from twisted.web.server import Request as TwistedRequest

if TYPE_CHECKING:
    from durable_streams.web.http11.connection import Exchange, Http11Connection


class ColdChannel:
    """What a twisted.web request needs of its channel, on top of a lean connection."""

    def __init__(self, connection: Http11Connection, exchange: Exchange, site: Any) -> None:
        self._connection = connection
        self._exchange = exchange
        self.site = site
        self.transport: Any = connection.transport

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Any) -> None:
        lines = [b"HTTP/1.1 %b %b\r\n" % (code, reason)]
        if isinstance(headers, Headers):
            headers = [(name, value) for name, values in headers.getAllRawHeaders() for value in values]
        lines += [b"%b: %b\r\n" % field for field in headers]
        self.transport.write(b"".join([*lines, b"Connection: close\r\n\r\n"]))

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        self.transport.write(b"".join(iovec))

    def requestDone(self, request: Any) -> None:
        self._exchange.closes = True
        self._connection.finish_cold()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.transport.unregisterProducer()
        self.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        self.transport.unregisterProducer()

    def loseConnection(self) -> None:
        self.transport.loseConnection()

    def abortConnection(self) -> None:
        self.transport.abortConnection()

    def isSecure(self) -> bool:
        return self._exchange.request.secure

    def getPeer(self) -> Any:
        return self.transport.getPeer()

    def getHost(self) -> Any:
        return self.transport.getHost()


def serve_cold(connection: Http11Connection, exchange: Exchange, site: Any) -> TwistedRequest:
    """Let a twisted.web site answer, and the connection end with that; the result is to be told of a disconnect."""
    asked = exchange.request
    request = site.requestFactory(ColdChannel(connection, exchange, site))
    for name, value in asked.headers.items():
        request.requestHeaders.addRawHeader(name, value)
    request.gotLength(len(asked.body))
    if asked.body:
        request.handleContentChunk(asked.body)
    target = asked.path + (b"?" + asked.query if asked.query else b"")
    request.requestReceived(asked.method, target, b"HTTP/1.0" if exchange.is_1_0 else b"HTTP/1.1")
    return request
