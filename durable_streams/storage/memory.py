"""Streams in memory: fast, and gone when the process ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from durable_streams.errors import (
    StreamError,
    StreamGone,
    StreamNotFound,
)
from durable_streams.interfaces import IMeasured, IStorage
from durable_streams.measures import Measure
from durable_streams.protocol.appending import decide_append
from durable_streams.protocol.commands import Append, Command, Create, Delete
from durable_streams.protocol.creation import confirm_existing, decide_create
from durable_streams.protocol.events import Appended, StreamCreated, StreamDeleted, Trimmed
from durable_streams.protocol.reading import start_of
from durable_streams.protocol.results import (
    AppendResult,
    CreateResult,
    Page,
    Slice,
    StreamDescription,
    describe,
)
from durable_streams.protocol.stream import Stream
from durable_streams.storage.byte_log import ByteLog
from durable_streams.storage.expiry_queue import ExpiryQueue
from durable_streams.storage.listed_catalog import ListedCatalog
from durable_streams.storage.stream_ids import StreamIds
from durable_streams.storage.trim_queue import TrimQueue


@implementer(IStorage, IMeasured)
class MemoryStorage:
    """Keeps every stream in this process. ``clock`` gives the time; its ``seconds()`` are since 1970."""

    durability = "in memory only: nothing survives the end of the process"

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._catalog = ListedCatalog()
        self._logs: dict[int, ByteLog] = {}
        """By id, of the streams that have had bytes of their own."""
        self._expiry = ExpiryQueue()
        self._trims = TrimQueue()
        self._ids = StreamIds()
        self._expired: list[str] = []
        self._performed: Callable[[Command, Any], object] = lambda command, result: None

    def announce_to(self, performed: Callable[[Command, Any], object]) -> None:
        self._performed = performed

    def open(self) -> Deferred[str]:
        return succeed("in memory, empty")

    def close(self) -> Deferred[None]:
        return succeed(None)

    def failure(self) -> str | None:
        return None

    def measures(self) -> list[Measure]:
        return [Measure("resident_streams", "Streams in memory.", len(self._catalog.by_id))]

    def create(self, command: Create) -> Deferred[CreateResult]:
        now = self._clock.seconds()
        try:
            existing = self._lookup(command.path, now)
            source = self._lookup(command.fork.source, now) if command.fork else None
            if existing is not None:
                confirm_existing(existing, source, command)
                return succeed(CreateResult(describe(existing, now), False))
            event = decide_create(command, source, self._ids.next(now), now)
        except StreamError as refusal:
            return fail(refusal)
        result = CreateResult(describe(self._create(event), now), True)
        self._performed(command, result)
        return succeed(result)

    def _create(self, event: StreamCreated) -> Stream:
        stream = self._catalog.create(event)
        if event.data:
            self._keep(stream, stream.beginning, event.data)
        self._expiry.add(stream)
        if stream.boundaries is not None:
            self._drop_trimmed(stream)
        return stream

    def append(self, command: Append) -> Deferred[AppendResult]:
        now = self._clock.seconds()
        try:
            stream = self._stream(command.path, now)
            event = decide_append(stream, command, now)
        except StreamError as refusal:
            return fail(refusal)
        if event is not None:
            self._append(stream, event)
        claim = command.producer
        producer = None if claim is None else stream.producers.get(claim.producer_id)
        result = AppendResult(stream.stream_id, stream.tail, stream.closed, event is None, producer)
        if event is not None:
            self._performed(command, result)
        return succeed(result)

    def _append(self, stream: Stream, event: Appended) -> None:
        stream.apply_append(event)
        if event.data:
            self._keep(stream, event.start, event.data)
            if stream.boundaries is not None:
                self._drop_trimmed(stream)

    def _keep(self, stream: Stream, start: int, data: bytes) -> None:
        log = self._logs.get(stream.stream_id)
        if log is None:
            log = self._logs[stream.stream_id] = ByteLog(start)
        log.append(data)

    def _drop_trimmed(self, stream: Stream) -> None:
        """Give back the memory of what neither the stream nor a fork needs."""
        self._trims.add(stream)
        log = self._logs.get(stream.stream_id)
        if log is None:
            return
        low, high = stream.lent or (stream.earliest, stream.earliest)
        log.drop_before(min(low, stream.earliest))
        if high < stream.earliest:
            log.drop_within(high, stream.earliest)

    def delete(self, command: Delete) -> Deferred[None]:
        now = self._clock.seconds()
        try:
            self._delete(self._stream(command.path, now), now)
        except StreamError as refusal:
            return fail(refusal)
        self._performed(command, None)
        return succeed(None)

    def _delete(self, stream: Stream, now: float) -> None:
        for removed in self._catalog.apply(StreamDeleted(stream.stream_id, now)):
            self._logs.pop(removed.stream_id, None)
            if removed.fork is not None and (source := self._catalog.by_id.get(removed.fork.source_id)) is not None:
                self._drop_trimmed(source)

    def describe(self, path: str) -> Deferred[StreamDescription]:
        now = self._clock.seconds()
        try:
            return succeed(describe(self._stream(path, now), now))
        except StreamError as refusal:
            return fail(refusal)

    def read(self, path: str, position: int | None, limit: int) -> Deferred[Slice]:
        now = self._clock.seconds()
        try:
            stream = self._stream(path, now)
            seen = describe(stream, now)
            start = start_of(seen, position)
        except StreamError as refusal:
            return fail(refusal)
        stream.accessed_at = now
        return succeed(Slice(seen, start, self._bytes(stream, start, limit)))

    def _bytes(self, stream: Stream, start: int, limit: int) -> bytes:
        """Bytes of the stream, or of the source from which a fork inherits them."""
        stop = start + limit
        while stream.fork is not None and start < stream.fork.position:
            stop = min(stop, stream.fork.position)
            stream = self._catalog.by_id[stream.fork.source_id]
        log = self._logs.get(stream.stream_id)
        return b"" if log is None else log.read(start, stop)

    def list_streams(self, prefix: str, after: str, limit: int) -> Deferred[Page]:
        now = self._clock.seconds()
        by_path = self._catalog.by_path
        found: list[StreamDescription] = []
        for path in self._catalog.paths.below(prefix, after):
            stream = by_path[path]
            if not stream.is_there(now):
                continue
            if len(found) == limit:
                return succeed(Page(found, True))
            found.append(describe(stream, now))
        return succeed(Page(found, False))

    def expire(self) -> Deferred[list[str]]:
        self._trim()
        return succeed(self._expire())

    def _trim(self) -> None:
        now = self._clock.seconds()
        for stream in self._trims.overdue(now, self._catalog.by_id):
            self._catalog.apply(Trimmed(stream.stream_id, now, stream.earliest_at(now)))
            self._drop_trimmed(stream)

    def _expire(self) -> list[str]:
        now = self._clock.seconds()
        for stream in self._expiry.expired(now, self._catalog.by_id):
            self._remove_expired(stream, now)
        removed, self._expired = self._expired, []
        return removed

    def _remove_expired(self, stream: Stream, now: float) -> None:
        self._delete(stream, now)
        self._expired.append(stream.path)

    def keep(self, path: str) -> None:
        stream = self._catalog.by_path.get(path)
        if stream is not None and not stream.soft_deleted:
            stream.accessed_at = self._clock.seconds()

    def _lookup(self, path: str, now: float) -> Stream | None:
        """The stream at a path, soft-deleted ones included, unless it has just expired for good."""
        stream = self._catalog.by_path.get(path)
        if stream is not None and not stream.soft_deleted and stream.has_expired(now):
            self._remove_expired(stream, now)
            return self._catalog.by_path.get(path)
        return stream

    def _stream(self, path: str, now: float) -> Stream:
        stream = self._lookup(path, now)
        if stream is None:
            raise StreamNotFound(path)
        if stream.soft_deleted:
            raise StreamGone(path)
        return stream
