"""GET: catch-up and long-poll (Sections 5.6 and 5.7)."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from random import randint

import msgspec
from msgspec import Struct

from durable_streams.errors import MalformedField
from durable_streams.protocol.content_types import Kind
from durable_streams.protocol.cursors import next_cursor, parse_cursor
from durable_streams.protocol.etags import gzip_etag, matches
from durable_streams.protocol.integers import parse_integer
from durable_streams.protocol.json_messages import array_of
from durable_streams.protocol.offsets import EARLIEST, position_of, read_position_of
from durable_streams.protocol.results import Slice, StreamDescription
from durable_streams.web.content_coding import (
    ENCODED,
    SMALLEST,
    VARY,
    accepts_gzip,
    compressed,
    is_compressible,
)
from durable_streams.web.fields import content_type_field, next_offset_field, query_of, text_of
from durable_streams.web.problems import NO_STORE
from durable_streams.web.request import HeaderList, Request, Response
from durable_streams.web.settings import HttpSettings

MOST_LAST_MESSAGES = 10_000

_PARAMETERS = frozenset(("offset", "tail", "live", "cursor", "timeout"))
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)
_CACHED_SECONDS = 60
_STALE_SECONDS = 300
_ENDLESS = float("inf")
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


class Query(Struct, frozen=True):
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
    query = _query_of(request.query)
    last_event_id = request.headers.get(b"last-event-id")
    if last_event_id and query.mode is Mode.SSE:
        position = position_of(text_of(last_event_id), "Last-Event-ID")
        return msgspec.structs.replace(query, position=position, last=None)
    return query


@lru_cache(1024)
def _query_of(raw: bytes) -> Query:
    given = query_of(raw, _PARAMETERS)
    mode = Mode.CATCH_UP
    if "live" in given:
        if given["live"] not in _MODES:
            raise MalformedField("live", "must be long-poll or sse")
        mode = _MODES[given["live"]]
    offset, last = given.get("offset"), _last_in(given)
    if offset is None and last is None and mode is not Mode.CATCH_UP:
        raise MalformedField("offset", "must be given with live")
    position = EARLIEST if offset is None else read_position_of(offset)
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
        scope = settings.cache_scope
        self._for_a_while = f"{scope}, max-age=%d"
        self._for_long = _cache_control(f"{scope}, max-age={_CACHED_SECONDS}, stale-while-revalidate={_STALE_SECONDS}")
        self._revalidated = _cache_control(f"{scope}, no-cache")
        self._shared_for_a_moment = [_ONE_SECOND_IN_NGINX] if scope == "public" else []

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
        headers = [content_type_field(found.stream.content_type), next_offset_field(found.end), NO_STORE, _UP_TO_DATE]
        if found.at_end:
            headers.append(_CLOSED)
        return Response(200, headers, _body_of(found))

    def polled(self, found: Slice, request: Request, query: Query, now: float) -> Response:
        """200 with data, or 204 when the time is up or the stream has ended."""
        if not found.data:
            headers = [*self._shared_for_a_moment, next_offset_field(found.end), _UP_TO_DATE, NO_STORE]
            headers.append(_CLOSED if found.at_end else _cursor(query, now))
            return Response(204, headers)
        headers = self._headers(found, query, now)
        headers.append(_cursor(query, now))
        if query.position is None:
            # Its URL names another place each time: no cache may keep it, and no tag is for it.
            return Response(200, headers, _body_of(found))
        return _with_body(found, request, headers)

    def _headers(self, found: Slice, query: Query, now: float) -> HeaderList:
        stream, end = found.stream, found.end
        headers = [
            content_type_field(stream.content_type),
            next_offset_field(end),
            self._cache_control(found, query, now),
        ]
        if not (found.data or found.at_end):
            headers = [*self._shared_for_a_moment, *headers]
        if end == stream.tail:
            headers.append(_UP_TO_DATE)
            if stream.closed:
                headers.append(_CLOSED)
        return headers

    def _cache_control(self, found: Slice, query: Query, now: float) -> tuple[bytes, bytes]:
        """As long as Section 10.1 recommends, but never beyond the stream's own life."""
        stream = found.stream
        life = _life_of(stream, now)
        if life < 1 or query.position is None:
            return NO_STORE
        # The tail of an open stream, kept for a minute, would hide the next append and the end. Where a stream begins
        # moves: who was refused below that and asks for the beginning must not get yesterday's.
        is_tail = query.last is not None or not (found.data or found.at_end)
        if is_tail or (stream.retention is not None and query.position == EARLIEST):
            return self._revalidated
        if stream.retention is not None:
            life = min(life, stream.retention.max_age or _CACHED_SECONDS)
        if life > _CACHED_SECONDS + _STALE_SECONDS:
            return self._for_long
        return _cache_control(self._for_a_while % min(_CACHED_SECONDS, life))


def _life_of(stream: StreamDescription, now: float) -> float:
    """How many seconds the stream has left, if nobody touches it."""
    if stream.ttl is not None:
        return float(stream.ttl)
    return _ENDLESS if stream.expires_at is None else stream.expires_at - now


def _cache_control(value: str) -> tuple[bytes, bytes]:
    return (b"Cache-Control", value.encode())


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


def _cursor(query: Query, now: float) -> tuple[bytes, bytes]:
    return (b"Stream-Cursor", b"%d" % next_cursor(now, query.cursor, randint))
