"""The lean HTTP/1.1 channel: what is read, what is refused, what is answered, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site

from durable_streams.web.http11.connection import MOST_WAITING, Http11Connection
from durable_streams.web.http11.factory import Http11Factory
from durable_streams.web.limits import Limits
from durable_streams.web.request import Frame, Handler, Later, Request, Response, Sink
from durable_streams.web.shared_headers import SharedHeaders

LIMITS = Limits(target_bytes=200, head_bytes=1000, header_count=20, body_bytes=1000, keep_alive=10.0, head_timeout=5.0)


class Wire:
    """One connection in memory, and a handler that keeps what it is asked."""

    def __init__(self, handler: Handler | None = None, limits: Limits = LIMITS) -> None:
        self.clock = Clock()
        self.asked: list[Request] = []
        self._handler = handler or self._echo
        cold = Resource()
        cold.putChild(b"cold", Cold())
        self.factory = Http11Factory(self._route, Site(cold, reactor=self.clock), limits, self.clock, SharedHeaders())
        self.factory.doStart()
        self.connect()

    def connect(self) -> None:
        self.transport = StringTransportWithDisconnection()
        self.connection: Http11Connection = self.factory.buildProtocol(None)
        self.transport.protocol = self.connection
        self.connection.makeConnection(self.transport)

    def _route(self, path: bytes) -> Handler | None:
        return None if path.startswith(b"/cold") else self._take

    def _take(self, request: Request) -> Response | Deferred[Response] | Later:
        self.asked.append(request)
        return self._handler(request)

    def _echo(self, request: Request) -> Response:
        return Response(200, [(b"X-Path", request.path)], request.body)

    def say(self, data: bytes) -> bytes:
        """Send bytes; what comes back."""
        before = len(self.transport.value())
        self.connection.dataReceived(data)
        return self.transport.value()[before:]

    @property
    def is_open(self) -> bool:
        return self.transport.connected and not self.transport.disconnecting

    def stop(self) -> None:
        if self.transport.connected:
            self.transport.loseConnection()
        self.factory.drain()


class Cold(Resource):
    """A resource of twisted.web."""

    isLeaf = True

    def render(self, request: Any) -> bytes:
        request.setHeader(b"x-cold", request.getHeader(b"x-asked") or b"-")
        return b"cold " + request.content.read()


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.stop()


GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


def test_a_request_is_read_and_answered(wire: Wire) -> None:
    """Names in lower case, values stripped, path and query as they were sent."""
    answer = wire.say(b"POST /a%2Fb//c?x=1 HTTP/1.1\r\nHost: h\r\nX-Odd:  v \r\nContent-Length: 4\r\n\r\nbody")
    (request,) = wire.asked
    assert (request.method, request.path, request.query, request.body) == (b"POST", b"/a%2Fb//c", b"x=1", b"body")
    assert request.headers[b"x-odd"] == b"v"
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nDate: ")
    assert b"Content-Length: 4" in head
    assert body == b"body"
    assert wire.is_open


def test_repeated_fields_are_joined(wire: Wire) -> None:
    """As RFC 9110, 5.3 allows."""
    wire.say(b"GET /a HTTP/1.1\r\nHost: h\r\nIf-None-Match: a\r\nIf-None-Match: b\r\n\r\n")
    assert wire.asked[0].headers[b"if-none-match"] == b"a, b"


def test_chunked_bodies_are_put_together(wire: Wire) -> None:
    """RFC 9112, 7.1."""
    wire.say(b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
    assert wire.asked[0].body == b"abcde"


SMUGGLING = {
    "both lengths": b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "equal lengths": b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a signed length": b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc",
    "a length list": b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc",
    "a huge length": b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "a bad chunk size": b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "a huge chunk size": b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "a chunk without its end": b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX0\r\n\r\n",
    "another coding": b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n",
    "bare line feeds": b"GET /a HTTP/1.1\nHost: h\n\n",
    "a folded field": b"GET /a HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
    "a space before the colon": b"GET /a HTTP/1.1\r\nHost : h\r\n\r\n",
    "a control character": b"GET /a HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n",
    "no host": b"GET /a HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no version": b"GET /a\r\nHost: h\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00",
}


@pytest.mark.parametrize("attack", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_what_could_be_read_in_two_ways_is_refused(wire: Wire, attack: bytes) -> None:
    """RFC 9112, 6.3 and 11.2: one 4xx answer, then the end; no handler is called."""
    answer = wire.say(attack + GET)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ", b"HTTP/1.1 505 "))
    assert b"application/problem+json" in answer
    assert answer.count(b"\r\nDate: ") == 1
    assert not wire.asked
    assert not wire.is_open


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"x" * 300 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 1200 + b"\r\n\r\n", 431),
        (b"GET /a HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 30 + b"\r\n", 431),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001, 413),
    ],
)
def test_limits_are_kept_before_the_rest_is_read(wire: Wire, request_: bytes, status: int) -> None:
    """414, 431, 413: at the declared length, or where the limit is crossed."""
    assert wire.say(request_).startswith(b"HTTP/1.1 %d " % status)
    assert not wire.is_open


def test_continue_is_said_only_when_the_body_is_wanted(wire: Wire) -> None:
    """RFC 9110, 10.1.1."""
    head = b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    assert wire.say(head % 4) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert wire.say(b"body").startswith(b"HTTP/1.1 200 ")
    assert wire.say(head % 4000).startswith(b"HTTP/1.1 413 ")


def test_pipelined_requests_are_answered_in_order() -> None:
    """However their handlers finish; reading stops when too many wait."""
    answers: list[Deferred[Response]] = []

    def slowly(request: Request) -> Deferred[Response]:
        answers.append(Deferred())
        return answers[-1]

    wire = Wire(slowly)
    wire.say(GET * 3)
    assert len(answers) == 1
    for number in range(3):
        answers[number].callback(Response(200, [], b"%d" % number))
    bodies = [part.partition(b"\r\n\r\n")[2] for part in wire.transport.value().split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"0", b"1", b"2"]
    wire.say(GET * (MOST_WAITING + 1))
    assert wire.transport.producerState == "paused"
    while answers[-1] is not None and not answers[-1].called:
        answers[-1].callback(Response(204, []))
    assert wire.transport.producerState == "producing"
    wire.stop()


@pytest.mark.parametrize(
    ("request_", "stays"),
    [
        (b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", True),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", False),
        (b"GET /a HTTP/1.0\r\n\r\n", False),
        (b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
def test_connections_stay_as_long_as_both_want(wire: Wire, request_: bytes, stays: bool) -> None:
    """RFC 9112, 9.3."""
    answer = wire.say(request_)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert (b"Connection: close" in answer) is not stays
    assert wire.is_open is stays


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_some_answers_have_no_body(method: bytes, status: int) -> None:
    """RFC 9112, 6.3: neither a body nor a Content-Length."""
    wire = Wire(lambda request: Response(status, [(b"ETag", b'"x"')]))
    answer = wire.say(method + b" /a HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.endswith(b'ETag: "x"\r\n\r\n')
    assert b"Content-Length" not in answer
    wire.stop()


def test_a_line_end_never_gets_out_of_a_header(unhandled_failures: list[str]) -> None:
    """Response splitting: 500 instead."""
    wire = Wire(lambda request: Response(200, [(b"Location", b"/x\r\nSet-Cookie: a=b")]))
    answer = wire.say(GET)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"Set-Cookie" not in answer
    wire.stop()


@pytest.mark.parametrize("later", [False, True])
def test_a_handler_that_fails_is_a_500_without_its_secrets(later: bool) -> None:
    """The log has the traceback, the client has a problem."""

    def fail(request: Request) -> Deferred[Response]:
        if not later:
            raise RuntimeError("secret")
        failing: Deferred[Response] = Deferred()
        failing.errback(RuntimeError("secret"))
        return failing

    wire = Wire(fail)
    answer = wire.say(GET)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in answer
    wire.stop()


class Decision:
    """A handler whose answers wait for ``outcome``: a body is sent unless it is empty, a failure is a 409."""

    def __init__(self) -> None:
        self.outcome: Deferred[bytes] = Deferred()

    def __call__(self, request: Request) -> Later:
        return Later(self.outcome, self._respond, self._refuse, (request.path,))

    def _respond(self, body: bytes, path: bytes) -> Response:
        return Response(200, [(b"X-Path", path), (b"X-First", b"%d" % body[0])], body)

    def _refuse(self, failure: Failure, path: bytes) -> Response | Failure:
        return failure if failure.check(CancelledError) else Response(409, [(b"X-Path", path)])


@pytest.mark.parametrize(
    ("outcome", "status"), [(b"done", b"200 "), (KeyError(), b"409 "), (b"", b"500 ")], ids=["result", "failure", "bug"]
)
def test_an_answer_that_waits_for_an_outcome_is_made_of_it(outcome: bytes | Exception, status: bytes) -> None:
    """Of a failure too; when it cannot be made, that is a 500 as with any handler, and the next request is served."""
    decision = Decision()
    wire = Wire(decision)
    assert wire.say(GET) == b""
    before = len(wire.transport.value())
    if isinstance(outcome, Exception):
        decision.outcome.errback(outcome)
    else:
        decision.outcome.callback(outcome)
    answer = wire.transport.value()[before:]
    assert answer.startswith(b"HTTP/1.1 " + status)
    decision.outcome = Deferred()
    wire.say(GET)
    assert len(wire.asked) == 2
    wire.stop()


def test_a_client_that_leaves_cancels_the_outcome() -> None:
    """What comes of it is not sent, and not logged as a failure."""
    decision = Decision()
    wire = Wire(decision)
    wire.say(GET)
    before = wire.transport.value()
    with capturedLogs() as logged:
        wire.transport.loseConnection()
        decision.outcome.callback(b"done")
    assert wire.transport.value() == before
    assert not [event for event in logged if "log_failure" in event]
    assert not wire.factory.connections
    wire.stop()


def test_a_client_that_leaves_cancels_what_is_pending() -> None:
    """And nothing is sent any more."""
    cancelled: list[Deferred[Response]] = []
    wire = Wire(lambda request: Deferred(cancelled.append))
    wire.say(GET)
    wire.transport.loseConnection()
    assert len(cancelled) == 1
    assert not wire.factory.connections
    wire.stop()


class Live:
    """A live body that a test can drive."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.sink: Sink | None = None

    def start(self, sink: Sink) -> None:
        self.sink = sink

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def stop(self) -> None:
        self.calls.append("stop")


@pytest.mark.parametrize(
    ("request_", "sent"),
    [(GET, b"5\r\nhello\r\n0\r\n\r\n"), (b"GET /a HTTP/1.0\r\n\r\n", b"hello")],
    ids=["1.1", "1.0"],
)
def test_a_live_body_is_framed_as_the_client_can_read_it(request_: bytes, sent: bytes) -> None:
    """Chunks for HTTP/1.1; for HTTP/1.0 the end of the connection is the end of the body."""
    live = Live()
    wire = Wire(lambda request: Response(200, [], live))
    head = wire.say(request_)
    assert b"Content-Length" not in head
    assert live.sink is not None
    live.sink.send(Frame(b"hello"))
    live.sink.finish()
    assert wire.transport.value().endswith(b"\r\n\r\n" + sent)
    assert wire.is_open is (b"HTTP/1.1" in request_)
    wire.stop()


def test_a_full_connection_pauses_a_live_body_and_a_lost_one_stops_it() -> None:
    """Back-pressure reaches the producer; the end comes once."""
    live = Live()
    wire = Wire(lambda request: Response(200, [], live))
    wire.say(GET)
    wire.connection.pauseProducing()
    wire.connection.resumeProducing()
    wire.transport.loseConnection()
    assert live.calls == ["pause", "resume", "stop"]
    wire.stop()


def test_slow_and_idle_clients_are_let_go(wire: Wire) -> None:
    """Half a head is told 408; an idle connection is closed in silence."""
    wire.say(b"GET /a HTT")
    wire.clock.pump([1] * 8)
    assert wire.transport.value().startswith(b"HTTP/1.1 408 ")
    wire.connect()
    wire.say(GET)
    wire.clock.pump([1] * 9)
    assert wire.is_open
    wire.clock.pump([1] * 4)
    assert not wire.is_open
    assert b"408" not in wire.transport.value()


def test_draining_ends_idle_connections_at_once_and_busy_ones_after_their_answer() -> None:
    """Connection: close on the last answer; then nobody is left."""
    answer: Deferred[Response] = Deferred()
    wire = Wire(lambda request: answer)
    idle = wire.transport
    wire.connect()
    wire.say(GET)
    drained = wire.factory.drain()
    assert idle.disconnecting or not idle.connected
    assert not drained.called
    answer.callback(Response(200, [], b"bye"))
    assert b"Connection: close" in wire.transport.value()
    assert drained.called
    assert not wire.clock.getDelayedCalls()


def test_other_routes_go_the_long_way(wire: Wire) -> None:
    """A twisted.web resource sees the whole request and answers as ever."""
    answer = wire.say(b"POST /cold HTTP/1.1\r\nHost: h\r\nX-Asked: yes\r\nContent-Length: 4\r\n\r\nbody")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"x-cold: yes" in head.lower()
    assert body == b"cold body"
    assert not wire.asked


REQUESTS = [
    GET,
    b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /c?d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    b"DELETE http://h/d HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n",
]


def _seen(pieces: list[bytes]) -> list[tuple[bytes, bytes, bytes]]:
    wire = Wire()
    for piece in pieces:
        wire.say(piece)
    wire.stop()
    return [(request.method, request.path, request.body) for request in wire.asked]


@given(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=5), st.lists(st.integers(0, 400), max_size=8))
def test_it_does_not_matter_how_the_bytes_arrive(requests: list[bytes], cuts: list[int]) -> None:
    """A stream of requests cut anywhere gives the same requests."""
    stream = b"".join(requests)
    edges = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    pieces = [stream[start:stop] for start, stop in pairwise(edges)]
    assert _seen(pieces) == _seen([stream])
    assert len(_seen([stream])) == len(requests)


HEADS = [
    b"GET /a HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n",
    b"GET /a?b HTTP/1.1\r\nHost: h\r\nX: 2\r\nX: 3\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nworld",
    b"POST /a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
    b"\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    b"PUT /d HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi",
    b"PUT /e?f=%20 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nho",
    b"GET http://h/b?c HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /b[|] HTTP/1.1\r\nHost: h\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    b"PATCH /b HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /b HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
]


def _answers_to(wire: Wire, pieces: list[bytes]) -> list[Any]:
    wire.asked.clear()
    answers = b"".join(wire.say(piece) for piece in pieces)
    requests = [(each.method, each.path, each.query, each.headers, each.body) for each in wire.asked]
    return [answers, *requests]


@given(st.lists(st.sampled_from(HEADS), min_size=1, max_size=12), st.lists(st.integers(0, 2000), max_size=3))
def test_a_head_that_is_known_is_read_as_it_was_the_first_time(requests: list[bytes], cuts: list[int]) -> None:
    """One by one, in one go, or cut anywhere: on a connection that has seen all heads before, and on a fresh one."""
    stream = b"".join(requests)
    edges = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    versed = Wire()
    for head in HEADS * 2:
        versed.say(head)
    for pieces in (requests, [stream], [stream[start:stop] for start, stop in pairwise(edges)]):
        fresh = Wire()
        assert _answers_to(versed, pieces) == _answers_to(fresh, pieces)
        fresh.stop()
    versed.stop()


def test_a_known_head_does_not_vouch_for_another_body(wire: Wire) -> None:
    """A body that is shorter or longer than the head says is waited for, or is the next request."""
    known = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
    wire.say(known + b"first")
    assert wire.say(known + b"sec") == b""
    wire.say(b"nd" + GET)
    wire.say(known + b"third" + GET)
    assert [request.body for request in wire.asked] == [b"first", b"secnd", b"", b"third", b""]


def test_a_known_head_that_asks_to_close_closes(wire: Wire) -> None:
    """Each time."""
    last = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    for _ in range(2):
        assert b"Connection: close" in wire.say(last)
        assert not wire.is_open
        wire.connect()


def test_known_fields_are_known_for_every_target(wire: Wire) -> None:
    fields = b"Host: h\r\nContent-Length: 2\r\n\r\n"
    wire.say(b"PUT /a HTTP/1.1\r\n" + fields + b"hi")
    known = len(wire.factory.known_heads)
    wire.say(b"PUT /b?c HTTP/1.1\r\n" + fields + b"ho")
    assert len(wire.factory.known_heads) == known
    assert [(each.path, each.query, each.body) for each in wire.asked] == [(b"/a", b"", b"hi"), (b"/b", b"c", b"ho")]


def test_known_fields_do_not_vouch_for_a_long_target(wire: Wire) -> None:
    wire.say(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    assert wire.say(b"GET /%b HTTP/1.1\r\nHost: h\r\n\r\n" % (b"a" * 200)).startswith(b"HTTP/1.1 414 ")


def test_no_more_heads_are_known_than_there_is_room_for(wire: Wire) -> None:
    """And targets of methods that nobody repeats not at all."""
    heads = wire.factory.known_heads
    for number in range(5000):
        wire.say(b"GET /%d HTTP/1.1\r\nHost: h%d\r\n\r\n" % (number, number))
    assert 0 < len(heads) <= 2 * 4096
    wire.say(b"PUT /a HTTP/1.1\r\nHost: h\r\n\r\n")
    known = len(heads)
    wire.say(b"PUT /b HTTP/1.1\r\nHost: h\r\n\r\n")
    assert len(heads) == known


MUTATIONS: list[Callable[[bytes, int, bytes], bytes]] = [
    lambda data, at, extra: data[:at] + extra + data[at:],
    lambda data, at, extra: data[:at] + extra + data[at + len(extra) :],
    lambda data, at, extra: data[:at],
]


@given(
    st.sampled_from(REQUESTS),
    st.integers(0, 100),
    st.binary(max_size=8) | st.sampled_from([b"\r\n", b"\n", b"\0", b": ", b"\r\n\r\n"]),
    st.sampled_from(MUTATIONS),
)
def test_garbage_never_breaks_it(
    request_: bytes, at: int, extra: bytes, mutate: Callable[[bytes, int, bytes], bytes]
) -> None:
    """Whatever comes: no exception, no more answers than requests and refusals, an answer, silence or the end."""
    wire = Wire()
    wire.say(mutate(request_, at % len(request_), extra) + GET)
    answers = wire.transport.value().count(b"\r\nDate: ")
    refusals = wire.transport.value().count(b"application/problem+json")
    assert answers == len(wire.asked) + refusals or b"x-cold" in wire.transport.value().lower()
    assert refusals <= 1
    wire.stop()
