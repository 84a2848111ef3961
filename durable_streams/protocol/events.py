"""What has happened to streams: the only way in which their state changes, live and when a journal is replayed.

``at`` is in seconds since 1970. Data is in stored form (see ``json_messages`` for JSON streams).
"""

from __future__ import annotations

from msgspec import Struct

from durable_streams.protocol.producers import ProducerClaim
from durable_streams.protocol.retention import Retention


class ForkPoint(Struct, frozen=True, array_like=True):
    """Where a stream branched off: below ``position`` its bytes are the source's.

    ``anchor`` (None: the tail at that time) and ``sub_offset`` are what the request named; they decide whether a
    repeated creation asks for the same fork.
    """

    source_id: int
    source_path: str
    position: int
    anchor: int | None
    sub_offset: int


class StreamCreated(Struct, frozen=True, array_like=True, tag=1):
    """``earliest`` is where what a fork inherits begins."""

    stream_id: int
    at: float
    path: str
    content_type: str
    ttl: int | None
    expires_at: float | None
    fork: ForkPoint | None
    data: bytes
    closed: bool
    retention: Retention | None = None
    earliest: int = 0


class Appended(Struct, frozen=True, array_like=True, tag=2):
    """Data, producer state, Stream-Seq and closure in one: they become durable together or not at all."""

    stream_id: int
    at: float
    start: int
    data: bytes
    stream_seq: str | None
    producer: ProducerClaim | None
    closed: bool


class StreamDeleted(Struct, frozen=True, array_like=True, tag=3):
    """Deleted by a client or expired."""

    stream_id: int
    at: float


class StreamAccessed(Struct, frozen=True, array_like=True, tag=4):
    """A read restarted the sliding window of a stream with a TTL."""

    stream_id: int
    at: float


class Trimmed(Struct, frozen=True, array_like=True, tag=5):
    """What lies before ``earliest`` was too old. What goes because of other limits follows from ``Appended``."""

    stream_id: int
    at: float
    earliest: int


Event = StreamCreated | Appended | StreamDeleted | StreamAccessed | Trimmed
