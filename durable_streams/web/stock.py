"""Twisted's own HTTP channel (HTTP/1.1, and HTTP/2 where TLS negotiates it), with this service's limits."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress
from twisted.internet.task import LoopingCall

# The only seam that Twisted has for choosing a channel and still negotiating HTTP/2.
from twisted.web.http import HTTPChannel, _GenericHTTPChannelProtocol
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from durable_streams.web.limits import Limits
from durable_streams.web.problems import too_large

_DRAIN_LOOK = 0.05


class BoundedRequest(Request):
    """Refuses a body that is too large as soon as that is known, and keeps nothing of it."""

    _received = 0
    _refused = False

    def gotLength(self, length: int | None) -> None:
        super().gotLength(length)
        if length is not None and length > self._limit:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > self._limit and not self._refused:
            self._refuse()
        if not self._refused:
            super().handleContentChunk(data)

    @property
    def _limit(self) -> int:
        site: StockSite = self.channel.site  # type: ignore[attr-defined]  # the site sets it when it builds the channel
        return site.limits.body_bytes

    def _refuse(self) -> None:
        self._refused = True
        if isinstance(self.channel, HTTPChannel):
            self._answer_too_large()
            self.channel.loseConnection()

    def _answer_too_large(self) -> None:
        refusal = too_large(self._limit).response()
        assert isinstance(refusal.body, bytes)
        self.setResponseCode(refusal.status)
        for name, value in refusal.headers:
            self.setHeader(name, value)
        self.setHeader(b"content-length", b"%d" % len(refusal.body))
        self.setHeader(b"connection", b"close")
        self.write(refusal.body)

    def process(self) -> None:
        if not self._refused:
            super().process()
        elif not isinstance(self.channel, HTTPChannel):
            self._answer_too_large()
            self.finish()


class TrackedChannel(_GenericHTTPChannelProtocol):
    """A connection that its site knows of."""

    def connectionMade(self) -> None:
        self._channel.factory.connections.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Any) -> None:
        self._channel.factory.connections.discard(self)
        super().connectionLost(reason)

    @property
    def is_idle(self) -> bool:
        return not (getattr(self._channel, "requests", None) or getattr(self._channel, "streams", None))

    def end(self) -> None:
        self._channel.transport.loseConnection()

    def cut(self) -> None:
        self._channel.transport.abortConnection()


class StockSite(Site):
    """A site that can be drained."""

    def __init__(self, resource: IResource, limits: Limits, clock: Any) -> None:
        super().__init__(
            resource,
            requestFactory=BoundedRequest,
            timeout=limits.keep_alive,
            reactor=clock,
            parsePOSTFormSubmission=False,
        )
        self.limits = limits
        self.connections: set[TrackedChannel] = set()
        self._clock = clock

    def buildProtocol(self, addr: IAddress | None) -> TrackedChannel:
        channel = super().buildProtocol(addr)
        assert isinstance(channel, TrackedChannel)
        return channel

    def protocol(self) -> TrackedChannel:
        channel = HTTPChannel()
        channel.MAX_LENGTH = self.limits.target_bytes
        channel.totalHeadersSize = self.limits.head_bytes
        channel.maxHeaders = self.limits.header_count
        return TrackedChannel(channel)

    def log(self, request: Any) -> None:
        """No access log: it costs as much as an append."""

    def drain(self) -> Deferred[None]:
        """Close connections as they become idle; fires when there are none."""
        look = LoopingCall(self._close_idle)
        look.clock = self._clock
        self._look = look
        return look.start(_DRAIN_LOOK).addCallback(lambda _: None) if self.connections else succeed(None)

    def _close_idle(self) -> None:
        for connection in list(self.connections):
            if connection.is_idle:
                connection.end()
        if not self.connections:
            self._look.stop()

    def abort(self) -> None:
        """Cut what is left."""
        for connection in list(self.connections):
            connection.cut()
