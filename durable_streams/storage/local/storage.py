"""Streams on the local disk: durable, with the recent past in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from durable_streams.errors import (
    StorageFailed,
    StorageUnavailable,
    StreamError,
    StreamGone,
    StreamNotFound,
)
from durable_streams.interfaces import IMeasured, IStorage
from durable_streams.measures import Measure, Timing
from durable_streams.protocol.appending import decide_append
from durable_streams.protocol.commands import Append, Command, Create, Delete
from durable_streams.protocol.creation import confirm_existing, decide_create
from durable_streams.protocol.events import Event, StreamAccessed, StreamCreated, StreamDeleted, Trimmed
from durable_streams.protocol.reading import start_of
from durable_streams.protocol.results import AppendResult, CreateResult, Page, Slice, StreamDescription
from durable_streams.protocol.stream import Stream
from durable_streams.storage.local.arrivals import Arrivals
from durable_streams.storage.local.base import BaseStore, connect
from durable_streams.storage.local.cold_bytes import ColdBytes
from durable_streams.storage.local.committer import Committer
from durable_streams.storage.local.directory import JOURNAL, DataDirectory
from durable_streams.storage.local.entries import AppendEntry, EventEntry
from durable_streams.storage.local.files import Files, OsFiles
from durable_streams.storage.local.hot_stream import HotStream
from durable_streams.storage.local.journal import Journal
from durable_streams.storage.local.listing import Listing
from durable_streams.storage.local.migration import migrate
from durable_streams.storage.local.recovery import recover
from durable_streams.storage.local.residents import Residents, access_staleness
from durable_streams.storage.local.runs import BaseDamaged
from durable_streams.storage.local.segment import encode_append, encode_event
from durable_streams.storage.local.settings import LocalSettings
from durable_streams.storage.local.space import Space
from durable_streams.storage.local.sweeper import Sweeper
from durable_streams.storage.local.unsettled import Unsettled
from durable_streams.storage.local.workers import Folder, Workers
from durable_streams.storage.stream_ids import StreamIds

_log = Logger()
_T = TypeVar("_T")

_SLOWEST = 0.1


@implementer(IStorage, IMeasured)
class LocalStorage:
    """Keeps streams in a directory of this machine.

    A command is decided at once, on what was decided before, and written to the journal; when its batch has been
    synced it becomes visible and is acknowledged. Sealed journal segments are folded into the base store by the
    checkpointer.
    """

    durability = "on disk: what was acknowledged survives a crash of the process or the machine"

    def __init__(
        self,
        directory: Path,
        clock: IReactorTime,
        workers: Workers,
        settings: LocalSettings | None = None,
        files: Callable[[Path], Files] = OsFiles,
    ) -> None:
        self._directory = DataDirectory(directory)
        self._clock = clock
        self._workers = workers
        self._settings = settings or LocalSettings()
        self._make_files = files
        self._residents = Residents(self._settings.hot_bytes)
        self._sweeper = Sweeper(self, self._residents)
        self._expired: list[str] = []
        self._performed: Callable[[Command, Any], object] = lambda command, result: None
        self._refusing = False
        self._closing = False

    def announce_to(self, performed: Callable[[Command, Any], object]) -> None:
        self._performed = performed

    # --- opening and closing

    def open(self) -> Deferred[str]:
        try:
            return succeed(self._open())
        except (OSError, sqlite3.Error, BaseDamaged) as error:
            return self._cannot_open(StorageFailed(f"{self._directory.path}: {error}"))
        except StorageFailed as failure:
            return self._cannot_open(failure)

    def _cannot_open(self, failure: StorageFailed) -> Deferred[str]:
        if hasattr(self, "_base"):
            self._base.connection.close()
        self._directory.close()
        return fail(failure)

    def _open(self) -> str:
        self._directory.open()
        self._workers.start()
        path = self._directory.path
        self._files = self._make_files(path / JOURNAL)
        self._base = BaseStore(connect(path), self._files)
        migrate(self._base.connection)
        recovery = recover(self._base, self._files, self._residents)
        recovered = recovery.journal
        for hot in self._residents.hot.values():
            self._sweeper.watch(hot.stream)
        self._ids = StreamIds(recovery.last_stream_id)
        self._arrivals = Arrivals(
            self._residents, self._base, self._workers.read, self._sweeper.watch, recovery.base_is_empty
        )
        self._cold = ColdBytes(self._base.runs, self._workers.read, self.describe)
        self._listing = Listing(self._base, self._residents.catalog.paths, self._workers.read, self.describe)
        self._journal = Journal(self._files, recovered.newest, self._settings.segment_bytes)
        self._committer = Committer(
            self._journal,
            self._clock,
            self._workers.write,
            self._workers.write_ahead,
            self._delay_of_overload,
            self._batch_done,
            self._settings,
        )
        self._unsettled = Unsettled(self._residents, self._committer)
        self._space = Space(self._journal, self._committer, self._workers.allocate)
        self._folder: Folder = self._workers.folder(path, self._segment_folded, self._segment_free)
        self._sealed = self._journal.number - 1
        for number in range(self._residents.folded + 1, recovered.newest + 1):
            self._folder.fold(number)
        self._space.prepare()
        return f"{path}: {recovered.events} events recovered from {recovered.segments} journal segments"

    def close(self) -> Deferred[None]:
        if self._closing or not hasattr(self, "_folder"):
            return succeed(None)
        self._closing = True
        self._look_at_load()
        self._space.refuse(self._unavailable())
        done = self._unsettled.settled()
        done.addErrback(lambda _: None)
        done.addCallback(lambda _: self._folder.stop())
        return done.addCallback(self._release)

    def _release(self, _: object) -> None:
        if self._committer.failure is None:
            self._seal()
        self._workers.stop()
        self._base.connection.close()
        self._directory.close()

    def _seal(self) -> None:
        try:
            self._journal.seal()
        except OSError as error:
            _log.error("the journal could not be sealed: {error}; the next start will do that", error=str(error))

    # --- health

    def failure(self) -> str | None:
        if self._committer.failure is not None:
            return f"the journal failed: {self._committer.failure.getErrorMessage()}"
        return self._folder.trouble or self._space.trouble

    def measures(self) -> list[Measure | Timing]:
        if not hasattr(self, "_committer"):
            return []
        residents, committer = self._residents, self._committer
        return [
            Timing("commit_seconds", "Writing and syncing one batch of the journal.", committer.timing),
            Measure("journal_bytes", "Bytes of records committed to the journal.", committer.committed_bytes, True),
            Measure("journal_waiting_bytes", "Bytes that wait for the next commit.", committer.waiting_bytes),
            Measure("journal_segments_waiting", "Sealed segments that are not in the base store yet.", self._unfolded),
            Measure("hot_bytes", "Memory that recent bytes and active streams count for.", residents.bytes),
            Measure("resident_streams", "Streams in memory.", len(residents.hot)),
        ]

    def _batch_done(self) -> None:
        failure = self._committer.failure
        if failure is None:
            newest = self._committer.segment - 1
            if newest == self._sealed:
                self._space.pass_on()
            else:
                self._fold_sealed(newest)
            return
        self._look_at_load()
        self._space.refuse(StorageFailed(f"the journal failed: {failure.getErrorMessage()}"))
        _log.critical(
            "the journal failed: {reason}; no more writes are accepted, reads go on. Restart the service when the "
            "disk is sound again: what was acknowledged is safe.",
            reason=failure.getErrorMessage(),
        )

    @property
    def _unfolded(self) -> int:
        return self._journal.number - 1 - self._residents.folded

    def _delay_of_overload(self) -> float:
        """Seconds by which commits are held back while the checkpointer is behind."""
        behind = self._unfolded - self._settings.slow_segments
        return 0.0 if behind <= 0 else min(_SLOWEST, behind * 0.005)

    def _look_at_load(self) -> None:
        behind = self._unfolded >= self._settings.most_segments
        self._refusing = behind or self._closing or self._committer.failure is not None

    def _segment_folded(self, segment: int) -> None:
        self._arrivals.base_is_empty = False
        self._residents.segment_folded(segment)
        self._look_at_load()

    def _segment_free(self, segment: int) -> None:
        try:
            self._journal.retire(segment)
        except FileNotFoundError:
            return  # the checkpointer says it again when it could not note that it had
        except OSError as error:
            _log.error("journal segment {segment} cannot be removed: {error}", segment=segment, error=str(error))

    def _unavailable(self) -> StorageUnavailable:
        return StorageUnavailable("The service is stopping" if self._closing else "The checkpointer is behind", 1)

    # --- commands

    def create(self, command: Create) -> Deferred[CreateResult]:
        paths = (command.path,) if command.fork is None else (command.path, command.fork.source)
        length = len(command.body) + sum(map(len, paths))
        return self._admitted(paths, length, lambda: self._create(command, paths))

    def _create(self, command: Create, paths: tuple[str, ...]) -> Deferred[CreateResult]:
        now = self._clock.seconds()
        try:
            existing = self._lookup(command.path)
            forked = self._lookup(command.fork.source) if command.fork else None
            source = None if forked is None else forked.stream
            if existing is not None:
                confirm_existing(existing.stream, source, command)
                return self._unsettled.answer(command.path, lambda: CreateResult(existing.describe(now), False))
            event = decide_create(command, source, self._ids.next(now), now)
        except StreamError as refusal:
            return self._unsettled.refuse(refusal, *paths)
        return self._commit(event, command.path, lambda: self._created(command, event))

    def _created(self, command: Create, event: StreamCreated) -> CreateResult:
        stream = Stream.created_by(event)
        self._sweeper.watch(stream)
        result = CreateResult(HotStream(stream, stream.tail).describe(event.at), True)
        self._performed(command, result)
        return result

    def append(self, command: Append) -> Deferred[AppendResult]:
        length = len(command.body)
        if command.stream_seq is not None:
            length += len(command.stream_seq)
        if command.producer is not None:
            length += len(command.producer.producer_id)
        hot = self._residents.find(command.path)
        now = self._clock.seconds()
        if hot is None or self._refusing or not self._space.admits(length) or not hot.stream.is_there(now):
            return self._admitted((command.path,), length, lambda: self._append_if_there(command))
        return self._append(command, hot, now)

    def _append_if_there(self, command: Append) -> Deferred[AppendResult]:
        try:
            hot = self._hot(command.path)
        except StreamError as refusal:
            return self._unsettled.refuse(refusal, command.path)
        return self._append(command, hot, self._clock.seconds())

    def _append(self, command: Append, hot: HotStream, now: float) -> Deferred[AppendResult]:
        stream = hot.stream
        try:
            event = decide_append(stream, command, now)
        except StreamError as refusal:
            return self._unsettled.refuse(refusal, command.path)
        claim = command.producer
        if event is None:
            producer = None if claim is None else stream.producers.get(claim.producer_id)
            return self._unsettled.answer(
                command.path, lambda: AppendResult(stream.stream_id, hot.tail, hot.closed, True, producer)
            )
        if stream.boundaries is not None:
            # What is too old by now stays out of sight, although it is only forgotten durably with this event.
            hot.earliest = hot.earliest_at(now)
        self._residents.append(hot, event)
        hot.pending += 1
        hot.journaled_access = now
        producer = None if claim is None else stream.producers.get(claim.producer_id)
        done: Deferred[AppendResult] = Deferred()
        result = AppendResult(stream.stream_id, stream.tail, stream.closed, False, producer)
        durable = self._residents.committed
        if stream.boundaries is not None:
            durable = partial(self._on_trim, stream.earliest)
        self._committer.submit(encode_append(event), AppendEntry(hot, command, result, durable, self._performed, done))
        return done

    def _on_trim(self, earliest: int, hot: HotStream, segment: int) -> None:
        """An event that may have dropped something is durable: the stream begins at ``earliest`` from now on."""
        self._residents.begins_at(hot, earliest)
        self._sweeper.watch_age(hot.stream)
        self._residents.committed(hot, segment)

    def delete(self, command: Delete) -> Deferred[None]:
        return self._admitted((command.path,), 0, lambda: self._delete(command))

    def _delete(self, command: Delete) -> Deferred[None]:
        try:
            hot = self._hot(command.path)
        except StreamError as refusal:
            return self._unsettled.refuse(refusal, command.path)
        event = StreamDeleted(hot.stream.stream_id, self._clock.seconds())
        return self._commit(event, command.path, lambda: self._deleted(command))

    def _deleted(self, command: Delete) -> None:
        self._performed(command, None)

    def _commit(self, event: Event, path: str, performed: Callable[[], _T]) -> Deferred[_T]:
        """Apply an event that changes which streams there are; nobody looks at their paths before it is durable.

        ``performed`` is called when it is; the Deferred fires with what that gives.
        """
        affected = self._residents.apply(event)
        paths = {path, *(hot.stream.path for hot in affected)}
        for hot in affected:
            hot.pending += 1
        self._unsettled.begin(paths)
        done: Deferred[_T] = Deferred()

        def settle(segment: int) -> _T:
            for hot in affected:
                self._residents.committed(hot, segment)
            for one in paths:
                self._residents.deletion_committed(one, segment)
                self._unsettled.end(one)
            return performed()

        self._committer.submit(encode_event(event), EventEntry(settle, done))
        return done

    def _fold_sealed(self, newest: int) -> None:
        for number in range(self._sealed + 1, newest + 1):
            self._folder.fold(number)
        self._sealed = newest
        self._look_at_load()
        self._space.prepare()

    # --- waiting for what must come first

    def _admitted(self, paths: tuple[str, ...], length: int, go: Callable[[], Deferred[_T]]) -> Deferred[_T]:
        """Call ``go`` when memory knows what is at the paths and the journal has room for ``length`` bytes."""
        return self._arrivals.when_resident(paths, lambda: self._with_room(paths, length, go, self._space.admits))

    def _with_room(
        self, paths: tuple[str, ...], length: int, go: Callable[[], Deferred[_T]], passes: Callable[[int], bool]
    ) -> Deferred[_T]:
        """Call ``go`` when the journal has room for what it may write, in the order of the calls.

        ``passes`` tells whether it may be now.
        """
        if self._committer.failure is not None:
            return fail(StorageFailed(self.failure() or ""))
        if self._refusing:
            return fail(self._unavailable())
        if passes(length):
            return go()
        done: Deferred[_T] = Deferred()
        release = self._residents.pin(paths)

        def in_turn() -> Deferred[_T]:
            return self._with_room(paths, length, go, self._space.fits)

        def pass_on() -> None:
            release()
            self._arrivals.when_resident(paths, in_turn).chainDeferred(done)

        def refuse(reason: Failure) -> None:
            release()
            done.errback(reason)

        self._space.wait(length, pass_on, refuse)
        return done

    # --- reading

    def describe(self, path: str) -> Deferred[StreamDescription]:
        return self._when_visible(path, lambda hot: succeed(hot.describe(self._clock.seconds())))

    def read(self, path: str, position: int | None, limit: int) -> Deferred[Slice]:
        hot = self._residents.find(path)
        if hot is not None and path not in self._unsettled.paths:
            try:
                return self._read(self._hot(path), position, limit)
            except StreamError as refusal:
                return fail(refusal)
        return self._when_visible(path, lambda hot: self._read(hot, position, limit))

    def _when_visible(self, path: str, look: Callable[[HotStream], Deferred[_T]]) -> Deferred[_T]:
        """Look at a stream when it is in memory and nothing that decides whether it exists is on its way."""

        def try_now() -> Deferred[_T]:
            if path in self._unsettled.paths:
                return self._unsettled.settled().addCallback(lambda _: self._when_visible(path, look))
            try:
                return look(self._hot(path))
            except StreamError as refusal:
                return fail(refusal)

        return self._arrivals.when_resident((path,), try_now)

    def _read(self, hot: HotStream, position: int | None, limit: int) -> Deferred[Slice]:
        seen = hot.describe(self._clock.seconds())
        start = start_of(seen, position)
        self._access(hot)
        self._residents.used(hot)
        stop = min(start + limit, hot.tail)
        stream = hot.stream
        while stream.fork is not None and start < stream.fork.position:
            stop = min(stop, stream.fork.position)
            stream = self._residents.catalog.by_id[stream.fork.source_id]
        log = self._residents.hot[stream.stream_id].log
        if start >= log.start or start == stop:
            return succeed(Slice(seen, start, log.read(start, stop)))
        return self._cold.read(seen, stream.stream_id, start, min(stop, log.start))

    def list_streams(self, prefix: str, after: str, limit: int) -> Deferred[Page]:
        return Deferred.fromCoroutine(self._listing.page(prefix, after, limit))

    # --- time

    def _hot(self, path: str) -> HotStream:
        hot = self._lookup(path)
        if hot is None:
            raise StreamNotFound(path)
        if hot.stream.soft_deleted:
            raise StreamGone(path)
        return hot

    def _lookup(self, path: str) -> HotStream | None:
        """What is decided to be at a path, soft-deleted streams included, unless it has just expired for good."""
        hot = self._residents.find(path)
        if hot is None:
            return None
        stream = hot.stream
        if not stream.soft_deleted and stream.has_expired(self._clock.seconds()):
            self.remove_expired(stream)
            return self._residents.find(path)
        return hot

    def remove_expired(self, stream: Stream) -> None:
        """As ``sweeper.Streams`` has it."""
        if self._refuses_internal():
            raise StreamNotFound(stream.path)
        self._expired.append(stream.path)
        event = StreamDeleted(stream.stream_id, self._clock.seconds())
        self._commit(event, stream.path, lambda: None).addErrback(lambda _: None)

    def _refuses_internal(self) -> bool:
        return self._closing or self._committer.failure is not None or not self._space.admits_internal()

    def _access(self, hot: HotStream) -> None:
        stream = hot.stream
        if stream.ttl is None:
            return
        now = self._clock.seconds()
        stream.accessed_at = max(stream.accessed_at, now)
        if now - hot.journaled_access >= access_staleness(stream.ttl) and not self._refuses_internal():
            hot.journaled_access = now
            hot.pending += 1
            done: Deferred[None] = Deferred()
            done.addErrback(lambda _: None)
            entry = EventEntry(partial(self._residents.committed, hot), done)
            self._committer.submit(encode_event(StreamAccessed(stream.stream_id, now)), entry)

    def expire(self) -> Deferred[list[str]]:
        now = self._clock.seconds()
        self._sweeper.sweep(now)
        swept = self._sweeper.sweep_cold(now, self._arrivals, self._base, self._workers.read)
        return swept.addCallback(lambda _: self._take_expired())

    def trim(self, stream: Stream, now: float) -> None:
        """As ``sweeper.Streams`` has it."""
        if self._refuses_internal():
            self._sweeper.watch_age(stream)
            return
        hot = self._residents.hot[stream.stream_id]
        hot.earliest = hot.earliest_at(now)
        earliest = stream.earliest_at(now)
        event = Trimmed(stream.stream_id, now, earliest)
        self._residents.apply(event)
        hot.pending += 1
        done: Deferred[None] = Deferred()
        done.addErrback(lambda _: None)
        self._committer.submit(encode_event(event), EventEntry(partial(self._on_trim, earliest, hot), done))

    def _take_expired(self) -> list[str]:
        removed, self._expired = self._expired, []
        return removed

    def keep(self, path: str) -> None:
        if self._closing:
            return
        if not self._arrivals.knows(path):
            self._arrivals.when_resident((path,), lambda: succeed(None)).addErrback(lambda _: None)
            return
        hot = self._residents.find(path)
        if hot is not None and not hot.stream.soft_deleted:
            self._access(hot)
