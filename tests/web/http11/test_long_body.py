"""Bodies so long that they go past llhttp: they are read as those that do not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from durable_streams.web.http11.long_body import LONG
from durable_streams.web.limits import Limits
from durable_streams.web.request import Response
from tests.web.http11.test_connection import GET, Wire

MOST = 3 * LONG
LIMITS = Limits(body_bytes=MOST, body_timeout=5.0)
BODY = bytes(range(256)) * (MOST // 256)
HEAD = b"POST /a HTTP/1.1\r\nHost: h\r\nOrigin: o\r\nContent-Length: %d\r\n\r\n" % MOST


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire(limits=LIMITS)
    yield wire
    wire.stop()


def _bodies(wire: Wire) -> list[bytes]:
    return [request.body for request in wire.asked]


def test_a_body_as_long_as_the_limit_may_end_with_a_piece(wire: Wire) -> None:
    """The first time, and when its head is known."""
    for _ in range(3):
        assert wire.say(HEAD + BODY[:10]) == b""
        assert wire.say(BODY[10:-1]) == b""
        assert wire.say(BODY[-1:]).startswith(b"HTTP/1.1 200 ")
    assert _bodies(wire) == [BODY] * 3
    assert [request.headers for request in wire.asked] == [wire.asked[0].headers] * 3


def test_a_longer_body_is_refused_at_its_head(wire: Wire) -> None:
    assert wire.say(HEAD.replace(b"%d" % MOST, b"%d" % (MOST + 1))).startswith(b"HTTP/1.1 413 ")


def test_the_next_head_may_come_with_the_end_of_a_body(wire: Wire) -> None:
    """Whole or in part, and be that of another long body."""
    for _ in range(2):
        wire.say(HEAD)
        wire.say(BODY + HEAD + BODY[:100])
        wire.say(BODY[100:] + GET[:9])
        wire.say(GET[9:])
    assert _bodies(wire) == [BODY, BODY, b""] * 2


def test_what_cannot_be_read_behind_a_body_is_refused(wire: Wire) -> None:
    wire.say(HEAD)
    answers = wire.say(BODY + b"nonsense\r\n\r\n")
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 400 " in answers
    assert not wire.is_open


@pytest.mark.parametrize("times", [0, 1])
def test_a_connection_lost_in_the_middle_asks_nothing(wire: Wire, times: int) -> None:
    wire.say((HEAD + BODY) * times)
    wire.say(HEAD + BODY[:-1])
    wire.transport.loseConnection()
    assert _bodies(wire) == [BODY] * times


@pytest.mark.parametrize("times", [0, 1])
def test_a_body_that_stops_coming_times_out(wire: Wire, times: int) -> None:
    """408, for a head that is known too."""
    wire.say((HEAD + BODY) * times)
    wire.say(HEAD + BODY[:-1])
    wire.clock.pump([1] * 8)
    assert b"HTTP/1.1 408 " in wire.transport.value()


@pytest.mark.parametrize("times", [0, 1])
def test_draining_waits_for_a_body_that_is_coming(wire: Wire, times: int) -> None:
    wire.say((HEAD + BODY) * times)
    wire.say(HEAD + BODY[:-1])
    wire.factory.drain()
    assert wire.is_open
    assert b"Connection: close" in wire.say(BODY[-1:])
    assert not wire.is_open


def test_continue_is_said_once_for_each_body(wire: Wire) -> None:
    head = HEAD.replace(b"Host", b"Expect: 100-continue\r\nHost")
    for _ in range(2):
        assert wire.say(head) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert wire.say(BODY).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("last", [b"HTTP/1.0\r\n", b"HTTP/1.1\r\nConnection: close\r\n"])
def test_nothing_is_served_behind_a_last_request(last: bytes) -> None:
    """Also while its answer is still due."""
    answer: Deferred[Response] = Deferred()
    wire = Wire(lambda request: answer, LIMITS)
    wire.say(HEAD.replace(b"HTTP/1.1\r\n", last))
    wire.say(BODY + GET)
    answer.callback(Response(200, [], b""))
    assert _bodies(wire) == [BODY]
    assert wire.transport.value().count(b"HTTP/1.1 ") == 1
    assert not wire.is_open
    wire.stop()


REQUESTS = [
    GET,
    HEAD + BODY,
    b"PUT /b?c HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (LONG + 5) + BODY[: LONG + 5],
    b"PUT /b HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n" % LONG + BODY[:LONG],
    b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4e20\r\n" + BODY[:20_000] + b"\r\n0\r\n\r\n",
    b"POST /d HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
]


def _said(pieces: list[bytes]) -> list[Any]:
    wire = Wire(limits=LIMITS)
    answers = b"".join([wire.say(piece) for piece in pieces])
    wire.stop()
    return [answers, *[(each.method, each.path, each.query, each.headers, each.body) for each in wire.asked]]


@settings(deadline=None)
@given(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=5), st.lists(st.integers(0, 2**18), max_size=8))
def test_it_does_not_matter_how_long_bodies_arrive(requests: list[bytes], cuts: list[int]) -> None:
    """Alone or behind each other, cut anywhere: as in one piece."""
    stream = b"".join(requests)
    edges = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    whole = _said([stream])
    assert len(whole) == 1 + len(requests)
    assert _said([stream[start:stop] for start, stop in pairwise(edges)]) == whole


def test_a_body_may_come_in_very_small_pieces(wire: Wire) -> None:
    wire.say(HEAD)
    for start in range(0, MOST, 7):
        wire.say(BODY[start : start + 7])
    assert _bodies(wire) == [BODY]
