"""Content types: syntax, equality and kinds (Sections 5.2, 5.8 and 9)."""

from __future__ import annotations

import pytest

from durable_streams.errors import MalformedField
from durable_streams.protocol.content_types import DEFAULT, Kind, kind_of, media_type, parse_content_type

WELL_FORMED = [
    "text/plain",
    "application/vnd.example.v1+json",
    "TEXT/HTML;Charset=UTF-8",
    "text/plain; charset=utf-8; format=flowed",
    'text/plain; title="a; b, \\"c\\""',
    "text/plain;",
    "text/plain ; charset=utf-8",
]

MALFORMED = [
    "",
    "text",
    "text/",
    "/plain",
    "text/plain/more",
    "text plain",
    "text/plain, text/html",
    "text/plain; charset",
    "text/plain; charset=",
    "text/plain; charset=a b",
    'text/plain; title="open',
    "text/plain\r\nX-Injected: 1",
    "text/plain\n",
    "täxt/plain",
]


@pytest.mark.parametrize("value", WELL_FORMED)
def test_a_well_formed_type_is_kept_as_written(value: str) -> None:
    """Section 5.1: the header sets the stream's content type."""
    assert parse_content_type(value) == value


@pytest.mark.parametrize("value", MALFORMED)
def test_a_malformed_type_is_refused(value: str) -> None:
    """Section 5.2: invalid header syntax is a malformed request."""
    with pytest.raises(MalformedField) as refusal:
        parse_content_type(value)
    assert refusal.value.field == "Content-Type"


@pytest.mark.parametrize("value", ["text/plain", "Text/PLAIN", "text/plain;charset=utf-8", "text/plain ; charset=x"])
def test_types_are_equal_by_media_type_alone(value: str) -> None:
    """Section 12.4: types must match; case and parameters make no difference."""
    assert media_type(value) == "text/plain"


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("application/json", Kind.JSON),
        ("APPLICATION/JSON; charset=utf-8", Kind.JSON),
        ("text/plain", Kind.TEXT),
        ("Text/Event-Stream", Kind.TEXT),
        ("text/json", Kind.TEXT),
        ("application/ndjson", Kind.BINARY),
        ("application/problem+json", Kind.BINARY),
        ("application/jsonx", Kind.BINARY),
        ("textual/plain", Kind.BINARY),
        (DEFAULT, Kind.BINARY),
    ],
)
def test_the_type_decides_how_bytes_are_framed(content_type: str, kind: Kind) -> None:
    """Sections 5.8 and 9.1: ``application/json`` has messages, ``text/*`` is text over SSE, all else is base64."""
    assert kind_of(content_type) is kind
