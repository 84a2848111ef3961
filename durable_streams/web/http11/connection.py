"""One HTTP/1.1 connection: requests in, answers out, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHalfCloseableDescriptor, IPushProducer
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from durable_streams.web.closing import close
from durable_streams.web.eager import EagerServer
from durable_streams.web.http11.head import CONTINUE, UnsafeHeader, has_no_body, response_head
from durable_streams.web.http11.parser import Refused, RequestParser
from durable_streams.web.problems import Problem, internal_error, too_slow
from durable_streams.web.request import Frame, Later, LiveBody, Request, Response

if TYPE_CHECKING:
    from durable_streams.web.http11.factory import Http11Factory

_log = Logger()

MOST_WAITING = 32
MOST_WAITING_BYTES = 256 * 1024
SMALL_BODY = 16 * 1024
_USUAL_READ = 64 * 1024
_LARGEST_READ = 512 * 1024
_ROOM_FOR_A_HEAD = 4 * 1024
_LINGER = 2.0
_LONGEST_STALL = 300.0
_KEEP_ALIVE = b"Connection: keep-alive\r\n"
_CLOSE = b"Connection: close\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_LAST_CHUNK = b"0\r\n\r\n"

Write = Callable[[bytes], None]


class Exchange(Struct):
    """A request that has been read, and what its connection must know to answer it."""

    request: Request
    closes: bool
    is_1_0: bool


@implementer(IPushProducer)
class Http11Connection(Protocol):
    """Serves one request after the other.

    It is told of back-pressure as the transport's producer. While the client does not read, a live body is paused, no
    further request is served, and from some number of requests on none is read.
    """

    factory: Http11Factory

    def __init__(self, factory: Http11Factory) -> None:
        self.factory = factory
        self._waiting: deque[Exchange] = deque()
        self._waiting_bytes = 0
        self._serving: Exchange | None = None
        self._answer: Deferred[Any] | None = None
        self._body: LiveBody | None = None
        self._refusal: Problem | None = None
        self._continue_is_due = False
        self._in_turn = False
        self._congested = False
        self._reads_on = True
        self._gone = False
        self._ended = False
        self._draining = False
        self.since = factory.now

    # --- the transport

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        # By its class: the transports of TLS pass on what they do not know, and that would be sent in the clear.
        is_eager = isinstance(transport, EagerServer)
        self._write_soon: Write = transport.write_soon if is_eager else transport.write
        self._parser = RequestParser(
            self, self.factory.limits, hasattr(transport, "getPeerCertificate"), self.factory.known_heads
        )
        self.factory.connections.add(self)

    def dataReceived(self, data: bytes) -> None:
        if self._refusal is not None or self._ended:
            return
        parser = self._parser
        if not parser.in_head:
            # The time of a head runs from its beginning, however it trickles.
            self.since = self.factory.now
        try:
            parser.feed(data)
        except Refused as refused:
            self._refuse(refused.problem)

    def connectionLost(self, reason: Any = None) -> None:
        self._gone = self._ended = True
        self.factory.connection_lost(self)
        self._waiting.clear()
        body, self._body = self._body, None
        answer, self._answer = self._answer, None
        if body is not None:
            body.stop()
        if answer is not None:
            answer.cancel()

    def pauseProducing(self) -> None:
        self._congested = True
        if self._body is not None:
            self._body.pause()

    def resumeProducing(self) -> None:
        self._congested = False
        self.since = self.factory.now
        if self._body is not None:
            self._body.resume()
        self._go_on()

    def stopProducing(self) -> None:
        """``connectionLost`` follows, and releases everything."""

    # --- requests

    def head_received(self, wants_continue: bool, length: int) -> None:
        transport: Any = self.transport
        if length > _USUAL_READ:
            # The next one is likely to be as large, and a body that comes in one piece is copied once less.
            transport.bufferSize = min(length + _ROOM_FOR_A_HEAD, _LARGEST_READ)
        if not wants_continue:
            return
        if self._serving is None:
            transport.write(CONTINUE)
        else:
            self._continue_is_due = True

    def request_received(self, request: Request, keep_alive: bool, version: str) -> None:
        self.since = self.factory.now
        self._continue_is_due = False
        exchange = Exchange(request, not keep_alive, version == "1.0")
        if self._waiting or self._serving is not None or self._in_turn or self._congested or self._ended:
            self._waiting.append(exchange)
            self._waiting_bytes += len(request.body)
            self._go_on()
            return
        self._in_turn = True
        self._serve(exchange)
        self._in_turn = False
        if self._has_more_to_do:
            self._go_on()

    @property
    def _has_more_to_do(self) -> bool:
        """Whether an answer that is out is not the end of it."""
        return bool(self._waiting or self._refusal is not None or self._continue_is_due or not self._reads_on)

    def _go_on(self) -> None:
        """Serve what is waiting, as long as answers come at once and the client reads them."""
        if self._in_turn:
            return
        self._in_turn = True
        while self._waiting and self._serving is None and not self._congested and not self._ended:
            exchange = self._waiting.popleft()
            self._waiting_bytes -= len(exchange.request.body)
            self._serve(exchange)
        self._in_turn = False
        if self._serving is None and not self._waiting and not self._ended:
            self._caught_up()
        if self._waiting or not self._reads_on:
            self._throttle()

    def _caught_up(self) -> None:
        """All that was asked is answered."""
        if self._refusal is not None:
            self._send_refusal(self._refusal)
        elif self._continue_is_due and self.transport is not None:
            self._continue_is_due = False
            self.transport.write(CONTINUE)

    def _throttle(self) -> None:
        """Read no more requests than a client may have waiting."""
        reads_on = len(self._waiting) < MOST_WAITING and self._waiting_bytes < MOST_WAITING_BYTES
        if reads_on == self._reads_on or self._gone:
            return
        self._reads_on = reads_on
        transport: Any = self.transport
        if reads_on:
            transport.resumeProducing()
        else:
            transport.pauseProducing()

    def _serve(self, exchange: Exchange) -> None:
        self._serving = exchange
        handler = self.factory.route(exchange.request.path)
        if handler is None:
            self.factory.serve_cold(self, exchange)
            return
        try:
            answer = handler(exchange.request)
        except Exception:
            self._failed(Failure())
            return
        if type(answer) is Response:
            self.send(answer)
            return
        if type(answer) is Later:
            self._answer = answer.outcome
            answer.outcome.addCallbacks(self._later_succeeded, self._later_failed, (answer,), errbackArgs=(answer,))
            return
        if answer.called and isinstance(answer.result, Response):
            self.send(answer.result)
            return
        self._answer = answer
        answer.addCallbacks(self._answered, self._failed)

    def _later_succeeded(self, result: object, later: Later) -> None:
        try:
            response = later.respond(result, *later.arguments)
        except Exception:
            self._failed(Failure())
        else:
            self._answered(response)

    def _later_failed(self, failure: Failure, later: Later) -> None:
        refusal = later.refuse(failure, *later.arguments)
        if isinstance(refusal, Failure):
            self._failed(refusal)
        else:
            self._answered(refusal)

    def _answered(self, response: Response) -> None:
        self._answer = None
        if not self._gone:
            self.send(response)

    def _failed(self, failure: Failure) -> None:
        self._answer = None
        if self._gone and failure.check(CancelledError):
            return
        _log.failure("a request failed", failure)
        if not self._gone:
            self.send(internal_error().response())

    # --- answers

    def send(self, response: Response) -> None:
        """Answer the request that is being served, perhaps together with others of this round."""
        exchange = self._serving
        assert exchange is not None
        if self._draining:
            exchange.closes = True
        try:
            self._send(response, exchange)
        except UnsafeHeader:
            _log.error("a response had a line end in a header; it was not sent")
            exchange.closes = True
            self._send(internal_error().response(), exchange)

    def _send(self, response: Response, exchange: Exchange) -> None:
        body = response.body
        transport: Any = self.transport
        connection = _CLOSE if exchange.closes else _KEEP_ALIVE if exchange.is_1_0 else b""
        if has_no_body(response, exchange.request.method):
            self._write_soon(response_head(response, self.factory.date, connection))
            self._finished()
        elif isinstance(body, bytes):
            head = response_head(response, self.factory.date, b"%bContent-Length: %d\r\n" % (connection, len(body)))
            if len(body) <= SMALL_BODY:
                self._write_soon(head + body)
            else:
                transport.write(head)
                transport.write(body)
            self._finished()
        else:
            self._begin_live(response, body, exchange)

    def _begin_live(self, response: Response, body: LiveBody, exchange: Exchange) -> None:
        exchange.closes = exchange.closes or exchange.is_1_0
        framing = (_CLOSE if exchange.closes else b"") + (b"" if exchange.is_1_0 else _CHUNKED)
        transport: Any = self.transport
        transport.write(response_head(response, self.factory.date, framing))
        self._body = body
        body.start(PlainSink(self) if exchange.is_1_0 else ChunkedSink(self))

    def write_live(self, data: bytes) -> None:
        if self._body is not None and self.transport is not None:
            self.transport.write(data)

    def finish_live(self, ending: bytes) -> None:
        if self._body is None:
            return
        self._body = None
        if ending and self.transport is not None:
            self.transport.write(ending)
        self._finished()

    def _finished(self) -> None:
        """The answer is out: go on with the next request, or end."""
        exchange, self._serving = self._serving, None
        self.since = self.factory.now
        if exchange is None or exchange.closes or self._draining:
            self.end()
        elif not self._in_turn and self._has_more_to_do:
            self._go_on()

    def finish_cold(self) -> None:
        """The cold route has written its whole answer."""
        self._finished()

    # --- refusals

    def _refuse(self, problem: Problem) -> None:
        """Answer what cannot be read, after the answers that are still due, and read no more."""
        self._refusal = problem
        self._go_on()

    def _send_refusal(self, problem: Problem) -> None:
        transport: Any = self.transport
        response = problem.response()
        response.shared = self.factory.shared_headers.for_origin(self._parser.origin)
        assert isinstance(response.body, bytes)
        framing = b"%bContent-Length: %d\r\n" % (_CLOSE, len(response.body))
        transport.write(response_head(response, self.factory.date, framing) + response.body)
        transport.unregisterProducer()
        self._ended = True
        self.since = self.factory.now
        if IHalfCloseableDescriptor.providedBy(self.transport):
            # Closed at once, with data still coming in, the connection would be reset before the answer is read.
            transport.loseWriteConnection()
        else:
            transport.loseConnection()

    # --- ending

    @property
    def is_idle(self) -> bool:
        return self._serving is None

    @property
    def patience(self) -> float:
        """How many seconds the client may take for what it has to do next."""
        limits = self.factory.limits
        if self._ended or self._congested:
            return _LONGEST_STALL if self._refusal is None else _LINGER
        if self._parser.in_head:
            return limits.head_timeout
        return limits.body_timeout if self._parser.in_request else limits.keep_alive

    def drain(self) -> None:
        """End after the answer to the present request, even if that is still coming in; at once when there is none."""
        self._draining = True
        if self.is_idle and not self._parser.in_request:
            self.end()

    def end(self) -> None:
        """Send what is left, then close."""
        if self._ended:
            return
        self._ended = True
        self.since = self.factory.now
        close(self.transport)

    def time_out(self) -> None:
        """The client has taken too long: tell it when it is in the middle of a request."""
        if self._ended or self._congested:
            self.abort()
        elif self._parser.in_request:
            self._refuse(too_slow())
        else:
            self.end()

    def abort(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()


class ChunkedSink:
    """A live body's way out on HTTP/1.1."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Http11Connection) -> None:
        self._connection = connection

    def send(self, frame: Frame) -> None:
        self._connection.write_live(frame.chunked)

    def finish(self) -> None:
        self._connection.finish_live(_LAST_CHUNK)


class PlainSink(ChunkedSink):
    """A live body's way out to a client of HTTP/1.0, which ends with the connection."""

    __slots__ = ()

    def send(self, frame: Frame) -> None:
        self._connection.write_live(frame.payload)

    def finish(self) -> None:
        self._connection.finish_live(b"")
