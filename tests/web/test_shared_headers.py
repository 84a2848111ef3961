"""What every response carries: security (Section 12.7) and CORS."""

from __future__ import annotations

import pytest

from tests.web.desk import Desk

REQUESTS = [
    ("PUT", "a", 201),
    ("PUT", "stream", 200),
    ("POST", "stream", 204),
    ("GET", "stream", 200),
    ("GET", "stream?offset=now&live=long-poll&timeout=0", 204),
    ("GET", "stream?offset=-1&live=sse", 200),
    ("HEAD", "stream", 200),
    ("GET", "none", 404),
    ("GET", "stream?offset=x", 400),
    ("PATCH", "stream", 405),
    ("OPTIONS", "stream", 204),
    ("DELETE", "stream", 204),
]


@pytest.mark.parametrize(("method", "path", "status"), REQUESTS)
def test_every_response_is_safe_to_show_and_to_share(desk: Desk, method: str, path: str, status: int) -> None:
    """nosniff, cross-origin resource policy, and the exposed headers, errors included."""
    desk.text_stream("stream", "data")
    answer = desk.asked(method, path, "x", Content_Type="text/plain", Origin="https://app.example")
    desk.clock.advance(0)
    headers = dict(getattr(answer, "result", answer).shared.fields)  # type: ignore[union-attr]  # a Response in the end
    assert getattr(answer, "result", answer).status == status  # type: ignore[union-attr]  # likewise
    assert headers[b"X-Content-Type-Options"] == b"nosniff"
    assert headers[b"Content-Security-Policy"] == b"sandbox"
    assert headers[b"Cross-Origin-Resource-Policy"] == b"cross-origin"
    assert headers[b"Access-Control-Allow-Origin"] == b"*"
    assert headers[b"Access-Control-Expose-Headers"] == b"*"


def test_an_unknown_method_is_told_the_known_ones(desk: Desk) -> None:
    """405 with Allow."""
    assert desk.ask("PATCH", "a").headers["allow"] == "GET, POST, PUT, DELETE, HEAD, OPTIONS"


def test_a_preflight_allows_all_that_the_protocol_has(desk: Desk) -> None:
    """CORS preflight, If-None-Match included."""
    answer = desk.ask("OPTIONS", "a", Origin="https://app.example", Access_Control_Request_Method="POST")
    assert answer.status == 204
    allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert {
        "content-type",
        "if-none-match",
        "stream-seq",
        "producer-id",
        "stream-fork-offset",
        "authorization",
    } <= allowed
    assert "DELETE" in answer.headers["access-control-allow-methods"]


def test_named_origins_are_the_only_ones() -> None:
    """The answer depends on the origin and says so to caches."""
    desk = Desk(cors_origins=("https://app.example",))
    desk.text_stream("a")
    friend, stranger = desk.get("a", Origin="https://app.example"), desk.get("a", Origin="https://evil.example")
    assert friend.headers["access-control-allow-origin"] == "https://app.example"
    assert "Stream-Next-Offset" in friend.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in stranger.headers
    assert friend.headers["vary"] == stranger.headers["vary"] == "Origin"
    desk.stop()
