"""The whole head of every answer: these fields and no others, beside those that all answers share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from durable_streams.web.shared_headers import SharedHeaders
from tests.web.desk import NOW, ROOT, Answer, Desk

SHARED = {name.decode().lower() for name, _ in SharedHeaders().for_origin(None).fields}
TEXT = {"Content_Type": "text/plain"}
PRODUCER = {**TEXT, "Producer_Id": "p", "Producer_Epoch": "0", "Producer_Seq": "0"}
CACHED = "public, max-age=60, stale-while-revalidate=300"
CURSOR = str((NOW - 1_728_432_000) // 20)


def at(position: int) -> str:
    return f"0000000000000000_{position:016d}"


def furnish(desk: Desk) -> None:
    desk.text_stream("open", "data")
    desk.text_stream("closed", "data", Stream_Closed="true")
    desk.put("empty")
    desk.json_stream("json", "[1]")
    desk.text_stream("short", "data", Stream_TTL="3600")
    desk.text_stream("dated", Stream_Expires_At="2030-01-31T12:00:00.250+01:00")


Ask = Callable[[Desk], Answer]
HEADS: list[tuple[str, Ask, int, dict[str, str]]] = [
    (
        "created",
        lambda desk: desk.text_stream("new", "data"),
        201,
        {
            "content-type": "text/plain",
            "stream-next-offset": at(4),
            "location": f"http://streams.example{ROOT}new",
        },
    ),
    (
        "created without a type",
        lambda desk: desk.put("new", "data"),
        201,
        {
            "content-type": "application/octet-stream",
            "stream-next-offset": at(4),
            "location": f"http://streams.example{ROOT}new",
        },
    ),
    (
        "created closed",
        lambda desk: desk.text_stream("new", Stream_Closed="true"),
        201,
        {
            "content-type": "text/plain",
            "stream-next-offset": at(0),
            "stream-closed": "true",
            "location": f"http://streams.example{ROOT}new",
        },
    ),
    (
        "confirmed",
        lambda desk: desk.text_stream("open", "other data"),
        200,
        {"content-type": "text/plain", "stream-next-offset": at(4)},
    ),
    (
        "forked",
        lambda desk: desk.put("new", Stream_Forked_From=ROOT + "open", Stream_Fork_Offset=at(2)),
        201,
        {
            "content-type": "text/plain",
            "stream-next-offset": at(2),
            "location": f"http://streams.example{ROOT}new",
        },
    ),
    ("appended", lambda desk: desk.say("open", "more"), 204, {"stream-next-offset": at(8)}),
    (
        "appended and closed",
        lambda desk: desk.say("open", "end", Stream_Closed="true"),
        204,
        {"stream-next-offset": at(7), "stream-closed": "true"},
    ),
    (
        "closed",
        lambda desk: desk.post("open", Stream_Closed="true"),
        204,
        {"stream-next-offset": at(4), "stream-closed": "true"},
    ),
    (
        "closed again",
        lambda desk: desk.post("closed", Stream_Closed="true"),
        204,
        {"stream-next-offset": at(4), "stream-closed": "true"},
    ),
    (
        "produced",
        lambda desk: desk.post("open", "more", **PRODUCER),
        200,
        {"stream-next-offset": at(8), "producer-epoch": "0", "producer-seq": "0"},
    ),
    (
        "produced before",
        lambda desk: (desk.post("open", "more", **PRODUCER), desk.post("open", "more", **PRODUCER))[1],
        204,
        {"stream-next-offset": at(8), "producer-epoch": "0", "producer-seq": "0"},
    ),
    ("deleted", lambda desk: desk.ask("DELETE", "open"), 204, {}),
    (
        "described",
        lambda desk: desk.ask("HEAD", "open"),
        200,
        {
            "content-type": "text/plain",
            "stream-next-offset": at(4),
            "stream-earliest-offset": at(0),
            "etag": "?",
            "cache-control": "no-store",
        },
    ),
    (
        "described with a TTL",
        lambda desk: desk.ask("HEAD", "short"),
        200,
        {
            "content-type": "text/plain",
            "stream-next-offset": at(4),
            "stream-earliest-offset": at(0),
            "etag": "?",
            "cache-control": "no-store",
            "stream-ttl": "3600",
        },
    ),
    (
        "described with a date, closed",
        lambda desk: (desk.post("dated", Stream_Closed="true"), desk.ask("HEAD", "dated"))[1],
        200,
        {
            "content-type": "text/plain",
            "stream-next-offset": at(0),
            "stream-earliest-offset": at(0),
            "etag": "?",
            "cache-control": "no-store",
            "stream-expires-at": "2030-01-31T11:00:00.250Z",
            "stream-closed": "true",
        },
    ),
    (
        "read to the tail",
        lambda desk: desk.get("open"),
        200,
        {
            "content-type": "text/plain",
            "stream-next-offset": at(4),
            "stream-up-to-date": "true",
            "cache-control": CACHED,
            "etag": "?",
        },
    ),
    (
        "read at the tail",
        lambda desk: desk.get(f"open?offset={at(4)}"),
        200,
        {
            "x-accel-expires": "1",
            "content-type": "text/plain",
            "stream-next-offset": at(4),
            "stream-up-to-date": "true",
            "cache-control": "public, no-cache",
            "etag": "?",
        },
    ),
    (
        "read at the end",
        lambda desk: desk.get(f"closed?offset={at(4)}"),
        200,
        {
            "content-type": "text/plain",
            "stream-next-offset": at(4),
            "stream-up-to-date": "true",
            "stream-closed": "true",
            "cache-control": CACHED,
            "etag": "?",
        },
    ),
    (
        "not modified",
        lambda desk: desk.get("open", If_None_Match="*"),
        304,
        {
            "content-type": "text/plain",
            "stream-next-offset": at(4),
            "stream-up-to-date": "true",
            "cache-control": CACHED,
            "etag": "?",
        },
    ),
    (
        "now",
        lambda desk: desk.get("json?offset=now"),
        200,
        {
            "content-type": "application/json",
            "stream-next-offset": at(2),
            "stream-up-to-date": "true",
            "cache-control": "no-store",
        },
    ),
    (
        "now, closed",
        lambda desk: desk.get("closed?offset=now"),
        200,
        {
            "content-type": "text/plain",
            "stream-next-offset": at(4),
            "stream-up-to-date": "true",
            "stream-closed": "true",
            "cache-control": "no-store",
        },
    ),
    (
        "polled",
        lambda desk: desk.get("open?offset=-1&live=long-poll"),
        200,
        {
            "content-type": "text/plain",
            "stream-next-offset": at(4),
            "stream-up-to-date": "true",
            "cache-control": CACHED,
            "etag": "?",
            "stream-cursor": CURSOR,
        },
    ),
    (
        "polled in vain",
        lambda desk: desk.get("open?offset=now&live=long-poll&timeout=0"),
        204,
        {
            "x-accel-expires": "1",
            "stream-next-offset": at(4),
            "stream-up-to-date": "true",
            "cache-control": "no-store",
            "stream-cursor": CURSOR,
        },
    ),
    (
        "polled at the end",
        lambda desk: desk.get(f"closed?offset={at(4)}&live=long-poll"),
        204,
        {
            "x-accel-expires": "1",
            "stream-next-offset": at(4),
            "stream-up-to-date": "true",
            "cache-control": "no-store",
            "stream-closed": "true",
        },
    ),
    (
        "followed",
        lambda desk: desk.get("open?offset=-1&live=sse"),
        200,
        {"content-type": "text/event-stream", "cache-control": "no-cache", "x-accel-buffering": "no"},
    ),
    (
        "followed, binary",
        lambda desk: desk.get("empty?offset=-1&live=sse"),
        200,
        {
            "content-type": "text/event-stream",
            "cache-control": "no-cache",
            "x-accel-buffering": "no",
            "stream-sse-data-encoding": "base64",
        },
    ),
    ("options", lambda desk: desk.ask("OPTIONS", "open"), 204, {"allow": "GET, POST, PUT, DELETE, HEAD, OPTIONS"}),
]


@pytest.mark.parametrize(("ask", "status", "fields"), [row[1:] for row in HEADS], ids=[row[0] for row in HEADS])
def test_an_answer_has_these_fields_and_no_others(desk: Desk, ask: Ask, status: int, fields: dict[str, str]) -> None:
    """Sections 5.1 to 5.8, 8 and 10.1. ``?`` stands for an entity tag."""
    furnish(desk)
    answer = ask(desk)
    own = {name: value for name, value in answer.headers.items() if name not in SHARED}
    if "etag" in own:
        assert own["etag"].startswith('"')
        own["etag"] = "?"
    assert (answer.status, own) == (status, fields)
    assert answer.headers.keys() >= SHARED
