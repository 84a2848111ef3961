"""The event stream parser (WHATWG HTML, 9.2.6; Section 5.8)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_streams.client.sse_events import Event, EventParser


def events_in(*pieces: bytes) -> list[Event]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_each_line_end_ends_lines_and_events(end: bytes) -> None:
    """LF, CR and CRLF all end a line, and an empty line dispatches."""
    stream = end.join([b"event: data", b"data: one", b"data: two", b"", b"data: three", b"", b""])
    assert events_in(stream) == [Event(b"data", b"one\ntwo"), Event(b"message", b"three")]


def test_a_cr_at_the_end_of_a_piece_and_its_lf_are_one_line_end() -> None:
    """CRLF may be cut in two."""
    assert events_in(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [Event(b"message", b"a\nb")]


def test_an_lf_that_follows_a_cut_crlf_is_a_line_end_of_its_own() -> None:
    """Only the first LF after a CR belongs to it."""
    assert events_in(b"data: a\r", b"\n", b"\n") == [Event(b"message", b"a")]


@pytest.mark.parametrize("character", ["\u0085", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_other_separators_are_data(character: str) -> None:
    """What Python's text calls a line end is none here."""
    text = f"before{character}after".encode()
    assert events_in(b"data: " + text + b"\n\n") == [Event(b"message", text)]


def test_exactly_one_leading_space_is_stripped() -> None:
    """The second space belongs to the data."""
    assert events_in(b"data:none\ndata: one\ndata:  two\n\n") == [Event(b"message", b"none\none\n two")]


def test_a_field_without_a_colon_has_an_empty_value() -> None:
    """``data`` alone adds an empty line, ``event`` alone the default type."""
    assert events_in(b"event: x\nevent\ndata\ndata\n\n") == [Event(b"message", b"\n")]


def test_an_empty_data_line_is_an_event() -> None:
    """A line ``data:`` is an event with empty data."""
    assert events_in(b"event: data\ndata:\n\n") == [Event(b"data", b"")]


def test_comments_and_unknown_fields_are_skipped() -> None:
    """Comments, ``id``, ``retry`` and names nobody knows leave no trace; names are case-sensitive."""
    stream = b": hello\nid: 7\nretry: 10\nDATA: no\n data: no\ndata: yes\n\n"
    assert events_in(stream) == [Event(b"message", b"yes")]


def test_a_type_without_data_is_no_event_and_is_forgotten() -> None:
    """An event without data is not dispatched, and its type does not leak into the next."""
    assert events_in(b"event: control\n\ndata: x\n\n") == [Event(b"message", b"x")]


def test_an_event_that_the_end_cuts_off_is_never_seen() -> None:
    """Without its empty line an event is incomplete."""
    assert events_in(b"data: whole\n\ndata: half\n") == [Event(b"message", b"whole")]


def test_a_byte_order_mark_is_skipped_at_the_beginning_only() -> None:
    """One mark may precede the stream; a later one is data."""
    mark = b"\xef\xbb\xbf"
    assert events_in(mark[:1], mark[1:] + b"data: " + mark + b"\n\n") == [Event(b"message", mark)]


LINES = st.sampled_from(
    [b"data: x", b"data:", b"data", b"event: control", b"event: data", b": comment", b"", b"data: \xc3\xa9", b"junk"]
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])


@given(st.lists(st.tuples(LINES, ENDS)), st.lists(st.integers(0, 200)))
def test_where_a_stream_is_cut_makes_no_difference(lines: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    """The network cuts anywhere: the events are those of the whole stream."""
    stream = b"".join(line + end for line, end in lines)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(edges)]
    assert events_in(*pieces) == events_in(stream)


@pytest.mark.timeout(60)
def test_a_long_line_in_many_pieces_takes_linear_time() -> None:
    """20 MB in pieces of 100 bytes: copying what came before with each piece would take many minutes."""
    parser = EventParser()
    parser.feed(b"data: ")
    for _ in range(200_000):
        parser.feed(b"x" * 100)
    (event,) = parser.feed(b"\n\n")
    assert len(event.data) == 20_000_000
