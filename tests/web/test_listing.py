"""GET on __ds/streams: an extension for those who enable it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred

from durable_streams.testing import MemoryServer
from durable_streams.web.settings import HttpSettings
from tests.client.outcomes import result_of
from tests.web.desk import Desk


@pytest.fixture
def library() -> Iterator[Desk]:
    """A service that lists its streams, of which it has five."""
    desk = Desk(listing=True)
    for name in ("b/2", "a", "b/1", "c", "b/%C3%9C"):
        desk.text_stream(name, name)
    yield desk
    desk.stop()


def paths(desk: Desk, query: str = "") -> list[str]:
    return [stream["path"] for stream in desk.get(f"__ds/streams{query}").json["streams"]]


def test_nobody_lists_streams_unless_that_is_enabled(desk: Desk) -> None:
    """Section 12.2: a name that is hard to guess may be all that protects a stream."""
    desk.text_stream("a")
    assert desk.get("__ds/streams").status == 404


def test_streams_come_in_the_order_of_their_paths(library: Desk) -> None:
    """All, or those that begin with a prefix."""
    assert paths(library) == ["a", "b/%C3%9C", "b/1", "b/2", "c"]
    assert paths(library, "?prefix=b/") == ["b/%C3%9C", "b/1", "b/2"]
    assert paths(library, "?prefix=b/%C3%9C") == ["b/%C3%9C"]
    assert paths(library, "?prefix=none") == []


def test_pages_follow_each_other(library: Desk) -> None:
    """``after`` is the last path that was seen, ``more`` says whether it is worth asking."""
    seen: list[str] = []
    more = True
    while more:
        after = seen[-1].replace("%", "%25") if seen else ""
        page = library.get(f"__ds/streams?limit=2&after={after}").json
        seen += [stream["path"] for stream in page["streams"]]
        more = page["more"]
    assert seen == ["a", "b/%C3%9C", "b/1", "b/2", "c"]


def test_a_stream_is_described(library: Desk) -> None:
    """What HEAD tells of it."""
    library.text_stream("b/0", "data", Stream_TTL="60", Stream_Closed="true")
    (described,) = library.get("__ds/streams?prefix=b/0").json["streams"]
    assert described == {
        "path": "b/0",
        "contentType": "text/plain",
        "offset": "0000000000000000_0000000000000004",
        "earliestOffset": "0000000000000000_0000000000000000",
        "closed": True,
        "createdAt": "2027-01-15T08:00:00.000Z",
        "ttl": 60,
    }


@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1"])
def test_a_page_has_a_limit(library: Desk, limit: str) -> None:
    """A wrong one is told."""
    answer = library.get(f"__ds/streams?limit={limit}")
    assert (answer.status, answer.json["field"]) == (400, "limit")


def test_it_is_for_reading_only(library: Desk) -> None:
    """HEAD and OPTIONS too; other methods are 405."""
    assert library.ask("HEAD", "__ds/streams").status == 200
    assert library.ask("OPTIONS", "__ds/streams").headers["allow"] == "GET, HEAD, OPTIONS"
    refused = library.put("__ds/streams")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_the_client_reads_it() -> None:
    """Page by page."""
    server = MemoryServer(settings=HttpSettings(listing=True))
    for name in ("a", "b", "c"):
        result_of(server.service.create(name))

    def page(after: str) -> tuple[list[str], bool]:
        listing = result_of(server.directory().list(after=after, limit=2))
        return [stream.path for stream in listing.streams], listing.more

    assert page("") == (["a", "b"], True)
    assert page("b") == (["c"], False)
    stopped: Deferred[None] = server.stop()
    result_of(stopped)
