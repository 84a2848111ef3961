"""What has become too old: streams that have expired, and bytes beyond a maximal age, in memory and out of it."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed

from durable_streams.errors import StreamError, StreamNotFound
from durable_streams.protocol.results import StreamDescription
from durable_streams.protocol.stream import Stream
from durable_streams.storage.expiry_queue import ExpiryQueue
from durable_streams.storage.local.arrivals import Arrivals
from durable_streams.storage.local.base import BEFORE_ALL, BaseStore, Deadline
from durable_streams.storage.local.base_failure import unreadable
from durable_streams.storage.local.residents import Residents
from durable_streams.storage.local.workers import Offload
from durable_streams.storage.trim_queue import TrimQueue, overdue_at

COLD_SWEEP = 5.0
_COLD_SWEEP_STREAMS = 500
_FIRST = (0.0, 0)


class Streams(Protocol):
    """What the sweeper asks of the storage."""

    def remove_expired(self, stream: Stream) -> None:
        """Delete it durably. Raises ``StreamNotFound`` when nothing can be written now."""

    def trim(self, stream: Stream, now: float) -> None:
        """Drop durably what is too old."""

    def describe(self, path: str) -> Deferred[StreamDescription]:
        """As ``IStorage.describe``: brings the stream into memory, where it expires."""


class Sweeper:
    """Finds what is too old among the streams in memory; every few seconds, some more in the base store."""

    def __init__(self, streams: Streams, residents: Residents) -> None:
        self._streams = streams
        self._residents = residents
        self._expiry = ExpiryQueue()
        self._trims = TrimQueue()
        self._next_cold_sweep = 0.0
        self._trimmed_up_to: tuple[float, int] = _FIRST
        self._expired_up_to = BEFORE_ALL

    def watch(self, stream: Stream) -> None:
        """Look after a stream that has come into memory."""
        self._expiry.add(stream)
        self._trims.add(stream)

    def watch_age(self, stream: Stream) -> None:
        """Look after what its oldest message is now; may be repeated at every append."""
        self._trims.add(stream)

    def sweep(self, now: float) -> None:
        """Look at the streams in memory."""
        by_id = self._residents.catalog.by_id
        for stream in self._expiry.expired(now, by_id):
            try:
                self._streams.remove_expired(stream)
            except StreamNotFound:
                self._expiry.add(stream)
        for stream in self._trims.overdue(now, by_id):
            self._streams.trim(stream, now)

    def sweep_cold(self, now: float, arrivals: Arrivals, base: BaseStore, read: Offload) -> Deferred[None]:
        """Look at some streams that are not in memory, if it is time for that."""
        if now < self._next_cold_sweep or arrivals.base_is_empty:
            return succeed(None)
        due = read(lambda: self._due_in_base(base, now))
        return due.addCallback(self._bring_in, now, arrivals).addErrback(unreadable)

    def _due_in_base(self, base: BaseStore, now: float) -> tuple[list[Deadline], list[str]]:
        """Some streams that have expired, and paths of some that hold what is too old."""
        overdue = base.overdue_paths(now, self._trimmed_up_to, _COLD_SWEEP_STREAMS)
        self._trimmed_up_to = overdue[-1][1:] if len(overdue) == _COLD_SWEEP_STREAMS else _FIRST
        expired = base.expired(now, self._expired_up_to, _COLD_SWEEP_STREAMS)
        return expired, [path for path, _, _ in overdue]

    def _bring_in(self, due: tuple[list[Deadline], list[str]], now: float, arrivals: Arrivals) -> None:
        """Bring some into memory; those that have gone or live on stay in the base store for now: go on behind them."""
        expired, overdue = due
        if len(expired) == _COLD_SWEEP_STREAMS:
            self._expired_up_to = expired[-1]
        else:
            self._expired_up_to = BEFORE_ALL
            self._next_cold_sweep = now + COLD_SWEEP
        for _, _, path in expired:
            if not self._residents.knows(path):
                self._streams.describe(path).addErrback(lambda failure: failure.trap(StreamError) and None)
        for path in overdue:
            if not self._residents.knows(path):
                trimmed: Deferred[Any] = arrivals.when_resident((path,), partial(self._trim_overdue, path, now))
                trimmed.addErrback(lambda _: None)

    def _trim_overdue(self, path: str, now: float) -> Deferred[None]:
        hot = self._residents.find(path)
        due = None if hot is None or hot.stream.soft_deleted else overdue_at(hot.stream)
        if hot is not None and due is not None and due <= now:
            self._streams.trim(hot.stream, now)
        return succeed(None)
