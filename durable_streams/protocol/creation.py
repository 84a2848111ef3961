"""Creating streams and forks (Sections 5.1 and 4.2)."""

from __future__ import annotations

from durable_streams.errors import (
    ContentTypeMismatch,
    ForkBeyondTail,
    ForkInsideMessage,
    ForkSourceGone,
    ForkSubOffsetBeyond,
    OffsetTrimmed,
    StreamConflict,
    StreamNotFound,
)
from durable_streams.protocol import content_types
from durable_streams.protocol.commands import Create, ForkRequest
from durable_streams.protocol.content_types import Kind, kind_of, media_type
from durable_streams.protocol.events import ForkPoint, StreamCreated
from durable_streams.protocol.json_messages import stored_form
from durable_streams.protocol.retention import LIMIT_FIELDS, NO_LIMITS
from durable_streams.protocol.stream import Stream


def confirm_existing(existing: Stream, source: Stream | None, command: Create) -> None:
    """Accept a creation that describes the stream which is already there; otherwise raise ``StreamConflict``.

    ``source`` is the stream that the command would fork, if it still exists.
    """
    if existing.soft_deleted:
        raise StreamConflict(command.path, ("soft-deleted",))
    differing = []
    if not _same_content_type(existing, command):
        differing.append("Content-Type")
    if not _same_expiry(existing, command):
        differing.append("Stream-TTL" if command.expires_at is None else "Stream-Expires-At")
    if existing.closed is not command.closed:
        differing.append("Stream-Closed")
    if not _same_fork(existing, source, command.fork):
        differing.append("Stream-Forked-From")
    differing.extend(_differing_limits(existing, command))
    if differing:
        raise StreamConflict(command.path, tuple(differing))


def _same_content_type(existing: Stream, command: Create) -> bool:
    if command.content_type is None:
        return command.fork is not None or media_type(existing.content_type) == content_types.DEFAULT
    return media_type(existing.content_type) == media_type(command.content_type)


def _same_expiry(existing: Stream, command: Create) -> bool:
    if command.fork is not None and command.ttl is None and command.expires_at is None:
        return True
    return (existing.ttl, existing.expires_at) == (command.ttl, command.expires_at)


def _differing_limits(existing: Stream, command: Create) -> list[str]:
    """Who names no limit asks for the default: today's, or the one of the day when the stream was created."""
    kept, asked = existing.retention or NO_LIMITS, command.retention or NO_LIMITS
    if (asked is NO_LIMITS or asked.is_default) and (kept.is_default or command.fork is not None):
        return []
    if asked.is_default:
        asked = NO_LIMITS
    pairs = zip(LIMIT_FIELDS, kept.limits, asked.limits, strict=True)
    return [field for field, limit, other in pairs if limit != other]


def _same_fork(existing: Stream, source: Stream | None, request: ForkRequest | None) -> bool:
    point = existing.fork
    if request is None or point is None:
        return request is None and point is None
    if (point.source_path, point.sub_offset) != (request.source, request.sub_offset):
        return False
    if request.position is not None:
        return request.position == (point.position if point.anchor is None else point.anchor)
    return point.anchor is None or (source is not None and source.tail == point.anchor)


def decide_create(command: Create, source: Stream | None, stream_id: int, at: float) -> StreamCreated:
    """The event that creates a stream at a path that is free; ``source`` is what the command forks, if it exists.

    Raises ``StreamNotFound``, ``ForkSourceGone``, ``ContentTypeMismatch``, ``ForkBeyondTail``, ``ForkInsideMessage``,
    ``ForkSubOffsetBeyond``, ``OffsetTrimmed`` for forks, ``InvalidMessages`` for the body.
    """
    fork = None
    earliest = 0
    ttl, expires_at = command.ttl, command.expires_at
    content_type = command.content_type or content_types.DEFAULT
    if command.fork is not None:
        source = _forkable(command, source)
        content_type = source.content_type
        earliest = source.earliest_at(at)
        fork = _fork_point(command.fork, source, earliest)
        earliest = min(earliest, fork.position)
        if ttl is None and expires_at is None:
            ttl, expires_at = source.ttl, source.expires_at
    data = stored_form(command.body) if command.body and kind_of(content_type) is Kind.JSON else command.body
    return StreamCreated(
        stream_id,
        at,
        command.path,
        content_type,
        ttl,
        expires_at,
        fork,
        data,
        command.closed,
        command.retention,
        earliest,
    )


def _forkable(command: Create, source: Stream | None) -> Stream:
    assert command.fork is not None
    if source is None:
        raise StreamNotFound(command.fork.source)
    if source.soft_deleted:
        raise ForkSourceGone(source.path)
    if command.content_type is not None and media_type(command.content_type) != media_type(source.content_type):
        raise ContentTypeMismatch(command.path, source.content_type, command.content_type)
    return source


def _fork_point(request: ForkRequest, source: Stream, earliest: int) -> ForkPoint:
    anchor = source.tail if request.position is None else request.position
    if anchor > source.tail:
        raise ForkBeyondTail(source.path, anchor, source.tail)
    # A fork at the very beginning inherits nothing, whatever its source has dropped.
    if anchor < earliest and (anchor or request.sub_offset):
        raise OffsetTrimmed(source.path, anchor, earliest)
    if earliest < anchor < source.tail and not request.sub_offset and not _is_resolved(request, source):
        raise ForkInsideMessage(source.path, anchor)
    position = anchor + _sub_offset_length(request, source)
    if position > source.tail:
        raise ForkSubOffsetBeyond(source.path, request.sub_offset)
    return ForkPoint(source.stream_id, source.path, position, request.position, request.sub_offset)


def _sub_offset_length(request: ForkRequest, source: Stream) -> int:
    if source.kind is not Kind.JSON or not request.sub_offset:
        return request.sub_offset
    if request.resolved is None or not _is_resolved(request, source):
        raise ForkSubOffsetBeyond(source.path, request.sub_offset)
    return request.resolved.length


def _is_resolved(request: ForkRequest, source: Stream) -> bool:
    """Whether it is known that the request names a place between messages of this very source."""
    if source.kind is not Kind.JSON:
        return True
    return request.resolved is not None and request.resolved.source_id == source.stream_id
