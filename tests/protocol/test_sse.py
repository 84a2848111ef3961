"""Server-Sent Events (Section 5.8), read by a small event stream parser written after the HTML standard."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_streams.protocol.content_types import Kind
from durable_streams.protocol.json_messages import stored_form
from durable_streams.protocol.offsets import offset_of
from durable_streams.protocol.sse import KEEP_ALIVE, control_event, data_event, whole_characters

HOSTILE = st.lists(
    st.sampled_from(["\n", "\r", "\r\n", "\n\n", " ", ":", "data:", "event: control", "id: 1", "retry: 0", "é", "\x00"])
    | st.text(max_size=3)
).map("".join)


class Event(NamedTuple):
    """An event as a browser dispatches it; ``last_id`` is what it would send as Last-Event-ID from then on."""

    name: str
    data: str
    last_id: str


def events_in(wire: bytes) -> list[Event]:
    """The events of a whole event stream (HTML standard, 9.2.6): what a browser's EventSource would see."""
    events = []
    name, data, last_id = "", "", ""
    for line in re.split(r"\r\n|\r|\n", wire.decode("utf-8")):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append(Event(name or "message", data.removesuffix("\n"), last_id))
            name, data = "", ""
        elif field == "event":
            name = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            last_id = value
    return events


def only_event_in(wire: bytes) -> Event:
    (event,) = events_in(wire)
    return event


def control(position: int = 5, cursor: int = 1000, *, up_to_date: bool = False, closed: bool = False) -> dict[str, Any]:
    event = only_event_in(control_event(position, cursor, up_to_date, closed))
    assert event.name == "control"
    fields: dict[str, Any] = json.loads(event.data)
    return fields


@given(HOSTILE)
def test_text_arrives_whole_and_forges_nothing(text: str) -> None:
    """Section 5.8: each line has its own ``data:``. A browser sees all line ends as LF; nothing else changes."""
    event = only_event_in(data_event(Kind.TEXT, text.encode(), 1))
    assert event == Event("data", re.sub(r"\r\n|\r", "\n", text), offset_of(1))


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        (b"a", b"event: data\ndata:a\n"),
        (b"a\nb", b"event: data\ndata:a\ndata:b\n"),
        (b"a\r\rb", b"event: data\ndata:a\ndata:\ndata:b\n"),
        (b"a\r\nb\n", b"event: data\ndata:a\ndata:b\ndata:\n"),
        (b" a\n  b", b"event: data\ndata:  a\ndata:   b\n"),
    ],
)
def test_every_line_of_text_has_its_field(text: bytes, wire: bytes) -> None:
    """Section 5.8: "Each line prefixed with data:"; clients drop one space, so a leading one is doubled."""
    assert data_event(Kind.TEXT, text, 1) == wire + b"id:%b\n\n" % offset_of(1).encode()


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_payload_that_looks_like_the_end_of_the_stream_is_data(end: str) -> None:
    """Section 12.3: stream contents are untrusted; they never become a control event."""
    forged = f'x{end}{end}event: control{end}data: {{"streamClosed":true}}{end}{end}'
    assert [event.name for event in events_in(data_event(Kind.TEXT, forged.encode(), 1))] == ["data"]


@given(st.lists(st.one_of(HOSTILE, st.integers(), st.none()), min_size=1, max_size=4), st.sampled_from([None, 1]))
def test_json_arrives_as_an_array_of_the_same_messages(values: list[Any], indent: int | None) -> None:
    """Section 5.8: many messages may be one data event, a JSON array over many lines."""
    stored = stored_form(json.dumps(values, indent=indent, ensure_ascii=False).encode())
    event = only_event_in(data_event(Kind.JSON, stored, 1))
    assert event.name == "data"
    assert json.loads(event.data) == values


def test_json_that_was_written_over_many_lines_stays_valid() -> None:
    """Section 5.8: line ends within a message are white space, in whichever form they came."""
    stored = stored_form(b'{\r\n "a":\r1,\n "b": [ 2,\n  3 ]\n}')
    assert json.loads(only_event_in(data_event(Kind.JSON, stored, 1)).data) == [{"a": 1, "b": [2, 3]}]


@given(st.binary())
def test_binary_data_arrive_as_base64(data: bytes) -> None:
    """Section 5.8: standard base64 (RFC 4648), a multiple of 4 characters, empty for no bytes."""
    wire = data_event(Kind.BINARY, data, 1)
    payload = wire.removeprefix(b"event: data\ndata:").removesuffix(b"\nid:%b\n\n" % offset_of(1).encode())
    assert re.fullmatch(rb"[A-Za-z0-9+/]*={0,2}", payload)
    assert len(payload) % 4 == 0
    assert b64decode(payload, validate=True) == data


def test_a_control_event_tells_where_to_go_on() -> None:
    """Section 5.8: ``streamNextOffset`` always, ``streamCursor`` while the stream is open."""
    assert control(5, 1000) == {"streamNextOffset": offset_of(5), "streamCursor": "1000"}


def test_a_control_event_at_the_tail_says_so() -> None:
    """Section 5.8: ``upToDate: true`` when the client has all there is."""
    assert control(up_to_date=True)["upToDate"] is True
    assert "streamClosed" not in control(up_to_date=True)


def test_the_last_control_event_ends_the_stream() -> None:
    """Section 5.8: ``streamClosed`` and ``upToDate``, and no cursor, for nobody must come back."""
    assert control(9, up_to_date=True, closed=True) == {
        "streamNextOffset": offset_of(9),
        "upToDate": True,
        "streamClosed": True,
    }


def test_a_browser_knows_the_offset_behind_every_event() -> None:
    """HTML standard, 9.2.6: an EventSource that reconnects sends the last id. The data's own event has it already."""
    wire = data_event(Kind.TEXT, b"abc", 3) + control_event(3, 1, True, False) + data_event(Kind.TEXT, b"d", 4)
    assert [event.last_id for event in events_in(wire)] == [offset_of(3), offset_of(3), offset_of(4)]


def test_a_keep_alive_is_no_event() -> None:
    """HTML standard, 9.2.7: a comment keeps proxies from closing an idle connection; clients do not see it."""
    assert events_in(KEEP_ALIVE) == []


@given(HOSTILE)
def test_events_in_a_row_do_not_touch_each_other(text: str) -> None:
    """Section 5.8: every data event is followed by its control event, whatever the data and comments around them."""
    wire = KEEP_ALIVE + data_event(Kind.TEXT, text.encode(), 1) + control_event(1, 2, True, False) + KEEP_ALIVE
    assert [event.name for event in events_in(wire)] == (["data", "control"])


@given(st.text(), st.integers(min_value=0))
def test_text_is_cut_between_characters_only(text: str, at: int) -> None:
    """Section 5.8: data events carry UTF-8, although reads end at any byte."""
    encoded = text.encode()
    part = encoded[: at % (len(encoded) + 1)]
    length = whole_characters(part)
    assert text.startswith(part[:length].decode())
    assert len(part) - length < 4
    assert length == len(part) or not _is_utf8(part)


@given(st.binary(max_size=12))
def test_bytes_that_are_no_text_are_never_held_back_for_long(data: bytes) -> None:
    """A producer of broken text cannot stop its readers: less than one character waits for the next append."""
    length = whole_characters(data)
    assert len(data) - 3 <= length <= len(data)


@pytest.mark.parametrize(
    "broken", [b"a\x80", b"a\xff", b"\xc0", b"\xc1", b"\xf5", b"\xc3\xa9\x80", b"\xf0\x9f\x98\x80\x80"]
)
def test_bytes_that_no_append_can_complete_are_not_held_back(broken: bytes) -> None:
    """RFC 3629: these begin no character, so waiting for its end would be waiting for ever."""
    assert whole_characters(broken) == len(broken)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
