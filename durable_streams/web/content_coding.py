"""gzip on the wire: bodies inflated within bounds, answers compressed for those who accept that (RFC 9110, 8.4).

SSE is never compressed: all readers of a stream share the same bytes, and a compressor has a state for each connection.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

from durable_streams.errors import MalformedField
from durable_streams.protocol.content_types import media_type
from durable_streams.web.fields import Headers, text_of
from durable_streams.web.problems import encoded_body, too_large
from durable_streams.web.request import Request

SMALLEST = 1024
"""Bytes of a body from which compressing it is worth the while."""

ENCODED = (b"Content-Encoding", b"gzip")
VARY = (b"Vary", b"Accept-Encoding")

_GZIP_FORMAT = 31
# 1 MiB of JSON takes 9 ms at this level and 20 at the usual one, on the machine of docs/benchmarks.md.
_FAST = 1
_PIECE = 64 * 1024
_MOST_MEMBERS = 10_000
_COMPRESSIBLE = ("application/json", "application/xml", "application/javascript", "application/x-ndjson")


def decode_body(request: Request, limit: int) -> None:
    """Make a request's body what its Content-Encoding says it is.

    Raises the problems 413 for one that is larger than ``limit``, before or after, and 415 for an unknown coding, or
    ``MalformedField``.
    """
    if len(request.body) > limit:
        raise too_large(limit)
    coding = request.headers.get(b"content-encoding")
    if coding is None or coding.lower() == b"identity":
        return
    if coding.lower() not in (b"gzip", b"x-gzip"):
        raise encoded_body()
    request.body = _inflated(request.body, limit)


def _inflated(body: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    at = size = 0
    for _ in range(_MOST_MEMBERS):
        member = zlib.decompressobj(_GZIP_FORMAT)
        while not member.eof:
            piece = body[at : at + _PIECE]
            if not piece:
                raise MalformedField("Content-Encoding", "is gzip, but the body ends too early")
            at += len(piece)
            parts.append(_more(member, piece, limit + 1 - size))
            size += len(parts[-1])
            if size > limit:
                raise too_large(limit)
        at -= len(member.unused_data)
        if at == len(body):
            return b"".join(parts)
    raise MalformedField("Content-Encoding", f"is gzip, but the body has more than {_MOST_MEMBERS} members")


def _more(member: zlib._Decompress, piece: bytes, most: int) -> bytes:
    try:
        return member.decompress(piece, most)
    except zlib.error:
        raise MalformedField("Content-Encoding", "is gzip, but the body is not") from None


def compressed(body: bytes) -> bytes:
    """The body as gzip."""
    return zlib.compress(body, _FAST, _GZIP_FORMAT)


@lru_cache(1024)
def is_compressible(content_type: str) -> bool:
    """Whether content of this type becomes smaller; most formats of pictures, sound and archives are compressed."""
    media = media_type(content_type)
    return media.startswith("text/") or media.endswith(("+json", "+xml")) or media in _COMPRESSIBLE


def accepts_gzip(headers: Headers) -> bool:
    """Whether the client would rather have gzip than the plain body (RFC 9110, 12.5.3)."""
    accepted = headers.get(b"accept-encoding")
    return accepted is not None and _prefers_gzip(text_of(accepted))


@lru_cache(256)
def _prefers_gzip(accepted: str) -> bool:
    weights: dict[str, float] = {}
    for item in accepted.lower().split(","):
        coding, *parameters = [part.strip() for part in item.split(";")]
        weights[coding] = _weight(parameters)
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _weight(parameters: list[str]) -> float:
    """The q-value; one that is malformed refuses the coding."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
