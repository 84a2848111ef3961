"""The state of a stream."""

from __future__ import annotations

import pytest

from durable_streams.protocol.events import StreamCreated
from durable_streams.protocol.stream import Stream


@pytest.mark.parametrize(
    ("ttl", "expires_at", "end"),
    [(None, None, None), (60, None, 1060.0), (0, None, 1000.0), (None, 5000.0, 5000.0), (None, 0.0, 0.0)],
)
def test_a_stream_ends_a_window_after_its_last_access_or_at_its_time(
    ttl: int | None, expires_at: float | None, end: float | None
) -> None:
    """Section 5.1: the TTL slides with every read and write, the absolute expiry does not."""
    stream = Stream.created_by(StreamCreated(1, 900.0, "s", "text/plain", ttl, expires_at, None, b"", False))
    stream.accessed_at = 1000.0
    assert stream.deadline == end
    assert not stream.has_expired(999.0 if end is None else end - 1)
    assert end is None or stream.has_expired(end)
