"""The lean channel beside Twisted's own, on the same bytes: where both serve a request, they say the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twisted.internet.testing import StringTransportWithDisconnection

from durable_streams.web.channels import CHANNELS
from durable_streams.web.limits import Limits
from tests.web.desk import Desk
from tests.web.http11.test_connection import SMUGGLING

LIMITS = Limits(target_bytes=200, head_bytes=2_000, header_count=20, body_bytes=2_000)
Said = tuple[int, dict[str, str], bytes]


class HalfCloseable(StringTransportWithDisconnection):
    """A connection in memory whose sending side can be closed alone."""

    def loseWriteConnection(self) -> None:
        self.disconnecting = True


class Service:
    """One service behind one channel, and one connection to it."""

    def __init__(self, channel: str) -> None:
        self._desk = Desk(limits=LIMITS)
        self._factory: Any = CHANNELS[channel](self._desk.application, "http", self._desk.clock)
        self._factory.doStart()
        self._transport = HalfCloseable()
        connection: Any = self._factory.buildProtocol(self._transport.getPeer())
        self._transport.protocol = connection
        connection.makeConnection(self._transport)

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            if self._transport.connected and not self._transport.disconnecting:
                self._transport.protocol.dataReceived(piece)

    def stop(self) -> tuple[list[Said], bool, bytes]:
        """What was answered, whether the connection was still open, and what the stream ``a`` has become."""
        answered = _answers_in(self._transport.value())
        is_open = self._transport.connected and not self._transport.disconnecting
        if self._transport.connected:
            self._transport.loseConnection()
        body = self._desk.get("a").body
        self._factory.drain()
        self._desk.stop()
        assert isinstance(body, bytes)
        return answered, is_open, body


def _answers_in(wire: bytes) -> list[Said]:
    answers = []
    while wire:
        head, _, wire = wire.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(fields.get("content-length", 0))
        body, wire = wire[:length], wire[length:]
        answers.append((int(status_line.split(" ")[1]), _comparable(fields), body))
    return answers


def _comparable(fields: dict[str, str]) -> dict[str, str]:
    """Without what channels may say or leave out as they like."""
    return {name: value for name, value in fields.items() if name not in ("date", "server", "connection")}


def _both(*pieces: bytes) -> list[tuple[list[Said], bool, bytes]]:
    outcomes = []
    for channel in ("lean", "stock"):
        service = Service(channel)
        service.say(*pieces)
        outcomes.append(service.stop())
    return outcomes


PATHS = ["/v1/stream/a", "/v1/stream/a%2Fb", "/v1/stream/a//b", "/v1/stream/", "/health", "/nowhere", "/v1/stream/%ff"]
QUERIES = ["", "?offset=-1", "?offset=now", "?offset=nonsense", "?offset=-1&offset=-1", "?live=never"]
FIELDS = [
    "Content-Type: text/plain",
    "content-type:application/octet-stream",
    "If-None-Match: *",
    "Stream-Closed: true",
    "Stream-TTL: 01",
    "Producer-Id: p",
    "Producer-Epoch: 0",
    "Producer-Seq:  0 ",
    "Origin: https://app.example",
    "Accept-Encoding: gzip",
    "X-Odd: caf\xe9",
    "X-Empty:",
    "Cookie: a=b",
]


@st.composite
def _request(draw: st.DrawFn) -> bytes:
    """A request with nothing wrong in its HTTP, though perhaps in what it asks."""
    method = draw(st.sampled_from(["PUT", "POST", "GET", "HEAD", "DELETE", "OPTIONS", "PATCH"]))
    target = draw(st.sampled_from(PATHS)) + draw(st.sampled_from(QUERIES))
    fields = draw(st.lists(st.sampled_from(FIELDS), unique_by=lambda field: field.partition(":")[0].lower()))
    body = draw(st.text("abc: \0\xff", max_size=60)).encode("latin-1")
    if draw(st.booleans()):
        fields.append("Transfer-Encoding: chunked")
        cut = draw(st.integers(0, len(body)))
        content = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part)
        content += b"0\r\n\r\n"
    elif body:
        fields.append(f"Content-Length: {len(body)}")
        content = body
    else:
        content = b""
    lines = [f"{method} {target} HTTP/1.1", "Host: streams.example", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1") + content


MADE = b"PUT /v1/stream/a HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\none"


@settings(deadline=None)
@given(st.lists(_request(), min_size=1, max_size=6))
def test_every_request_has_the_same_answer(requests: list[bytes]) -> None:
    """Status, fields and body, and what becomes of the stream."""
    assert_alike(*_both(MADE, *requests))


def assert_alike(lean: tuple[list[Said], bool, bytes], stock: tuple[list[Said], bool, bytes]) -> None:
    """Alike up to the first cold route, after which the lean channel ends the connection in an orderly way."""
    answered, is_open, content = lean
    assert answered == stock[0][: len(answered)]
    if is_open:
        assert (len(answered), content) == (len(stock[0]), stock[2])


@settings(deadline=None)
@given(
    _request(),
    st.integers(0, 400),
    st.binary(min_size=1, max_size=4)
    | st.sampled_from([b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"Content-Length: 1\r\n"]),
)
def test_of_damaged_requests_it_takes_none_that_twisted_refuses(request_: bytes, at: int, extra: bytes) -> None:
    """It may be stricter: then it refuses once, and ends the connection.

    It is not in two places: in front of a request empty lines are skipped, even those of a lone LF (RFC 9112, 2.2), and
    in the request line several spaces count as one (RFC 9112, 3).
    """
    at = 1 + at % (len(request_) - 1)
    damaged = request_[:at] + extra + request_[at:]
    assume(b"  " not in damaged.partition(b"\r\n")[0])
    behind = b"GET /v1/stream/a HTTP/1.1\r\nHost: h\r\n\r\n"
    lean, stock = _both(MADE, damaged + behind)
    for mine, theirs in zip(lean[0], stock[0], strict=False):
        if mine != theirs:
            assert 400 <= mine[0] < 600, (mine, theirs)
            assert mine == lean[0][-1]
            assert not lean[1]
            return


@pytest.mark.parametrize("attack", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_both_refuse_what_could_be_read_in_two_ways(attack: bytes) -> None:
    """And serve nothing behind it."""
    behind = b"DELETE /v1/stream/a HTTP/1.1\r\nHost: h\r\n\r\n"
    for answered, _, content in _both(MADE, attack.replace(b"/a", b"/v1/stream/a") + behind):
        assert answered[0][0] == 201
        assert all(status in (400, 413, 505) for status, _, _ in answered[1:])
        assert len(answered) <= 2
        assert content == b"one"
