"""The state of one stream, without its bytes."""

from __future__ import annotations

from msgspec import Struct

from durable_streams.protocol.content_types import Kind, kind_of
from durable_streams.protocol.events import Appended, ForkPoint, StreamCreated, Trimmed
from durable_streams.protocol.producers import ProducerClaim, ProducerState
from durable_streams.protocol.retention import Boundaries, Retention


class Stream(Struct, eq=False, gc=False):
    """One stream as the events so far have made it. Only events change it, live and replayed by the same code.

    ``tail`` is the position after the last byte. ``forks`` counts the forks that need this stream's bytes (Section 2,
    "Reference Count"). ``closed_by`` is the producer's claim of the append that closed it, if it had one.

    ``earliest`` is where the stream begins now. ``boundaries`` is there when the stream has a retention policy.
    ``lent`` spans what its forks have inherited: those bytes are needed, whatever the stream itself has dropped.

    Streams may be millions, and refer to nothing that refers to them: the collector need not know of any.
    """

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
    earliest: int
    closed_by: ProducerClaim | None = None
    stream_seq: str | None = None
    producers: dict[str, ProducerState] = {}
    forks: int = 0
    soft_deleted: bool = False
    lent: tuple[int, int] | None = None
    boundaries: Boundaries | None = None

    @classmethod
    def created_by(cls, event: StreamCreated) -> Stream:
        """The stream as it begins."""
        fork, data = event.fork, event.data
        beginning = 0 if fork is None else fork.position
        stream = cls(
            event.stream_id,
            event.path,
            event.content_type,
            kind_of(event.content_type),
            event.ttl,
            event.expires_at,
            event.at,
            event.at,
            fork,
            beginning + len(data),
            event.closed,
            event.earliest,
        )
        if event.retention is not None:
            stream.boundaries = Boundaries(event.retention, stream.kind, beginning)
            stream._note(beginning, data, event.at)
        return stream

    @property
    def beginning(self) -> int:
        """The position of the first byte of its own; below it a fork's bytes are its source's."""
        return self.fork.position if self.fork else 0

    @property
    def deadline(self) -> float | None:
        """When the stream expires unless it is accessed before; None is never."""
        return self.expires_at if self.ttl is None else self.accessed_at + self.ttl

    def is_there(self, now: float) -> bool:
        """Whether it has neither been deleted nor expired."""
        return not self.soft_deleted and not self.has_expired(now)

    def has_expired(self, now: float) -> bool:
        if self.ttl is None and self.expires_at is None:
            return False
        end = self.deadline
        return end is not None and now >= end

    @property
    def retention(self) -> Retention | None:
        """Its policy; None keeps everything."""
        return None if self.boundaries is None else self.boundaries.policy

    def earliest_at(self, now: float) -> int:
        """Where the stream begins at that time, when all that is too old by then is gone."""
        boundaries = self.boundaries
        return self.earliest if boundaries is None else self._begins_at(boundaries.earliest_at(now))

    def _begins_at(self, own: int) -> int:
        """Where the stream begins when its own messages begin at ``own``: what it inherited goes before they do."""
        return self.earliest if own == self.beginning else own

    def needed(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The parts of a range of its own bytes that the stream or its forks need, in order."""
        low, high = self.lent or (stop, stop)
        spans = [(low, min(high, self.earliest)), (self.earliest, stop)]
        return [(max(low, start), min(high, stop)) for low, high in spans if max(low, start) < min(high, stop)]

    def lend(self, fork: StreamCreated) -> None:
        """Count a fork of this stream, and keep what it inherits."""
        self.forks += 1
        assert fork.fork is not None
        if fork.earliest < fork.fork.position:
            low, high = self.lent or (fork.earliest, fork.fork.position)
            self.lent = (min(low, fork.earliest), max(high, fork.fork.position))

    def release(self) -> None:
        """A fork of this stream is gone. What was lent is needed until the last one is."""
        self.forks -= 1
        if not self.forks:
            self.lent = None

    def apply_trim(self, event: Trimmed) -> None:
        if self.boundaries is not None:
            self.boundaries.drop_before(event.earliest)
            self.earliest = max(self.earliest, event.earliest)

    def _note(self, start: int, data: bytes, at: float) -> None:
        if data and self.boundaries is not None:
            self.boundaries.append(start, data, at)
            self.earliest = self._begins_at(self.boundaries.start)

    def apply_append(self, event: Appended) -> None:
        if self.boundaries is not None:
            self._note(event.start, event.data, event.at)
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
