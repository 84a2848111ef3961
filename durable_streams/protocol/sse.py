"""Server-Sent Events: data and control events (Section 5.8)."""

from __future__ import annotations

import re
from base64 import b64encode

import msgspec

from durable_streams.protocol.content_types import Kind
from durable_streams.protocol.json_messages import array_of
from durable_streams.protocol.offsets import offset_of

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment: browsers and clients ignore it, proxies see traffic."""

_LINE_END = re.compile(rb"\r\n|\r|\n")
_INCOMPLETE = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")


def data_event(kind: Kind, stored: bytes, end: int) -> bytes:
    """One ``data`` event: JSON as an array, text with every line on its own, anything else as base64.

    CR, LF and CRLF all end a line in an event stream, so a payload can never close its event or forge another.
    ``end`` is the position behind the data; a browser's EventSource keeps its offset and resumes from there.
    """
    if kind is Kind.BINARY:
        return b"event: data\ndata:%b\n%b\n" % (b64encode(stored), _id_line(end))
    payload = array_of(stored) if kind is Kind.JSON else stored
    if b"\n" in payload or b"\r" in payload:
        payload = _LINE_END.sub(b"\ndata:", payload)
    lines = b"event: data\ndata:%b\n" % payload
    if b"\ndata: " in lines:
        # Clients drop one space after the colon, so a line that begins with one gets another.
        lines = lines.replace(b"\ndata: ", b"\ndata:  ")
    return b"%b%b\n" % (lines, _id_line(end))


def control_event(position: int, cursor: int, up_to_date: bool, closed: bool) -> bytes:
    """The ``control`` event that follows every data event; ``closed`` says that ``position`` is the end for ever."""
    control: dict[str, str | bool] = {"streamNextOffset": offset_of(position)}
    if not closed:
        control["streamCursor"] = str(cursor)
    if up_to_date:
        control["upToDate"] = True
    if closed:
        control["streamClosed"] = True
    return b"event: control\ndata:%b\n%b\n" % (msgspec.json.encode(control), _id_line(position))


def _id_line(position: int) -> bytes:
    return b"id:%b\n" % offset_of(position).encode()


def trimmed_event(position: int, earliest: int) -> bytes:
    """The last ``control`` event for a reader whose ``position`` is no longer retained: it has missed something."""
    control = {"streamNextOffset": offset_of(position), "streamEarliestOffset": offset_of(earliest)}
    return b"event: control\ndata:%b\n\n" % msgspec.json.encode(control)


def whole_characters(text: bytes) -> int:
    """The length of the part of ``text`` that does not end within a UTF-8 character."""
    incomplete = _INCOMPLETE.search(text, max(0, len(text) - 3))
    return incomplete.start() if incomplete else len(text)
