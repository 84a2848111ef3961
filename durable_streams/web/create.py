"""PUT: create a stream or a fork (Sections 5.1 and 4.2)."""

from __future__ import annotations

from durable_streams.errors import MalformedField
from durable_streams.protocol.commands import Create, ForkRequest
from durable_streams.protocol.expiry import parse_expires_at, parse_ttl
from durable_streams.protocol.integers import parse_integer
from durable_streams.protocol.offsets import position_of
from durable_streams.protocol.paths import canonical_path
from durable_streams.protocol.results import CreateResult
from durable_streams.protocol.retention import LIMIT_FIELDS, Retention
from durable_streams.web.fields import (
    Headers,
    content_type_field,
    content_type_in,
    next_offset_field,
    says_closed,
    text_of,
)
from durable_streams.web.request import HeaderList, Request, Response
from durable_streams.web.target import Target

_LIMITS = {field.lower().encode(): field for field in LIMIT_FIELDS}
_FORK_FIELDS = (b"stream-forked-from", b"stream-fork-offset", b"stream-fork-sub-offset")
_CHOICES = frozenset((b"stream-ttl", b"stream-expires-at", b"stream-closed", *_FORK_FIELDS, *_LIMITS))
"""What most creations say nothing of."""


def create_command(request: Request, target: Target) -> Create:
    """What a PUT asks for. Raises ``MalformedField``."""
    headers = request.headers
    if headers.keys().isdisjoint(_CHOICES):
        return Create(target.path, content_type_in(headers), body=request.body)
    ttl, expires_at = _expiry_in(headers)
    return Create(
        target.path,
        content_type_in(headers),
        ttl,
        expires_at,
        says_closed(headers),
        request.body,
        _fork_in(headers, target),
        _retention_in(headers),
    )


def _expiry_in(headers: Headers) -> tuple[int | None, float | None]:
    ttl = headers.get(b"stream-ttl")
    expires_at = headers.get(b"stream-expires-at")
    if ttl is not None and expires_at is not None:
        raise MalformedField("Stream-Expires-At", "must not be combined with Stream-TTL")
    if ttl is not None:
        return parse_ttl(text_of(ttl)), None
    return None, None if expires_at is None else parse_expires_at(text_of(expires_at))


def _retention_in(headers: Headers) -> Retention | None:
    if headers.keys().isdisjoint(_LIMITS):
        return None
    max_age, max_messages, max_bytes = (_limit_in(headers, name) for name in _LIMITS)
    return Retention(max_age, max_messages, max_bytes)


def _limit_in(headers: Headers, name: bytes) -> int | None:
    value = headers.get(name)
    return None if value is None else parse_integer(text_of(value), _LIMITS[name])


def _fork_in(headers: Headers, target: Target) -> ForkRequest | None:
    source, offset, sub_offset = (headers.get(name) for name in _FORK_FIELDS)
    if source is None:
        for value, field in ((offset, "Stream-Fork-Offset"), (sub_offset, "Stream-Fork-Sub-Offset")):
            if value is not None:
                raise MalformedField(field, "must come with Stream-Forked-From")
        return None
    return ForkRequest(
        _source_path(source, target),
        None if offset is None else position_of(text_of(offset), "Stream-Fork-Offset"),
        0 if sub_offset is None else parse_integer(text_of(sub_offset), "Stream-Fork-Sub-Offset"),
    )


def _source_path(source: bytes, target: Target) -> str:
    if not source.startswith(target.root):
        raise MalformedField("Stream-Forked-From", f"must be the path of a stream below {text_of(target.root)}")
    return canonical_path(source[len(target.root) :])


def created_response(result: CreateResult, location: bytes) -> Response:
    """201 with the stream's URL, or 200 when the stream was there already."""
    stream = result.stream
    headers: HeaderList = [content_type_field(stream.content_type), next_offset_field(stream.tail)]
    if stream.closed:
        headers.append((b"Stream-Closed", b"true"))
    if not result.created:
        return Response(200, headers)
    headers.append((b"Location", location))
    return Response(201, headers)
