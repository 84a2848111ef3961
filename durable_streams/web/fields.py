"""Reading header fields and query parameters into checked values."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import unquote_to_bytes

from durable_streams.errors import MalformedField
from durable_streams.protocol.content_types import parse_content_type
from durable_streams.protocol.etags import parse_if_match
from durable_streams.protocol.integers import parse_integer
from durable_streams.protocol.offsets import encoded_offset_of
from durable_streams.protocol.producers import ProducerClaim

Headers = dict[bytes, bytes]

_PRODUCER = ((b"producer-id", "Producer-Id"), (b"producer-epoch", "Producer-Epoch"), (b"producer-seq", "Producer-Seq"))
_PRODUCER_ID_LENGTH = 256
_STREAM_SEQ_LENGTH = 256


def text_of(value: bytes) -> str:
    """A header value as text, one character a byte, so that comparing texts compares bytes."""
    return value.decode("latin-1")


def content_type_in(headers: Headers) -> str | None:
    """The Content-Type, None when it is absent or empty. Raises ``MalformedField``."""
    value = headers.get(b"content-type")
    return _content_type_named(value) if value else None


@lru_cache(1024)
def _content_type_named(value: bytes) -> str:
    return parse_content_type(text_of(value))


@lru_cache(1024)
def content_type_field(content_type: str) -> tuple[bytes, bytes]:
    """The field that tells a stream's content type."""
    return (b"Content-Type", content_type.encode("latin-1"))


def next_offset_field(position: int) -> tuple[bytes, bytes]:
    """The field that tells where to read on."""
    return (b"Stream-Next-Offset", encoded_offset_of(position))


def says_closed(headers: Headers) -> bool:
    """Whether Stream-Closed is ``true``; every other value is as good as none (Section 4.1)."""
    value = headers.get(b"stream-closed")
    return value is not None and value.lower() == b"true"


def stream_seq_in(headers: Headers) -> str | None:
    """The Stream-Seq, None when absent. Raises ``MalformedField``."""
    value = headers.get(b"stream-seq")
    if value is None:
        return None
    if not 0 < len(value) <= _STREAM_SEQ_LENGTH:
        raise MalformedField("Stream-Seq", f"must have from 1 to {_STREAM_SEQ_LENGTH} bytes")
    return text_of(value)


def producer_in(headers: Headers) -> ProducerClaim | None:
    """What the three producer fields say; None when all are absent (Section 5.2.1). Raises ``MalformedField``."""
    if b"producer-id" not in headers and b"producer-epoch" not in headers and b"producer-seq" not in headers:
        return None
    for name, field in _PRODUCER:
        if not headers.get(name):
            raise MalformedField(field, "must be given and not empty when another producer header is given")
    producer_id = headers[b"producer-id"]
    if len(producer_id) > _PRODUCER_ID_LENGTH:
        raise MalformedField("Producer-Id", f"must have at most {_PRODUCER_ID_LENGTH} bytes")
    return ProducerClaim(
        text_of(producer_id),
        parse_integer(text_of(headers[b"producer-epoch"]), "Producer-Epoch"),
        parse_integer(text_of(headers[b"producer-seq"]), "Producer-Seq"),
    )


def if_match_in(headers: Headers) -> tuple[str, ...] | None:
    """The tags of If-Match, None when absent. Raises ``MalformedField``."""
    value = headers.get(b"if-match")
    return None if value is None else parse_if_match(text_of(value))


def query_of(raw: bytes, known: frozenset[str]) -> dict[str, str]:
    """The ``known`` parameters of a query. Others are ignored; raises ``MalformedField`` for one given twice."""
    parameters: dict[str, str] = {}
    for part in raw.split(b"&"):
        name, _, value = part.partition(b"=")
        key = _decoded(name)
        if key not in known:
            continue
        if key in parameters:
            raise MalformedField(key, "must be given only once")
        parameters[key] = _decoded(value)
    return parameters


def _decoded(raw: bytes) -> str:
    if b"%" in raw or b"+" in raw:
        raw = unquote_to_bytes(raw.replace(b"+", b" "))
    return raw.decode("utf-8", "replace")
