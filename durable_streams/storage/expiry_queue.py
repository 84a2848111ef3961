"""Which streams may have expired, found without a timer per stream and without looking at all of them."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush

from durable_streams.protocol.stream import Stream

SLACK = 1000


class ExpiryQueue:
    """Streams in the order of the deadlines that they once had.

    A sliding deadline moves at every access; an entry is only looked at again when its old time has come.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[float, int]] = []

    def add(self, stream: Stream) -> None:
        end = stream.deadline
        if end is not None:
            heappush(self._entries, (end, stream.stream_id))

    def expired(self, now: float, streams: Mapping[int, Stream]) -> list[Stream]:
        """Take out the streams of ``streams``, which are all there are in memory, that have expired by ``now``."""
        if len(self._entries) > 2 * len(streams) + SLACK:
            self._forget_all_but(streams)
        found: dict[int, Stream] = {}
        while self._entries and self._entries[0][0] <= now:
            stream = streams.get(heappop(self._entries)[1])
            if stream is None or stream.soft_deleted:
                continue
            if stream.has_expired(now):
                found[stream.stream_id] = stream
            else:
                self.add(stream)
        return list(found.values())

    def _forget_all_but(self, streams: Mapping[int, Stream]) -> None:
        """Streams that were deleted, or left memory and came back, have left entries that may last for years."""
        ends = ((stream.deadline, stream.stream_id) for stream in streams.values())
        self._entries = [(end, stream_id) for end, stream_id in ends if end is not None]
        heapify(self._entries)
