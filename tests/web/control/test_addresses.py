"""The reserved control paths come before streams, in every spelling (Section 6)."""

from __future__ import annotations

import pytest

from durable_streams.web.control.address import Address, address_of
from tests.web.control.control_desk import ControlDesk


@pytest.mark.parametrize(
    "path",
    [
        "__ds/subscriptions/sub",
        "%5F%5Fds/subscriptions/sub",
        "%5f_ds/subscriptions/sub",
        "__%64%73/subscriptions/sub",
        "__ds/%73ubscriptions/%73ub",
    ],
)
def test_every_spelling_of_a_control_path_is_one(desk: ControlDesk, path: str) -> None:
    """6: the reserved prefix is routed before streams."""
    desk.subscribe()
    assert desk.get(path).json["subscription_id"] == "sub"


@pytest.mark.parametrize(
    "path",
    ["__ds", "__ds/", "__ds/x", "%5F%5Fds/x", "__ds/subscriptions", "__ds/subscriptions/", "__ds/subscriptions/s/x"],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "HEAD"])
def test_no_stream_can_be_there(desk: ControlDesk, method: str, path: str) -> None:
    """6: application streams cannot take reserved paths."""
    answer = desk.ask(method, path, b"x" if method in ("PUT", "POST") else b"", Content_Type="text/plain")
    assert answer.status == 404
    assert method == "HEAD" or answer.json["error"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize("path", ["x/__ds", "__dsx", "__DS", "a__ds/b", "__ds%2Fsubscriptions"])
def test_other_paths_are_streams(desk: ControlDesk, path: str) -> None:
    """6: reserved is what has `__ds` as its first segment, nothing else."""
    assert desk.text_stream(path, "x").status == 201
    assert desk.get(path).text == "x"


def test_the_control_paths_are_below_the_stream_root() -> None:
    """6: wherever that is."""
    desk = ControlDesk(prefix="/")
    assert desk.application.stream_handler(b"/__ds/jwks.json") is not None
    desk.stop()


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("__ds/subscriptions/a%2Fb", Address("subscription", "a/b")),
        ("__ds/subscriptions/%C3%A4", Address("subscription", "ä")),
        ("__ds/subscriptions/s/streams/events/a", Address("stream", "s", "events/a")),
        ("__ds/subscriptions/s/streams/events%2Fa", Address("stream", "s", "events/a")),
        ("__ds/subscriptions/s/streams/events%2Fa%252Fb", Address("stream", "s", "events/a%2Fb")),
        ("__ds/subscriptions/s/streams/streams", Address("stream", "s", "streams")),
        ("__ds/subscriptions/%FF", None),
    ],
)
def test_ids_and_paths_are_encoded_once(path: str, address: Address | None) -> None:
    """6.1, 6.4: an id is one segment; a stream's path may have its slashes either way."""
    assert address_of(path) == address


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("jwks.json", "GET, HEAD, OPTIONS"),
        ("subscriptions/sub", "PUT, GET, HEAD, DELETE, OPTIONS"),
        ("subscriptions/sub/streams", "POST, OPTIONS"),
        ("subscriptions/sub/streams/a", "DELETE, OPTIONS"),
        ("subscriptions/sub/callback", "POST, OPTIONS"),
        ("subscriptions/sub/claim", "POST, OPTIONS"),
        ("subscriptions/sub/ack", "POST, OPTIONS"),
        ("subscriptions/sub/release", "POST, OPTIONS"),
    ],
)
def test_other_methods_are_refused(desk: ControlDesk, path: str, methods: str) -> None:
    """With the ones that there are; a preflight gets them too."""
    answer = desk.control("PATCH", path)
    assert (answer.status, answer.headers["allow"]) == (405, methods)
    assert answer.json["error"]["code"] == "METHOD_NOT_ALLOWED"
    preflight = desk.control("OPTIONS", path, Origin="https://app.example", Access_Control_Request_Method="POST")
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-methods"] == methods
