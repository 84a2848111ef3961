"""Response heads, byte by byte."""

from __future__ import annotations

import pytest

from durable_streams.web.http11.head import UnsafeHeader, response_head
from durable_streams.web.request import HeaderBlock, HeaderList, Response

DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


def head(headers: HeaderList, framing: bytes = b"", shared: HeaderList | None = None, status: int = 200) -> bytes:
    return response_head(Response(status, headers, b"", HeaderBlock(shared or [])), DATE, framing)


def test_a_head_has_the_shared_fields_then_its_own_then_the_framing() -> None:
    own: HeaderList = [(b"ETag", b'"1"'), (b"Vary", b"Origin")]
    framing = b"Connection: close\r\nContent-Length: 7\r\n"

    assert head(own, framing, [(b"A", b"b"), (b"C", b"d")]) == (
        b"HTTP/1.1 200 OK\r\n" + DATE + b'A: b\r\nC: d\r\nETag: "1"\r\nVary: Origin\r\n' + framing + b"\r\n"
    )


def test_a_head_may_lack_fields_and_framing() -> None:
    assert head([]) == b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\n"
    assert head([(b"A", b"")]) == b"HTTP/1.1 200 OK\r\n" + DATE + b"A: \r\n\r\n"
    assert head([], b"Content-Length: 0\r\n") == b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: 0\r\n\r\n"


def test_a_status_that_nobody_knows_is_told_nevertheless() -> None:
    assert head([], status=299).startswith(b"HTTP/1.1 299 Unknown\r\n")


@pytest.mark.parametrize("unsafe", [b"\n", b"\r", b"\r\n", b"\0"])
@pytest.mark.parametrize("place", [b"%bx", b"x%bx", b"x%b"])
def test_a_field_that_would_break_out_of_its_line_is_refused(unsafe: bytes, place: bytes) -> None:
    text = place % unsafe
    safe = (b"ETag", b'"1"')

    for field in ((b"Location", text), (text, b"/")):
        for headers in ([field], [safe, field], [field, safe]):
            with pytest.raises(UnsafeHeader):
                head(headers)
