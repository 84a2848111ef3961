"""A stream in memory: what has been decided, and what readers may see of it."""

from __future__ import annotations

from durable_streams.protocol.results import StreamDescription
from durable_streams.protocol.stream import Stream
from durable_streams.storage.byte_log import ByteLog


class HotStream:
    """``stream`` and ``log`` are the decided state, on which the next command builds.

    ``earliest``, ``tail`` and ``closed`` are the durable view. ``pending`` counts events on their way to the disk;
    ``segment`` is the newest one that holds an event of the stream. Up to ``folded_tail`` the bytes are in the base
    store too.
    ``journaled_access`` is the last access that is on disk, or on its way. ``children`` counts forks in memory.
    ``boundaries_size`` is what the stream's boundaries count for in the budget.
    """

    __slots__ = (
        "boundaries_size",
        "children",
        "closed",
        "earliest",
        "folded_tail",
        "journaled_access",
        "log",
        "pending",
        "segment",
        "stream",
        "tail",
    )

    def __init__(self, stream: Stream, log_start: int) -> None:
        self.stream = stream
        self.log = ByteLog(log_start)
        self.earliest = stream.earliest
        self.tail = stream.tail
        self.closed = stream.closed
        self.pending = 0
        self.segment = 0
        self.folded_tail = log_start
        self.journaled_access = stream.accessed_at
        self.children = 0
        self.boundaries_size = 0

    def earliest_at(self, now: float) -> int:
        """Where the stream begins for readers: what is too old by then is gone, swept or not."""
        boundaries = self.stream.boundaries
        if boundaries is None:
            return self.earliest
        begins = boundaries.earliest_at(now)
        if begins == boundaries.start:
            # Nothing is too old; what was decided to go is not durable yet, or it is in ``earliest``.
            return self.earliest
        return max(self.earliest, min(begins, self.tail))

    def describe(self, now: float) -> StreamDescription:
        """The stream as readers may see it at that time."""
        stream = self.stream
        return StreamDescription(
            stream.path,
            stream.stream_id,
            stream.content_type,
            stream.kind,
            self.tail,
            self.closed,
            stream.ttl,
            stream.expires_at,
            stream.created_at,
            self.earliest_at(now),
            stream.retention,
        )
