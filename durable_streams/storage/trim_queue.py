"""Which streams hold what is too old, found without a timer per stream and without looking at all of them."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush

from durable_streams.protocol.stream import Stream

_SOONEST = 1.0
_LATEST = 3600.0


class TrimQueue:
    """Streams with a maximal age, in the order in which their oldest message once was to become too old.

    Readers never see what is too old (``Stream.earliest_at``), and an append drops it. So only the bytes of streams
    that rest have to be given back, and that may come somewhat later: after a 64th of the age.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[float, int]] = []
        self._queued: set[int] = set()

    def add(self, stream: Stream) -> None:
        """Look at the stream when its oldest message has become too old; nothing happens when it is awaited already."""
        if stream.boundaries is None or stream.stream_id in self._queued:
            return
        due = overdue_at(stream)
        if due is not None:
            self._queued.add(stream.stream_id)
            heappush(self._entries, (due, stream.stream_id))

    def overdue(self, now: float, streams: Mapping[int, Stream]) -> list[Stream]:
        """Take out the streams of ``streams`` that hold what is long too old by ``now``."""
        found = []
        while self._entries and self._entries[0][0] <= now:
            stream_id = heappop(self._entries)[1]
            self._queued.discard(stream_id)
            stream = streams.get(stream_id)
            if stream is None or stream.soft_deleted:
                continue
            due = overdue_at(stream)
            if due is not None and due <= now:
                found.append(stream)
            else:
                self.add(stream)
        return found


def overdue_at(stream: Stream) -> float | None:
    """When the bytes of the stream's oldest message should be given back; None is never."""
    boundaries = stream.boundaries
    if boundaries is None or boundaries.due is None or boundaries.policy.max_age is None:
        return None
    return boundaries.due + min(max(_SOONEST, boundaries.policy.max_age / 64), _LATEST)
