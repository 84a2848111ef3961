"""Which streams have expired, without a timer for each and without remembering those that are gone."""

from __future__ import annotations

from durable_streams.protocol.events import StreamCreated
from durable_streams.protocol.stream import Stream
from durable_streams.storage.expiry_queue import SLACK, ExpiryQueue


def _stream(number: int, end: float) -> Stream:
    return Stream.created_by(StreamCreated(number, 0.0, f"s{number}", "text/plain", None, end, None, b"", False))


def test_streams_that_come_and_go_leave_nothing_behind() -> None:
    """A stream with a late deadline that is loaded again and again, and thousands that were deleted long before."""
    queue = ExpiryQueue()
    stays = {1: _stream(1, 1e9)}
    for number in range(5 * SLACK):
        queue.add(stays[1])
        queue.add(_stream(number + 2, 1e9))
        assert queue.expired(0, stays) == []
    assert len(queue._entries) <= SLACK + 10
    assert queue.expired(1e9, stays) == [stays[1]]
