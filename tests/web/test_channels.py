"""What every HTTP/1.1 channel promises, over real sockets: the lean one, and Twisted's own with our limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted

from durable_streams.web.channels import CHANNELS
from durable_streams.web.limits import Limits
from tests.web.http11.test_connection import SMUGGLING
from tests.web.wire import Wire, WireServer, head, serve

LIMITS = Limits(
    target_bytes=300,
    head_bytes=4_000,
    header_count=30,
    body_bytes=4_000_000,
    keep_alive=20.0,
    head_timeout=5.0,
    body_timeout=8.0,
)
TEXT = "Content-Type: text/plain"
MEGABYTE = 1_000_000


@pytest.fixture(params=sorted(CHANNELS))
def server(request: pytest.FixtureRequest) -> Iterator[WireServer]:
    yield from serve(request.param, limits=LIMITS, long_poll_timeout=10.0, sse_max_age=1e9)


async def created(server: WireServer, body: bytes = b"") -> Wire:
    """A connection on which the text stream ``a`` has been made."""
    wire = await server.connect()
    wire.ask("PUT", "a", body, TEXT)
    assert (await wire.answer()).status == 201
    return wire


async def content_of(server: WireServer) -> bytes:
    """All of the stream ``a``, page by page."""
    content, offset = b"", "-1"
    while True:
        page = await server.ask("GET", f"a?offset={offset}")
        assert page.status == 200
        content += page.body
        offset = page.headers["stream-next-offset"]
        if page.headers.get("stream-up-to-date") == "true":
            return content


# --- requests


@pytest_twisted.ensureDeferred
async def test_a_chunked_body_is_one_append(server: WireServer) -> None:
    """RFC 9112, 7.1: chunks of any size, extensions and trailers are no part of the body."""
    wire = await created(server)
    wire.send(head("POST", "a", TEXT, "Transfer-Encoding: chunked"), b"1\r\nh\r\n", b"4;x=y\r\nello\r\n")
    wire.send(b"0\r\nX-Sum: 1\r\n\r\n")
    assert (await wire.answer()).status == 204
    assert await content_of(server) == b"hello"


@pytest_twisted.ensureDeferred
async def test_a_large_body_arrives_whole(server: WireServer) -> None:
    """Both ways, in as many pieces as the network makes of it."""
    body = bytes(range(1, 101)) * (3 * MEGABYTE // 100)
    wire = await created(server)
    wire.ask("POST", "a", body, TEXT)
    assert (await wire.answer()).status == 204
    assert await content_of(server) == body


@pytest_twisted.ensureDeferred
async def test_a_body_is_asked_for_only_when_it_is_wanted(server: WireServer) -> None:
    """RFC 9110, 10.1.1: 100 before a body within the limit; 413 at once, and no 100, before one beyond it."""
    wire = await created(server)
    wire.send(head("POST", "a", TEXT, "Expect: 100-continue", "Content-Length: 2"))
    assert (await wire.answer()).status == 100
    wire.send(b"hi")
    assert (await wire.answer()).status == 204
    wire.send(head("POST", "a", TEXT, "Expect: 100-continue", f"Content-Length: {LIMITS.body_bytes + 1}"))
    assert (await wire.answer()).status == 413
    await wire.end()


@pytest_twisted.ensureDeferred
async def test_continue_waits_for_the_answers_before_it(server: WireServer) -> None:
    """A client that pipelines must not take it for the answer to an earlier request."""
    wire = await created(server)
    wire.ask("GET", "a?offset=now&live=long-poll")
    wire.send(head("POST", "a", TEXT, "Expect: 100-continue", "Content-Length: 2"))
    await server.pass_time(1, lambda: bool(wire.received))
    assert wire.received == b""
    assert (await server.ask("POST", "a", b"new", TEXT)).status == 204
    await server.until(lambda: b"\r\n\r\n" in wire.received)
    assert (await wire.answer()).body == b"new"
    assert (await wire.answer()).status == 100
    wire.send(b"hi")
    assert (await wire.answer()).status == 204


@pytest_twisted.ensureDeferred
async def test_pipelined_requests_are_answered_in_order(server: WireServer) -> None:
    """RFC 9112, 9.3.2, even if the first of them has to wait and the others do not."""
    wire = await created(server, b"old")
    wire.ask("GET", "a?offset=now&live=long-poll")
    for _ in range(5):
        wire.ask("GET", "a")
    assert not await server.pass_time(1, lambda: bool(wire.received))
    assert (await server.ask("POST", "a", b"new", TEXT)).status == 204
    await server.until(lambda: wire.received.count(b"oldnew") == 5)
    assert [(await wire.answer()).body for _ in range(6)] == [b"new", *[b"oldnew"] * 5]


@pytest_twisted.ensureDeferred
async def test_head_answers_as_get_without_the_body(server: WireServer) -> None:
    """And the connection goes on right behind it."""
    wire = await created(server, b"content")
    wire.ask("HEAD", "a")
    wire.ask("GET", "a")
    described = await wire.answer("HEAD")
    assert (described.status, described.headers["content-type"]) == (200, "text/plain")
    assert (await wire.answer()).body == b"content"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        ("1.1", None, True),
        ("1.1", "close", False),
        ("1.0", None, False),
    ],
)
async def test_a_connection_stays_as_its_client_wants(
    server: WireServer, version: str, connection: str | None, stays: bool
) -> None:
    """RFC 9112, 9.3: an old client is answered too, and then left."""
    wire = await created(server, b"content")
    fields = "" if connection is None else f"Connection: {connection}\r\n"
    request = f"GET /v1/stream/a HTTP/{version}\r\nHost: h\r\n{fields}\r\n".encode()
    wire.send(request)
    answer = await wire.answer()
    assert (answer.status, answer.body) == (200, b"content")
    if not stays:
        await wire.end()
        return
    wire.send(request)
    assert (await wire.answer()).body == b"content"


@pytest_twisted.ensureDeferred
async def test_an_old_client_follows_without_chunks(server: WireServer) -> None:
    """HTTP/1.0 knows none: the end of the connection is the end of the events."""
    wire = await created(server, b"content")
    wire.send(b"GET /v1/stream/a?offset=-1&live=sse HTTP/1.0\r\n\r\n")
    live = await wire.live()
    assert "transfer-encoding" not in live.headers
    await server.until(lambda: live.data == ["content"])
    assert (await server.ask("POST", "a", b"", "Stream-Closed: true")).status == 204
    await server.until(lambda: live.ended)


@pytest_twisted.ensureDeferred
async def test_other_routes_are_kleins(server: WireServer) -> None:
    """Health, and 404 as problem details for what is no route."""
    assert (await server.ask("GET", "/health")).json == {"status": "ok"}
    lost = await server.ask("GET", "/nowhere")
    assert (lost.status, lost.headers["content-type"]) == (404, "application/problem+json")


# --- refusals


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("attack", SMUGGLING.values(), ids=SMUGGLING.keys())
async def test_nothing_is_smuggled(server: WireServer, attack: bytes) -> None:
    """RFC 9112, 11.2: what could be read in two ways is refused once, and what comes behind it is not served."""
    wire = await created(server)
    behind = b"DELETE /v1/stream/a HTTP/1.1\r\nHost: h\r\n\r\n"
    wire.send(attack.replace(b"/a", b"/v1/stream/a"), behind)
    # Twisted waits for the first byte beyond the limit before it refuses a chunk that is too large.
    await server.pass_time(12, lambda: b"\r\n\r\n" in wire.received)
    assert (await wire.answer()).status in (400, 408, 413, 505)
    await server.pass_time(3, lambda: wire.ended)
    assert wire.received == b""
    assert (await server.ask("HEAD", "a")).status == 200


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (head("GET", "x" * 400), 414),
        (head("GET", "a", "X: " + "x" * 5_000), 431),
        (head("GET", "a", *["X: y"] * 40), 431),
        (head("POST", "a", f"Content-Length: {LIMITS.body_bytes + 1}"), 413),
        (head("POST", "a", "Transfer-Encoding: chunked") + b"3d0901\r\n" + b"x" * 4_000_001, 413),
    ],
    ids=["target", "head", "fields", "length", "chunks"],
)
async def test_a_limit_is_told_and_ends_the_connection(server: WireServer, request_: bytes, status: int) -> None:
    """The answer arrives although more of the request was still on its way."""
    wire = await created(server)
    wire.send(request_)
    answer = await wire.answer()
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    await server.pass_time(3, lambda: wire.ended)
    assert wire.ended


@pytest_twisted.ensureDeferred
async def test_a_head_that_trickles_is_given_up(server: WireServer) -> None:
    """However often a byte comes: the whole head has one time."""
    wire = await created(server)
    for byte in b"GET /v1/str":
        wire.send(bytes([byte]))
        if await server.pass_time(1, lambda: bool(wire.received)):
            break
    assert (await wire.answer()).status == 408
    await server.pass_time(3, lambda: wire.ended)
    assert wire.ended


@pytest_twisted.ensureDeferred
async def test_a_body_that_stalls_is_given_up(server: WireServer) -> None:
    """And nothing of it is appended."""
    wire = await created(server)
    wire.send(head("POST", "a", TEXT, "Content-Length: 10"), b"half ")
    await server.pass_time(12, lambda: bool(wire.received))
    assert (await wire.answer()).status == 408
    assert await content_of(server) == b""


@pytest_twisted.ensureDeferred
async def test_an_idle_connection_ends_in_silence(server: WireServer) -> None:
    wire = await created(server)
    await server.pass_time(25, lambda: wire.ended)
    assert (wire.ended, wire.received) == (True, b"")


@pytest_twisted.ensureDeferred
async def test_a_long_poll_is_not_idle(server: WireServer) -> None:
    """It may wait for longer than a connection may rest."""
    wire = await created(server)
    wire.ask("GET", "a?offset=now&live=long-poll", b"", "Prefer: wait=60")
    assert not await server.pass_time(8, lambda: wire.ended)


@pytest_twisted.ensureDeferred
async def test_whoever_leaves_in_the_middle_of_a_body_has_appended_nothing(server: WireServer) -> None:
    wire = await created(server)
    wire.send(head("POST", "a", TEXT, "Content-Length: 10"), b"half ")
    wire.hang_up()
    await wire.end()
    assert await content_of(server) == b""


# --- back-pressure


def unsent(server: WireServer) -> int:
    """How many bytes wait in the server's memory for clients to read them."""
    transports: list[Any] = [getattr(each, "transport", None) or each._transport for each in server.factory.connections]
    return sum(len(each.dataBuffer) + sum(map(len, each._tempDataBuffer)) for each in transports)


@pytest_twisted.ensureDeferred
async def test_answers_that_are_not_read_do_not_pile_up(server: WireServer) -> None:
    """A client that asks for gigabytes without reading costs one answer, and gets all when it reads."""
    page = b"x" * MEGABYTE
    wire = await created(server, page)
    wire.pause()
    for _ in range(100):
        wire.ask("GET", "a")
    most = 0
    for _ in range(40):
        await server.pass_time(0.25, lambda: False)
        most = max(most, unsent(server))
    assert most < 4 * MEGABYTE
    wire.resume()
    for _ in range(100):
        assert (await wire.answer()).body == page


@pytest_twisted.ensureDeferred
async def test_a_follower_that_does_not_read_costs_nothing_and_loses_nothing(server: WireServer) -> None:
    """It leaves the others, catches up when it reads again, and is then told of what is new: each message once."""
    wire = await created(server)
    wire.ask("GET", "a?offset=-1&live=sse")
    slow = await wire.live()
    other = await server.connect()
    other.ask("GET", "a?offset=-1&live=sse")
    quick = await other.live()
    wire.pause()
    appended = []
    most = 0
    for number in range(60):
        appended.append("x" * 300_000 + f"[{number}]")
        assert (await server.ask("POST", "a", appended[-1].encode(), TEXT)).status == 204
        await server.pass_time(0.25, lambda: False)
        most = max(most, unsent(server))
    expected = "".join(appended)
    assert most < 4 * MEGABYTE
    await server.until(lambda: b"[59]" in other.received)
    assert "".join(quick.data) == expected
    wire.resume()
    await server.until(lambda: b"[59]" in wire.received)
    assert (await server.ask("POST", "a", b"[60]", TEXT)).status == 204
    await server.until(lambda: b"[60]" in wire.received)
    assert "".join(slow.data) == expected + "[60]"
