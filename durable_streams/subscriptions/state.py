"""The state of subscriptions, as plain data. Times are seconds since 1970, positions bytes."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from durable_streams.subscriptions.configuration import Configuration


class Definition(Struct, frozen=True):
    """What stays the same as long as a subscription lives.

    ``root`` is the URL of the stream root as the client wrote it, with its final slash.
    """

    subscription_id: str
    configuration: Configuration
    root: str
    created_at: float


class Wake(Struct, frozen=True):
    """A wake in flight (Section 7).

    ``stream`` is the one that caused it. ``holder`` is the worker that has claimed it; a webhook's receiver has no
    name. ``lease_until`` is None while nobody has it. ``delivered`` says that it was written to the wake stream, or
    that the receiver has accepted it.
    """

    wake_id: str
    stream: str
    holder: str | None = None
    lease_until: float | None = None
    delivered: bool = False


class Progress(Struct, frozen=True):
    """How far the delivery of a subscription has come.

    ``generation`` is that of the wake in flight, or of the last one. ``failures`` counts the deliveries that have
    failed one after the other; ``next_attempt_at`` is when the next may be tried.
    """

    generation: int = 0
    wake: Wake | None = None
    failures: int = 0
    next_attempt_at: float | None = None

    @property
    def status(self) -> Literal["active", "failed"]:
        """``failed`` from a failed delivery until one that succeeds (Section 6.3)."""
        return "failed" if self.failures else "active"


class Link(Struct, frozen=True):
    """The cursor of a subscription in one stream (Section 6.1).

    ``stream_id`` tells a stream from one that replaces it at the same path; 0 stands for no stream. ``acked`` is the
    position up to which everything was processed.
    """

    explicit: bool
    matched: bool
    stream_id: int
    acked: int

    @property
    def link_type(self) -> Literal["explicit", "glob"]:
        """``explicit`` takes precedence."""
        return "explicit" if self.explicit else "glob"


class StreamState(Struct, frozen=True):
    """One linked stream as a wake shows it (Section 7.1); ``stream_id`` stays inside the service."""

    path: str
    link: Link
    tail: int

    @property
    def has_pending(self) -> bool:
        return self.tail > self.link.acked


class Ack(Struct, frozen=True):
    """``stream`` is processed up to ``offset``, inclusive."""

    stream: str
    offset: str


class Report(Struct, frozen=True):
    """What a worker says of its wake: the acks, and whether it has finished (Sections 7.1 and 7.2)."""

    wake_id: str
    generation: int
    acks: tuple[Ack, ...] = ()
    done: bool = False
