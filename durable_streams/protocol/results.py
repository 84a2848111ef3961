"""What the service answers: plain data, positions as integers."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from durable_streams.protocol.content_types import Kind
from durable_streams.protocol.etags import etag
from durable_streams.protocol.json_messages import SEPARATOR, messages_of
from durable_streams.protocol.offsets import offset_of
from durable_streams.protocol.producers import ProducerState
from durable_streams.protocol.retention import Retention
from durable_streams.protocol.stream import Stream


class StreamDescription(Struct, frozen=True):
    """A stream's configuration and state. ``stream_id`` is never reused, not even for the same path.

    ``earliest`` is where the stream begins now: what was before it is gone (see ``retention``).
    """

    path: str
    stream_id: int
    content_type: str
    kind: Kind
    tail: int
    closed: bool
    ttl: int | None
    expires_at: float | None
    created_at: float
    earliest: int = 0
    retention: Retention | None = None

    @property
    def earliest_offset(self) -> str:
        """The offset of the first byte that is left."""
        return offset_of(self.earliest)

    @property
    def etag(self) -> str:
        """The state of the stream, as an append's If-Match may name it."""
        return etag(self.stream_id, self.tail, self.tail, self.closed)


class CreateResult(Struct, frozen=True):
    """The stream as it is now, and whether this command made it."""

    stream: StreamDescription
    created: bool


class AppendResult(Struct, frozen=True):
    """The tail after an append, and whether the stream is closed.

    ``duplicate`` says that the batch had been accepted before; ``producer`` is what the stream knows of the producer.
    """

    stream_id: int
    tail: int
    closed: bool
    duplicate: bool
    producer: ProducerState | None

    @property
    def next_offset(self) -> str:
        """The offset of the tail."""
        return offset_of(self.tail)

    @property
    def etag(self) -> str:
        """The state after the append, as the next one's If-Match may name it."""
        return etag(self.stream_id, self.tail, self.tail, self.closed)


class Message(Struct, frozen=True):
    """A message of a JSON stream: its raw bytes, and the offset from which to read on behind it."""

    data: bytes
    next_offset: str


class Slice(Struct, frozen=True):
    """Stored bytes from ``start`` on, and the stream at that moment. ``closed`` tells of the stream, not the slice."""

    stream: StreamDescription
    start: int
    data: bytes

    @property
    def end(self) -> int:
        """The position after the last byte."""
        return self.start + len(self.data)

    @property
    def etag(self) -> str:
        """The tag of the slice; when it reaches the tail, it names the state of the stream too."""
        return etag(self.stream.stream_id, self.start, self.end, self.at_end)

    @property
    def next_offset(self) -> str:
        """The offset from which to read on."""
        return offset_of(self.end)

    @property
    def messages(self) -> list[bytes]:
        """The raw bytes of each message of a JSON stream."""
        return messages_of(self.data)

    def each_message(self) -> Iterator[Message]:
        """The messages of a JSON stream, each with the offset behind it."""
        position = self.start
        for data in self.messages:
            position += len(data) + len(SEPARATOR)
            yield Message(data, offset_of(position))

    @property
    def up_to_date(self) -> bool:
        """Whether the slice reaches the tail."""
        return self.end == self.stream.tail

    @property
    def at_end(self) -> bool:
        """Whether nothing can ever follow the slice."""
        return self.stream.closed and self.up_to_date


class Page(Struct, frozen=True):
    """Part of a listing; ``more`` says whether streams follow the last one."""

    streams: list[StreamDescription]
    more: bool


def describe(stream: Stream, now: float) -> StreamDescription:
    """The public description of a stream's state at that time."""
    return StreamDescription(
        stream.path,
        stream.stream_id,
        stream.content_type,
        stream.kind,
        stream.tail,
        stream.closed,
        stream.ttl,
        stream.expires_at,
        stream.created_at,
        stream.earliest_at(now),
        stream.retention,
    )
