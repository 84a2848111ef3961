"""What can be refused, as data. HTTP statuses live in ``durable_streams.web.problems`` alone."""

from __future__ import annotations

from dataclasses import dataclass


class StreamError(Exception):
    """Every refusal of this package. Subclasses are dataclasses: read their fields, do not parse their text."""

    def __str__(self) -> str:
        return repr(self)


@dataclass(eq=False)
class MalformedField(StreamError):
    """A header, query parameter or argument is not written as it must be.

    ``field`` is its name as users know it (``Stream-TTL``, ``offset``), ``requirement`` says what would be right.
    """

    field: str
    requirement: str


@dataclass(eq=False)
class StreamNotFound(StreamError):
    """There is no stream at ``path``: never created, deleted, or expired."""

    path: str


@dataclass(eq=False)
class StreamGone(StreamError):
    """The stream at ``path`` is soft-deleted: forks still need its data (Section 4.2)."""

    path: str


@dataclass(eq=False)
class StreamConflict(StreamError):
    """A stream exists at ``path`` with another configuration; ``differing`` names the fields (Section 5.1)."""

    path: str
    differing: tuple[str, ...]


@dataclass(eq=False)
class StreamIsClosed(StreamError):
    """No append can follow: the stream ended at position ``tail`` (Section 5.2)."""

    path: str
    tail: int


@dataclass(eq=False)
class ContentTypeMismatch(StreamError):
    """An append or a fork names another content type than the stream's (Sections 5.2 and 4.2)."""

    path: str
    expected: str
    received: str


@dataclass(eq=False)
class StreamSeqRegression(StreamError):
    """``Stream-Seq`` did not grow (Section 5.2)."""

    path: str
    last: str
    received: str


@dataclass(eq=False)
class PreconditionFailed(StreamError):
    """The stream is no longer as ``If-Match`` names it; ``etag`` is its state now (RFC 9110, 13.1.1)."""

    path: str
    etag: str


@dataclass(eq=False)
class EmptyAppend(StreamError):
    """An append without bytes, or of an empty JSON array, that does not close the stream (Sections 5.2 and 9.1.3)."""

    path: str


@dataclass(eq=False)
class InvalidMessages(StreamError):
    """A body for a JSON stream is not JSON; ``reason`` says where it breaks (Section 9.1.4)."""

    reason: str


@dataclass(eq=False)
class ProducerFenced(StreamError):
    """A newer epoch of the producer is known (Section 5.2.1)."""

    producer_id: str
    current_epoch: int


@dataclass(eq=False)
class ProducerSequenceGap(StreamError):
    """An earlier batch of the producer has not arrived (Section 5.2.1)."""

    producer_id: str
    expected: int
    received: int


@dataclass(eq=False)
class ProducerEpochStart(StreamError):
    """A new epoch must begin with sequence number 0 (Section 5.2.1)."""

    producer_id: str
    received: int


@dataclass(eq=False)
class OffsetBeyondTail(StreamError):
    """A read starts after the stream's end: the offset belongs to another stream."""

    path: str
    position: int
    tail: int


@dataclass(eq=False)
class OffsetTrimmed(StreamError):
    """A read, or a fork, starts before ``earliest``, where the stream begins now: retention has dropped the rest."""

    path: str
    position: int
    earliest: int


@dataclass(eq=False)
class OffsetInsideMessage(StreamError):
    """A read of a JSON stream starts within a message: the offset was not minted by this service."""

    path: str
    position: int


@dataclass(eq=False)
class ForkSourceGone(StreamError):
    """A soft-deleted stream cannot be forked (Section 4.2)."""

    path: str


@dataclass(eq=False)
class ForkBeyondTail(StreamError):
    """The fork offset lies after the source's tail (Section 4.2)."""

    path: str
    position: int
    tail: int


@dataclass(eq=False)
class ForkInsideMessage(StreamError):
    """The fork offset lies within a message of a JSON source: it was not minted by this service (Section 8)."""

    path: str
    position: int


@dataclass(eq=False)
class ForkSubOffsetBeyond(StreamError):
    """The sub-offset counts further than the source has data after the fork offset (Section 4.2)."""

    path: str
    sub_offset: int


@dataclass(eq=False)
class StorageUnavailable(StreamError):
    """The storage cannot accept this now; nothing was changed. ``retry_after`` is in seconds."""

    reason: str
    retry_after: int


@dataclass(eq=False)
class StorageFailed(StreamError):
    """The storage met an error that it cannot undo and accepts no more writes; ``reason`` is for the operator."""

    reason: str
