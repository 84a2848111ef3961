"""Listing streams on a control path: an extension, off unless enabled, because names may be secrets (Section 12.2)."""

from __future__ import annotations

from typing import Any

import msgspec

from durable_streams.errors import MalformedField
from durable_streams.protocol.expiry import format_expires_at
from durable_streams.protocol.integers import parse_integer
from durable_streams.protocol.offsets import offset_of
from durable_streams.protocol.paths import canonical_path
from durable_streams.protocol.results import Page, StreamDescription
from durable_streams.web.fields import query_of
from durable_streams.web.problems import NO_STORE
from durable_streams.web.request import Request, Response

PATH = "__ds/streams"
METHODS = b"GET, HEAD, OPTIONS"
MOST_STREAMS = 1000

_PARAMETERS = frozenset(("prefix", "after", "limit"))


def page_asked_for(request: Request) -> tuple[str, str, int]:
    """What ``list_streams`` takes: ``prefix`` and ``after``, written as in a URL, and ``limit``.

    Raises ``MalformedField``.
    """
    given = query_of(request.query, _PARAMETERS) if request.query else {}
    limit = parse_integer(given["limit"], "limit") if "limit" in given else MOST_STREAMS
    if not 0 < limit <= MOST_STREAMS:
        raise MalformedField("limit", f"must be from 1 to {MOST_STREAMS}")
    return _path(given.get("prefix", "")), _path(given.get("after", "")), limit


def _path(written: str) -> str:
    return canonical_path(written.encode())


def listed_response(page: Page) -> Response:
    """200 with the streams in the order of their paths, and whether more follow the last one."""
    members = {"streams": [_members(stream) for stream in page.streams], "more": page.more}
    return Response(200, [(b"Content-Type", b"application/json"), NO_STORE], msgspec.json.encode(members) + b"\n")


def _members(stream: StreamDescription) -> dict[str, Any]:
    members: dict[str, Any] = {
        "path": stream.path,
        "contentType": stream.content_type,
        "offset": offset_of(stream.tail),
        "earliestOffset": stream.earliest_offset,
        "closed": stream.closed,
        "createdAt": format_expires_at(round(stream.created_at, 3)),
    }
    if stream.ttl is not None:
        members["ttl"] = stream.ttl
    if stream.expires_at is not None:
        members["expiresAt"] = format_expires_at(stream.expires_at)
    return members
