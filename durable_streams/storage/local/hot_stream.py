"""A stream in memory: what has been decided, and what readers may see of it."""

from __future__ import annotations

from durable_streams.protocol.results import StreamDescription
from durable_streams.protocol.stream import Stream
from durable_streams.storage.byte_log import ByteLog


class HotStream:
    """``stream`` and ``log`` are the decided state, on which the next command builds.

    ``tail`` and ``closed`` are the durable view. ``pending`` counts events on their way to the disk; ``segment`` is the
    newest one that holds an event of the stream. Up to ``folded_tail`` the bytes are in the base store too.
    ``journaled_access`` is the last access that is on disk, or on its way. ``children`` counts forks in memory.
    """

    __slots__ = (
        "children",
        "closed",
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
        self.tail = stream.tail
        self.closed = stream.closed
        self.pending = 0
        self.segment = 0
        self.folded_tail = log_start
        self.journaled_access = stream.accessed_at
        self.children = 0

    def describe(self) -> StreamDescription:
        """The stream as readers may see it."""
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
        )
