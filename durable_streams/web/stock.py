"""Twisted's own HTTP channel (HTTP/1.1, and HTTP/2 where TLS negotiates it), with this service's limits."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.web._http2 import H2Connection

# The only seam that Twisted has for choosing a channel and still negotiating HTTP/2.
from twisted.web.http import HTTPChannel, _GenericHTTPChannelProtocol, datetimeToString
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from durable_streams.web.closing import close
from durable_streams.web.limits import Limits
from durable_streams.web.problems import (
    Problem,
    bad_request,
    head_too_large,
    malformed,
    target_too_long,
    too_large,
    too_slow,
)
from durable_streams.web.resource import serve
from durable_streams.web.settings import HttpSettings
from durable_streams.web.shared_headers import SharedHeaders

_DRAIN_LOOK = 0.05
_LINGER = 2.0
_LONGEST_LENGTH = 18


class BoundedRequest(Request):
    """Refuses a body that is too large as soon as that is known, and keeps nothing of it."""

    _received = 0
    _refused = False

    def gotLength(self, length: int | None) -> None:
        super().gotLength(length)
        if length is not None and length > self._site.limits.body_bytes:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > self._site.limits.body_bytes and not self._refused:
            self._refuse()
        if not self._refused:
            super().handleContentChunk(data)

    @property
    def _site(self) -> StockSite:
        site: StockSite = self.channel.site  # type: ignore[attr-defined]  # the site sets it when it builds the channel
        return site

    def _refuse(self) -> None:
        self._refused = True
        if isinstance(self.channel, BoundedChannel):
            self.channel.refuse(too_large(self._site.limits.body_bytes))

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        super().requestReceived(command, _origin_form(path), version)

    def process(self) -> None:
        if not self._refused:
            super().process()
        elif not isinstance(self.channel, BoundedChannel):
            refusal = too_large(self._site.limits.body_bytes).response()
            refusal.shared = self._site.shared_headers.for_origin(self.getHeader(b"origin"))
            serve(self, lambda _: refusal, 0)


def _origin_form(target: bytes) -> bytes:
    """The path and query of a target, which proxies may send with scheme and host (RFC 9112, 3.2.2)."""
    if not target.startswith((b"http://", b"https://")):
        return target
    _, _, path = target.partition(b"://")[2].partition(b"/")
    return b"/" + path


class BoundedChannel(HTTPChannel):
    """Twisted's HTTP/1.1 channel, which says why it refuses, gives nobody for ever, and answers no faster than is read.

    By itself it answers what is no request with a bare 400 or not at all, restarts the clock with every byte, and works
    off pipelined requests while their answers pile up unread.
    """

    site: StockSite
    transport: Any

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.MAX_LENGTH = self.totalHeadersSize = limits.head_bytes
        self.maxHeaders = limits.header_count
        self._limits = limits
        self._head_lines = 0
        self._head_bytes = 0
        self._refused = False
        self._held: list[bytes] | None = None

    # --- the head

    def lineReceived(self, line: bytes) -> None:
        if self._refused:
            return
        if line or self._head_lines:
            self._head_lines += 1
            self._head_bytes += len(line) + 2
        if self._head_lines == 1 and _target_length(line) > self._limits.target_bytes:
            self.refuse(target_too_long(self._limits.target_bytes))
        elif self._head_bytes > self._limits.head_bytes or self._head_lines > self._limits.header_count + 2:
            self.refuse(head_too_large(self._limits.head_bytes, self._limits.header_count))
        elif self._head_lines > 1 and line.startswith((b" ", b"\t")):
            # Twisted would unfold it, which RFC 9112, 5.2 allows; a proxy before us may not.
            self.refuse(malformed())
        else:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        if self._head_lines:
            self.refuse(head_too_large(self._limits.head_bytes, self._limits.header_count))
        else:
            self.refuse(target_too_long(self._limits.target_bytes))

    def headerReceived(self, line: bytes) -> bool:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value.strip()) > _LONGEST_LENGTH:
            self.refuse(too_large(self._limits.body_bytes))
            return False
        if name.lower() == b"transfer-encoding" and value.strip().lower() != b"chunked":
            # Twisted takes "identity" for no body at all, and what follows for the next request.
            self.refuse(bad_request("Transfer-Encoding", "must be chunked"))
            return False
        accepted: bool = super().headerReceived(line)
        return accepted

    def allHeadersReceived(self) -> None:
        hosts = self.requests[-1].requestHeaders.getRawHeaders(b"host", [])
        if len(hosts) > 1 or (not hosts and self._version == b"HTTP/1.1"):
            self.refuse(bad_request("Host", "must be given once"))
        else:
            super().allHeadersReceived()

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        # Not in checkPersistence, which is asked before the body: much may happen until the answer.
        if self.site.draining:
            headers.setRawHeaders(b"Connection", [b"close"])
            self.persistent = False
        super().writeHeaders(version, code, reason, headers)

    def allContentReceived(self) -> None:
        self._head_lines = self._head_bytes = 0
        if not self._refused:
            super().allContentReceived()

    # --- time

    def dataReceived(self, data: bytes) -> None:
        if not self._refused:
            super().dataReceived(data)
            self._watch()

    def resetTimeout(self) -> None:
        """Called for all that is received; but a head must be whole in time, however it trickles."""
        if not self._is_amid_head:
            super().resetTimeout()

    @property
    def _is_amid_head(self) -> bool:
        return bool(self.line_mode and (self._head_lines or self._buffer))

    def _watch(self) -> None:
        """Give the peer the time that is right for what it has to do next."""
        if self._refused or (self._handlingRequest and self.requests):
            return
        if self._is_amid_head:
            patience = self._limits.head_timeout
        else:
            patience = self._limits.body_timeout if self.requests else self._limits.keep_alive
        if self.timeOut != patience:
            self.setTimeout(patience)

    def connectionMade(self) -> None:
        super().connectionMade()
        self._watch()

    def requestDone(self, request: Any) -> None:
        super().requestDone(request)
        self._watch()

    def timeoutConnection(self) -> None:
        if self._refused:
            self.transport.abortConnection()
        elif self._is_amid_head or self.requests:
            self.refuse(too_slow())
        else:
            super().timeoutConnection()

    # --- refusals

    def refuse(self, problem: Problem) -> None:
        """Answer what cannot become a request, read no more of it, and end the connection."""
        if self._refused:
            return
        self._refused = True
        origin = self.requests[-1].getHeader(b"origin") if self.requests else None
        self.transport.write(_wire(problem, self.site.shared_headers, origin))
        if self.isSecure():
            self.loseConnection()
        else:
            # Closed at once, with data still coming in, the connection would be reset before the answer is read.
            self.transport.loseWriteConnection()
        self.setTimeout(_LINGER)

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(malformed())

    def _send100Continue(self) -> None:
        if not self._refused:
            super()._send100Continue()

    # --- back-pressure

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        if self._waitingForTransport:
            producer.pauseProducing()

    def setLineMode(self, extra: bytes = b"") -> None:
        """Turn to the next request; but not while answers are waiting to be read."""
        if self._waitingForTransport:
            self._held = [extra]
            self._networkProducer.pauseProducing()
        else:
            super().setLineMode(extra)

    def rawDataReceived(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
        elif not self._refused:
            super().rawDataReceived(data)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self._held is not None:
            held, self._held = b"".join(self._held), None
            super().setLineMode(held)


def _target_length(request_line: bytes) -> int:
    parts = request_line.split(b" ", 2)
    return len(parts[1]) if len(parts) > 1 else 0


def _wire(problem: Problem, shared_headers: SharedHeaders, origin: bytes | None) -> bytes:
    response = problem.response()
    assert isinstance(response.body, bytes)
    fields = [
        (b"Date", datetimeToString()),
        *shared_headers.for_origin(origin).fields,
        *response.headers,
        (b"Content-Length", b"%d" % len(response.body)),
        (b"Connection", b"close"),
    ]
    head = b"".join([b"%b: %b\r\n" % field for field in fields])
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (response.status, problem.title.encode("ascii"), head, response.body)


class TrackedChannel(_GenericHTTPChannelProtocol):
    """A connection that its site knows of."""

    _is_ending = False

    def makeConnection(self, transport: Any) -> None:
        self._transport = transport
        self.site.connections.add(self)
        super().makeConnection(transport)

    def connectionLost(self, reason: Any) -> None:
        self.site.connections.discard(self)
        super().connectionLost(reason)

    @property
    def is_idle(self) -> bool:
        channel = self._channel
        return not (channel.streams if isinstance(channel, H2Connection) else channel.requests)

    def end(self) -> None:
        if self._is_ending:
            return
        self._is_ending = True
        channel = self._channel
        if isinstance(channel, H2Connection):
            channel.conn.close_connection()
            self._transport.write(channel.conn.data_to_send())
        close(self._transport)

    def cut(self) -> None:
        self._transport.abortConnection()


class StockSite(Site):
    """A site that can be drained."""

    noisy = False

    def __init__(self, resource: IResource, settings: HttpSettings, clock: Any) -> None:
        super().__init__(
            resource,
            requestFactory=BoundedRequest,
            # For HTTP/2 this is the silence of a whole connection, waiting for a long-poll included.
            timeout=settings.longest_long_poll + settings.limits.keep_alive,
            reactor=clock,
            parsePOSTFormSubmission=False,
        )
        self.limits = settings.limits
        self.shared_headers = SharedHeaders(settings.cors_origins)
        self.connections: set[TrackedChannel] = set()
        self.draining = False
        self._look = LoopingCall(self._close_idle)
        self._look.clock = clock

    def protocol(self) -> TrackedChannel:
        return TrackedChannel(BoundedChannel(self.limits))

    def getContentFile(self, length: int | None) -> BytesIO:
        """Where a body is put: in memory, for a command needs it whole."""
        return BytesIO()

    def log(self, request: Any) -> None:
        """No access log: it costs as much as an append."""

    def drain(self) -> Deferred[None]:
        """Close connections as they become idle; fires when there are none."""
        self.draining = True
        if not self.connections:
            return succeed(None)
        return self._look.start(_DRAIN_LOOK).addCallback(lambda _: None)

    def _close_idle(self) -> None:
        for connection in list(self.connections):
            if connection.is_idle:
                connection.end()
        if not self.connections:
            self._look.stop()

    def abort(self) -> None:
        """Cut what is left."""
        if self._look.running:
            self._look.stop()
        for connection in list(self.connections):
            connection.cut()
