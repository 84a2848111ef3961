"""Where retention has dropped what a reading would get next: an error with the earliest offset, or a jump."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError

from durable_streams.client import OffsetTrimmed, StreamGone, StreamHandle
from durable_streams.protocol.offsets import offset_of
from durable_streams.protocol.retention import Retention
from durable_streams.testing import MemoryServer
from tests.client.outcomes import error_of, is_waiting, result_of

MODES = [None, "long-poll", "sse", "auto"]


@pytest.fixture
def letters(server: MemoryServer) -> StreamHandle:
    """A stream of ``abcde`` that keeps the last two letters, one by one."""
    result_of(server.service.create("letters", content_type="text/plain", retention=Retention(max_messages=2)))
    for letter in (b"a", b"b", b"c", b"d", b"e"):
        result_of(server.service.append("letters", letter))
    return server.stream("letters")


def test_a_policy_is_asked_for_and_shown(server: MemoryServer) -> None:
    handle = server.stream("s")
    result_of(handle.create(content_type="text/plain", max_age=60, max_messages=2, max_bytes=100, data="abc"))
    retention = result_of(server.service.describe("s")).retention
    assert retention is not None
    assert retention.limits == (60, 2, 100)
    result_of(handle.append("d"))
    result_of(handle.append("e"))
    assert result_of(handle.head()).earliest_offset == offset_of(3)


@pytest.mark.parametrize("live", MODES)
def test_a_gap_is_an_error_that_knows_where_the_stream_begins(
    server: MemoryServer, letters: StreamHandle, live: Any
) -> None:
    reading = letters.read(offset_of(1), live)
    error = error_of(reading.next_batch(), OffsetTrimmed)
    assert isinstance(error, StreamGone)
    assert (error.status, error.code, error.earliest_offset) == (410, "OFFSET_TRIMMED", offset_of(3))
    reading.close()


@pytest.mark.parametrize("live", MODES)
def test_a_reading_can_jump(server: MemoryServer, letters: StreamHandle, live: Any) -> None:
    reading = letters.read(offset_of(1), live, on_gap="jump")
    batch = result_of(reading.next_batch())
    assert batch is not None
    assert (batch.data, batch.offset) == (b"de", offset_of(5))
    reading.close()


def test_who_jumps_can_be_told(server: MemoryServer, letters: StreamHandle) -> None:
    gaps: list[OffsetTrimmed] = []
    assert result_of(letters.read_text(offset_of(0), on_gap=gaps.append).collect()) == "de"
    assert [gap.earliest_offset for gap in gaps] == [offset_of(3)]


def test_a_callable_may_refuse(server: MemoryServer, letters: StreamHandle) -> None:
    def refuse(gap: OffsetTrimmed) -> None:
        raise ValueError(gap.earliest_offset)

    error = error_of(letters.read(offset_of(0), on_gap=refuse).next_batch(), ValueError)
    assert str(error) == offset_of(3)


def test_at_the_earliest_offset_nothing_is_missing(server: MemoryServer, letters: StreamHandle) -> None:
    assert result_of(letters.read(offset_of(3)).collect()) == b"de"
    assert result_of(letters.read().collect()) == b"de"


@pytest.mark.parametrize("live", ["long-poll", "sse"])
def test_a_live_reading_that_is_overtaken(server: MemoryServer, letters: StreamHandle, live: Any) -> None:
    """It was up to date; then more was dropped at once than it could get."""
    gaps: list[OffsetTrimmed] = []
    reading = letters.read(offset_of(5), live, on_gap=gaps.append)
    pending = reading.next_batch()
    server.advance()
    if pending.called:  # an event stream begins with its state
        pending = reading.next_batch()
    assert is_waiting(pending)
    for letter in (b"f", b"g", b"h", b"i"):
        result_of(server.service.append("letters", letter))
    data = b""
    for _ in range(10):
        server.advance(1)
        if pending.called:
            batch = result_of(pending)
            assert batch is not None
            data += batch.data
            pending = reading.next_batch()
    # A long-poll is answered with the first letter at once; the rest is gone when it asks again.
    assert data == (b"fhi" if live == "long-poll" else b"hi")
    assert [gap.earliest_offset for gap in gaps] == [offset_of(7)]
    reading.close()
    error_of(pending, CancelledError)


def test_half_a_character_before_a_gap_is_forgotten(server: MemoryServer) -> None:
    result_of(server.service.create("t", content_type="text/plain", retention=Retention(max_messages=2)))
    euro = "\u20ac".encode()
    result_of(server.service.append("t", b"a" + euro[:2]))
    handle = server.stream("t")
    reading = handle.read_text(live="long-poll", on_gap="jump")
    first = result_of(reading.next_batch())
    assert first is not None
    assert first.data == "a"
    pending = reading.next_batch()
    for part in (euro[2:], b"b", b"c"):
        result_of(server.service.append("t", part))
    texts = []
    for _ in range(5):
        server.advance(1)
        if pending.called:
            batch = result_of(pending)
            assert batch is not None
            texts.append(batch.data)
            pending = reading.next_batch()
    reading.close()
    error_of(pending, CancelledError)
    assert "\ufffd" not in "".join(texts)
    assert "".join(texts).endswith("bc")
