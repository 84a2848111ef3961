"""The one shape of request and response that handlers know, whatever channel carries it.

A handler (see ``Handler``) never sees Twisted's or Klein's own request, so that the stock channel, the lean channel and
an in-memory test all drive the same code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, final

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

HeaderList = list[tuple[bytes, bytes]]


class Request(Struct):
    """One complete HTTP request.

    ``method`` is upper-case bytes. ``path`` is the raw path as it stood on the request line, without the query, not
    decoded. ``query`` is the raw query without its question mark. ``headers`` maps lower-case names to values stripped
    of outer white space; a repeated field is joined with ``b", "``. ``body`` is whole and already within the channel's
    limit. ``secure`` says whether it came over TLS.
    """

    method: bytes
    path: bytes
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes
    secure: bool


class Frame:
    """Bytes that many live connections share, with their HTTP/1.1 chunk framing made once."""

    __slots__ = ("chunked", "payload")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.chunked = b"%x\r\n%b\r\n" % (len(payload), payload)


class Sink(Protocol):
    """Where a live body goes: one connection's response, once its head has been sent.

    Nothing may be sent after ``finish``. When the connection is gone, sends are ignored.
    """

    def send(self, frame: Frame) -> None:
        """Queue a frame. Never blocks; see ``LiveBody.pause`` for back-pressure."""

    def finish(self) -> None:
        """End the response in an orderly way."""


class LiveBody(Protocol):
    """A response body that is produced over time (SSE)."""

    def start(self, sink: Sink) -> None:
        """The head is out: begin to send to ``sink``. Called once."""

    def pause(self) -> None:
        """The connection's buffer is full: send nothing until ``resume``."""

    def resume(self) -> None:
        """The buffer has drained."""

    def stop(self) -> None:
        """The connection is gone: release everything now. Called at most once, never after ``Sink.finish``."""


class HeaderBlock:
    """Header fields that many responses share, with their bytes on the wire made once."""

    __slots__ = ("fields", "wire")

    def __init__(self, fields: HeaderList) -> None:
        self.fields = fields
        self.wire = b"".join([b"%b: %b\r\n" % field for field in fields])


NO_HEADERS = HeaderBlock([])


@final
class Response(Struct):
    """What a handler answers: a status, header fields in order, and a whole or a live body.

    ``shared`` are fields that come before ``headers``. The channel adds ``Date``, ``Content-Length`` or chunk
    framing, and connection fields; handlers do not. A response to HEAD, a 204 and a 304 have an empty body and get no
    ``Content-Length``.
    """

    status: int
    headers: HeaderList
    body: bytes | LiveBody = b""
    shared: HeaderBlock = NO_HEADERS


@final
class Later(Struct):
    """A response that waits for ``outcome``, to be made and sent by one callback: each costs a part of an append.

    ``respond`` makes it of a result, ``refuse`` of a failure, or hands that back when it is a cancelling; both take
    ``arguments`` besides.
    """

    outcome: Deferred[Any]
    respond: Callable[..., Response]
    refuse: Callable[..., Response | Failure]
    arguments: tuple[Any, ...]

    def response(self) -> Deferred[Response]:
        """The same by a Deferred of its own."""
        return self.outcome.addCallbacks(self.respond, self.refuse, self.arguments, errbackArgs=self.arguments)


Handler = Callable[[Request], "Response | Deferred[Response] | Later"]
"""Cancelling the Deferred means that the client is gone: the handler releases what it waits for.

What a handler answers is told apart by ``type(answer) is``, as commands are.
"""
