"""The standalone application: its routes, through twisted.web and Klein."""

from __future__ import annotations

import pytest

from durable_streams.web.application import StreamApplication
from tests.web.desk import Desk
from tests.web.memory_site import MemorySite

STREAM_METHODS = "GET, POST, PUT, DELETE, HEAD, OPTIONS"
ROUTES = [
    ("/v1/stream/a", STREAM_METHODS),
    ("/v1/stream/none", STREAM_METHODS),
    ("/v1/stream/", STREAM_METHODS),
    ("/health", "GET, HEAD, OPTIONS"),
]


@pytest.fixture
def site(desk: Desk) -> MemorySite:
    return MemorySite(desk.application.resource())


@pytest.mark.parametrize(("path", "methods"), ROUTES)
def test_options_tells_the_methods(site: MemorySite, path: str, methods: str) -> None:
    """204 with Allow, on every route."""
    answer = site.ask("OPTIONS", path)
    assert (answer.status, answer.headers["allow"], answer.body) == (204, methods, b"")
    assert "access-control-allow-methods" not in answer.headers


@pytest.mark.parametrize(("path", "methods"), ROUTES)
def test_a_preflight_is_answered_on_every_route(site: MemorySite, path: str, methods: str) -> None:
    """A browser asks before its page may send a request; it names the method and the fields."""
    answer = site.ask(
        "OPTIONS",
        path,
        Origin="https://app.example",
        Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="if-none-match",
    )
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == methods
    assert "If-None-Match" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-max-age"] == "86400"


@pytest.mark.parametrize(("path", "methods"), ROUTES)
@pytest.mark.parametrize("method", ["PATCH", "TRACE", "PROPFIND"])
def test_another_method_is_a_405_that_tells_the_right_ones(
    site: MemorySite, path: str, methods: str, method: str
) -> None:
    """Section 5 and RFC 9110, 15.5.6: Allow, on every route."""
    answer = site.ask(method, path)
    assert (answer.status, answer.headers["allow"]) == (405, methods)
    assert answer.json["code"] == "METHOD_NOT_ALLOWED"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nothing",
        "/v1/stream",
        "/v1/streams/a",
        "/health/",
        "/health/x",
        "/HEALTH",
        "/%FF",
        "/%F0%9F%A6%84",
        "/..",
        "/a//b",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
def test_elsewhere_there_is_nothing(site: MemorySite, method: str, path: str) -> None:
    """404 as a problem, with the fields that every answer has; never a page of Klein's, werkzeug's or Twisted's."""
    answer = site.ask(method, path)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    if method != "HEAD":
        assert answer.json["code"] == "NOT_FOUND"


def test_health_tells_whether_the_service_is_well(site: MemorySite, desk: Desk) -> None:
    """200, or 503 and why, never cached; HEAD the same without a body."""
    well = site.get("/health")
    assert (well.status, well.json, well.headers["cache-control"]) == (200, {"status": "ok"}, "no-store")
    desk.storage.failure = lambda: "the disk has gone"  # type: ignore[method-assign]  # what an unhealthy storage says
    ill = site.get("/health")
    assert (ill.status, ill.json) == (503, {"status": "failing", "reason": "the disk has gone"})
    head = site.ask("HEAD", "/health")
    assert (head.status, head.body) == (503, b"")


def test_head_answers_as_get_would_without_a_body(site: MemorySite) -> None:
    """Section 5.5, and RFC 9110, 9.3.2: refusals too."""
    site.put("/v1/stream/a", "data", Content_Type="text/plain")
    for path, status in (("a", 200), ("none", 404), ("", 404)):
        answer = site.ask("HEAD", "/v1/stream/" + path)
        assert (answer.status, answer.body) == (status, b"")
        assert answer.headers["cache-control"] == "no-store"


def test_the_prefix_is_the_operators_choice() -> None:
    """Streams are below it, and nowhere else."""
    desk = Desk()
    site = MemorySite(StreamApplication(desk.service, prefix="/logs/").resource())
    created = site.put("/logs/a")
    assert (created.status, created.headers["location"]) == (201, "http://streams.example/logs/a")
    assert site.get("/v1/stream/a").status == 404
    assert site.put("/logs/fork", Stream_Forked_From="/logs/a").status == 201
    refused = site.put("/logs/other", Stream_Forked_From="/v1/stream/a")
    assert (refused.status, refused.json["field"]) == (400, "Stream-Forked-From")
    desk.stop()
