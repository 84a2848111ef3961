"""The state of one stream, without its bytes."""

from __future__ import annotations

from durable_streams.protocol.content_types import Kind, kind_of
from durable_streams.protocol.events import Appended, ForkPoint, StreamCreated
from durable_streams.protocol.expiry import deadline
from durable_streams.protocol.producers import ProducerClaim, ProducerState


class Stream:
    """One stream as the events so far have made it. Changed only by ``Catalog.apply``.

    ``tail`` is the position after the last byte. ``forks`` counts the forks that need this stream's bytes (Section 2,
    "Reference Count"). ``closed_by`` is the producer's claim of the append that closed it, if it had one.
    """

    __slots__ = (
        "accessed_at",
        "closed",
        "closed_by",
        "content_type",
        "created_at",
        "expires_at",
        "fork",
        "forks",
        "kind",
        "path",
        "producers",
        "soft_deleted",
        "stream_id",
        "stream_seq",
        "tail",
        "ttl",
    )  # fmt: skip

    stream_id: int
    path: str
    content_type: str
    kind: Kind
    ttl: int | None
    expires_at: float | None
    created_at: float
    accessed_at: float
    fork: ForkPoint | None
    tail: int
    closed: bool
    closed_by: ProducerClaim | None
    stream_seq: str | None
    producers: dict[str, ProducerState]
    forks: int
    soft_deleted: bool

    def __init__(self, created: StreamCreated) -> None:
        self.stream_id = created.stream_id
        self.path = created.path
        self.content_type = created.content_type
        self.kind = kind_of(created.content_type)
        self.ttl = created.ttl
        self.expires_at = created.expires_at
        self.created_at = self.accessed_at = created.at
        self.fork = created.fork
        self.tail = self.beginning + len(created.data)
        self.closed = created.closed
        self.closed_by = None
        self.stream_seq = None
        self.producers = {}
        self.forks = 0
        self.soft_deleted = False

    @property
    def beginning(self) -> int:
        """The position of the first byte of its own; below it a fork's bytes are its source's."""
        return self.fork.position if self.fork else 0

    @property
    def deadline(self) -> float | None:
        """When the stream expires unless it is accessed before; None is never."""
        return deadline(self.ttl, self.expires_at, self.accessed_at)

    def has_expired(self, now: float) -> bool:
        end = self.deadline
        return end is not None and now >= end

    def apply_append(self, event: Appended) -> None:
        self.tail = event.start + len(event.data)
        self.accessed_at = event.at
        if event.stream_seq is not None:
            self.stream_seq = event.stream_seq
        claim = event.producer
        if claim is not None:
            self.producers[claim.producer_id] = ProducerState(claim.epoch, claim.seq)
        if event.closed:
            self.closed = True
            self.closed_by = claim
