"""GET: catch-up and long-poll (Sections 5.6 and 5.7)."""

from __future__ import annotations

import re
from enum import Enum
from random import randint
from typing import NamedTuple

from durable_streams.errors import MalformedField
from durable_streams.protocol.content_types import Kind
from durable_streams.protocol.cursors import next_cursor, parse_cursor
from durable_streams.protocol.etags import gzip_etag, matches
from durable_streams.protocol.integers import parse_integer
from durable_streams.protocol.json_messages import array_of
from durable_streams.protocol.offsets import EARLIEST, offset_of, position_of, read_position_of
from durable_streams.protocol.results import Slice
from durable_streams.web.content_coding import (
    ENCODED,
    SMALLEST,
    VARY,
    accepts_gzip,
    compressed,
    is_compressible,
)
from durable_streams.web.fields import query_of, text_of
from durable_streams.web.problems import NO_STORE
from durable_streams.web.request import HeaderList, Request, Response
from durable_streams.web.settings import HttpSettings

MOST_LAST_MESSAGES = 10_000

_PARAMETERS = frozenset(("offset", "tail", "live", "cursor", "timeout"))
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)
_CACHED_SECONDS = 60
_UP_TO_DATE = (b"Stream-Up-To-Date", b"true")
_CLOSED = (b"Stream-Closed", b"true")
# For nginx alone, which obeys what comes first: all who waited together get one answer, and wait on together.
_ONE_SECOND_IN_NGINX = (b"X-Accel-Expires", b"1")


class Mode(Enum):
    """How a GET wants to be answered."""

    CATCH_UP = 0
    LONG_POLL = 1
    SSE = 2


_MODES = {"long-poll": Mode.LONG_POLL, "true": Mode.LONG_POLL, "1": Mode.LONG_POLL, "sse": Mode.SSE}


class Query(NamedTuple):
    """What a GET asks for. ``timeout`` is in seconds.

    ``position`` None is the tail (``offset=now``), ``EARLIEST`` wherever the stream begins (``offset=-1``). ``last`` is
    a number of messages, counted back from the tail, instead of a position.
    """

    mode: Mode
    position: int | None
    cursor: int | None
    timeout: float | None
    last: int | None


_WHOLE = Query(Mode.CATCH_UP, EARLIEST, None, None, None)


def query_in(request: Request) -> Query:
    """The query of a GET. Raises ``MalformedField``.

    An EventSource that reconnects repeats its URL and says in Last-Event-ID how far it came, so that counts.
    """
    if not request.query:
        return _WHOLE
    given = query_of(request.query, _PARAMETERS)
    mode = Mode.CATCH_UP
    if "live" in given:
        if given["live"] not in _MODES:
            raise MalformedField("live", "must be long-poll or sse")
        mode = _MODES[given["live"]]
    offset, last = given.get("offset"), _last_in(given)
    if offset is None and last is None and mode is not Mode.CATCH_UP:
        raise MalformedField("offset", "must be given with live")
    position = EARLIEST if offset is None else read_position_of(offset)
    last_event_id = request.headers.get(b"last-event-id")
    if last_event_id and mode is Mode.SSE:
        position, last = position_of(text_of(last_event_id), "Last-Event-ID"), None
    return Query(mode, position, parse_cursor(given.get("cursor")), _timeout_in(given), last)


def _last_in(given: dict[str, str]) -> int | None:
    value = given.get("tail")
    if value is None:
        return None
    if "offset" in given:
        raise MalformedField("tail", "must not be combined with offset")
    count = parse_integer(value, "tail")
    if count > MOST_LAST_MESSAGES:
        raise MalformedField("tail", f"must be at most {MOST_LAST_MESSAGES}")
    return count


def _timeout_in(given: dict[str, str]) -> float | None:
    value = given.get("timeout")
    if value is None:
        return None
    if not _SECONDS.fullmatch(value):
        raise MalformedField("timeout", "must be a number of seconds")
    return float(value)


class ReadResponses:
    """Makes the answers to catch-up reads and long-polls."""

    def __init__(self, settings: HttpSettings) -> None:
        self._scope = settings.cache_scope
        self._shared_for_a_moment = [_ONE_SECOND_IN_NGINX] if settings.cache_scope == "public" else []

    def caught_up(self, found: Slice, request: Request, query: Query, now: float) -> Response:
        """200 with what was found, or 304 when the client has it already."""
        headers = self._headers(found, query, now)
        condition = request.headers.get(b"if-none-match")
        if condition is not None:
            has = text_of(condition)
            for tag in (found.etag, gzip_etag(found.etag)):
                if matches(has, tag):
                    varying = [VARY] if _varies(found) else []
                    return Response(304, [*headers, *varying, (b"ETag", tag.encode())])
        return _with_body(found, request, headers)

    def at_now(self, found: Slice) -> Response:
        """200 for ``offset=now``: the tail, no data, nothing to be cached (Section 8)."""
        headers = [_content_type(found), _next_offset(found), NO_STORE, _UP_TO_DATE]
        if found.at_end:
            headers.append(_CLOSED)
        return Response(200, headers, _body_of(found))

    def polled(self, found: Slice, request: Request, query: Query, now: float) -> Response:
        """200 with data, or 204 when the time is up or the stream has ended."""
        if not found.data:
            headers = [*self._shared_for_a_moment, _next_offset(found), _UP_TO_DATE, NO_STORE]
            headers.append(_CLOSED if found.at_end else _cursor(query, now))
            return Response(204, headers)
        headers = self._headers(found, query, now)
        headers.append(_cursor(query, now))
        if query.position is None:
            # Its URL names another place each time: no cache may keep it, and no tag is for it.
            return Response(200, headers, _body_of(found))
        return _with_body(found, request, headers)

    def _headers(self, found: Slice, query: Query, now: float) -> HeaderList:
        headers = [_content_type(found), _next_offset(found), self._cache_control(found, query, now)]
        if not (found.data or found.at_end):
            headers = [*self._shared_for_a_moment, *headers]
        if found.up_to_date:
            headers.append(_UP_TO_DATE)
            if found.stream.closed:
                headers.append(_CLOSED)
        return headers

    def _cache_control(self, found: Slice, query: Query, now: float) -> tuple[bytes, bytes]:
        """As long as Section 10.1 recommends, but never beyond the stream's own life."""
        stream = found.stream
        life = float(stream.ttl) if stream.ttl is not None else (stream.expires_at or float("inf")) - now
        if life < 1 or query.position is None:
            return NO_STORE
        # The tail of an open stream, kept for a minute, would hide the next append and the end. Where a stream begins
        # moves: who was refused below that and asks for the beginning must not get yesterday's.
        is_tail = (not found.data and not found.at_end) or query.last is not None
        if is_tail or (stream.retention is not None and query.position == EARLIEST):
            return (b"Cache-Control", f"{self._scope}, no-cache".encode())
        if stream.retention is not None:
            life = min(life, stream.retention.max_age or _CACHED_SECONDS)
        seconds = int(min(_CACHED_SECONDS, life))
        stale = ", stale-while-revalidate=300" if life > _CACHED_SECONDS + 300 else ""
        return (b"Cache-Control", f"{self._scope}, max-age={seconds}{stale}".encode())


def _varies(found: Slice) -> bool:
    """Whether there are two representations, plain and compressed."""
    return len(found.data) >= SMALLEST and is_compressible(found.stream.content_type)


def _with_body(found: Slice, request: Request, headers: HeaderList) -> Response:
    """200 with the data and their tag, compressed where that is worth it and wanted."""
    body = _body_of(found)
    tag = found.etag
    if _varies(found):
        headers.append(VARY)
        if accepts_gzip(request.headers):
            headers.append(ENCODED)
            body, tag = compressed(body), gzip_etag(tag)
    headers.append((b"ETag", tag.encode()))
    return Response(200, headers, body)


def _body_of(found: Slice) -> bytes:
    return array_of(found.data) if found.stream.kind is Kind.JSON else found.data


def _content_type(found: Slice) -> tuple[bytes, bytes]:
    return (b"Content-Type", found.stream.content_type.encode("latin-1"))


def _next_offset(found: Slice) -> tuple[bytes, bytes]:
    return (b"Stream-Next-Offset", offset_of(found.end).encode())


def _cursor(query: Query, now: float) -> tuple[bytes, bytes]:
    return (b"Stream-Cursor", b"%d" % next_cursor(now, query.cursor, randint))
