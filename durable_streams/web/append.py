"""POST: append and close (Sections 5.2, 5.2.1 and 5.3)."""

from __future__ import annotations

from durable_streams.errors import EmptyAppend, MalformedField
from durable_streams.protocol.commands import Append
from durable_streams.protocol.results import AppendResult
from durable_streams.web.fields import (
    Headers,
    content_type_in,
    if_match_in,
    next_offset_field,
    producer_in,
    says_closed,
    stream_seq_in,
)
from durable_streams.web.request import HeaderList, Request, Response
from durable_streams.web.target import Target

_CLOSED = (b"Stream-Closed", b"true")
_CHOICES = frozenset((b"stream-closed", b"stream-seq", b"producer-id", b"producer-epoch", b"producer-seq", b"if-match"))
"""What most appends say nothing of."""


def append_command(request: Request, target: Target) -> Append:
    """What a POST asks for. Raises ``MalformedField``, or ``EmptyAppend`` when it asks for nothing."""
    headers = request.headers
    body = request.body
    if body and headers.keys().isdisjoint(_CHOICES):
        return Append(target.path, body, _content_type_of_body(headers))
    close = says_closed(headers)
    if not body and not close:
        raise EmptyAppend(target.path)
    content_type = _content_type_of_body(headers) if body else None
    sequence, producer, condition = stream_seq_in(headers), producer_in(headers), if_match_in(headers)
    return Append(target.path, body, content_type, sequence, producer, close, condition)


def _content_type_of_body(headers: Headers) -> str:
    content_type = content_type_in(headers)
    if content_type is None:
        raise MalformedField("Content-Type", "must be given with a body")
    return content_type


def appended_response(result: AppendResult, command: Append) -> Response:
    """204; 200 for a producer's new data, so that it can tell it from a duplicate.

    Who sent If-Match gets the tag for the next one.
    """
    headers: HeaderList = [next_offset_field(result.tail)]
    if result.closed:
        headers.append(_CLOSED)
    if command.if_match is not None:
        headers.append((b"ETag", result.etag.encode()))
    producer = result.producer
    if producer is None:
        return Response(204, headers)
    headers.append((b"Producer-Epoch", b"%d" % producer.epoch))
    headers.append((b"Producer-Seq", b"%d" % producer.last_seq))
    return Response(200 if command.body and not result.duplicate else 204, headers)
