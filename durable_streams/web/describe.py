"""HEAD: a stream's metadata (Section 5.5)."""

from __future__ import annotations

from durable_streams.protocol.expiry import format_expires_at
from durable_streams.protocol.offsets import encoded_offset_of
from durable_streams.protocol.results import StreamDescription
from durable_streams.protocol.retention import LIMIT_FIELDS
from durable_streams.web.fields import content_type_field, next_offset_field
from durable_streams.web.problems import NO_STORE
from durable_streams.web.request import HeaderList, Response


def described_response(stream: StreamDescription) -> Response:
    """200 with what is known of the stream, never cached. The tag is for the If-Match of an append."""
    headers: HeaderList = [
        content_type_field(stream.content_type),
        next_offset_field(stream.tail),
        (b"Stream-Earliest-Offset", encoded_offset_of(stream.earliest)),
        NO_STORE,
        (b"ETag", stream.etag.encode()),
    ]
    if stream.ttl is not None:
        headers.append((b"Stream-TTL", b"%d" % stream.ttl))
    if stream.expires_at is not None:
        headers.append((b"Stream-Expires-At", format_expires_at(stream.expires_at).encode()))
    if stream.retention is not None:
        for field, limit in zip(LIMIT_FIELDS, stream.retention.limits, strict=True):
            if limit is not None:
                headers.append((field.encode(), b"%d" % limit))
    if stream.closed:
        headers.append((b"Stream-Closed", b"true"))
    return Response(200, headers)
