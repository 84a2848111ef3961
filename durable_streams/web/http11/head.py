"""Response heads, with what repeats made once."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus

from durable_streams.web.request import Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_BODYLESS = frozenset((204, 304))
# As numbers, which are found much faster in bytes than other bytes are.
_LF, _CR, _NUL = b"\n\r\0"


class UnsafeHeader(Exception):
    """A header field would have broken out of its line."""


def date_line(now: float) -> bytes:
    """The Date field."""
    return b"Date: %b\r\n" % formatdate(now, usegmt=True).encode("ascii")


def response_head(response: Response, date: bytes, framing: bytes) -> bytes:
    """The head of a response up to its empty line; ``framing`` are the fields of the connection and the body.

    Raises ``UnsafeHeader`` rather than let a line end inside a field reach the wire.
    """
    lines = [b": ".join(field) for field in response.headers]
    written = b"".join(lines)
    if _LF in written or _CR in written or _NUL in written:
        raise UnsafeHeader
    lines.append(framing)
    status = _STATUS_LINES.get(response.status) or b"HTTP/1.1 %d Unknown\r\n" % response.status
    return b"".join((status, date, response.shared.wire, b"\r\n".join(lines), b"\r\n"))


def has_no_body(response: Response, method: bytes) -> bool:
    """Whether the response ends with its head (RFC 9112, 6.3)."""
    return response.status in _BODYLESS or method == b"HEAD"
