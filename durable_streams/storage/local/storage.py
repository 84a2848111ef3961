"""Streams on the local disk: durable, with the recent past in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from heapq import merge
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from durable_streams.errors import (
    OffsetTrimmed,
    StorageFailed,
    StorageUnavailable,
    StreamError,
    StreamGone,
    StreamNotFound,
)
from durable_streams.interfaces import IMeasured, IStorage
from durable_streams.measures import Measure, Timing
from durable_streams.protocol.appending import decide_append
from durable_streams.protocol.commands import Append, Create, Delete
from durable_streams.protocol.creation import confirm_existing, decide_create
from durable_streams.protocol.events import Event, StreamAccessed, StreamCreated, StreamDeleted, Trimmed
from durable_streams.protocol.reading import start_of
from durable_streams.protocol.results import AppendResult, CreateResult, Page, Slice, StreamDescription
from durable_streams.protocol.stream import Stream
from durable_streams.storage.expiry_queue import ExpiryQueue
from durable_streams.storage.local.base import BEFORE_ALL, BaseStore, Deadline, connect, migrate
from durable_streams.storage.local.checkpointer import JOURNAL
from durable_streams.storage.local.committer import Committer
from durable_streams.storage.local.directory import DataDirectory
from durable_streams.storage.local.entries import AppendEntry, Barrier, EventEntry
from durable_streams.storage.local.files import Files, OsFiles
from durable_streams.storage.local.folding import load_touched
from durable_streams.storage.local.hot_stream import HotStream
from durable_streams.storage.local.journal import Journal, Recovered, replay, segment_name, segment_numbers
from durable_streams.storage.local.residents import Residents, access_staleness
from durable_streams.storage.local.runs import BaseDamaged
from durable_streams.storage.local.segment import encode_event
from durable_streams.storage.local.settings import LocalSettings
from durable_streams.storage.local.space import Space
from durable_streams.storage.local.workers import Folder, Workers
from durable_streams.storage.stream_ids import StreamIds
from durable_streams.storage.trim_queue import TrimQueue, overdue_at

_log = Logger()
_T = TypeVar("_T")

COLD_SWEEP = 5.0
_COLD_SWEEP_STREAMS = 500
_FIRST = (0.0, 0)
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
        self._expiry = ExpiryQueue()
        self._trims = TrimQueue()
        self._expired: list[str] = []
        self._unsettled: dict[str, int] = {}
        self._loads: dict[str, list[Callable[[Failure | None], None]]] = {}
        self._to_load: list[str] = []
        self._next_cold_sweep = 0.0
        self._swept_up_to = _FIRST
        self._swept = BEFORE_ALL
        self._base_is_empty = True
        self._refusing = False
        self._closing = False

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
        self._base = BaseStore(connect(path))
        migrate(self._base.connection)
        self._files = self._make_files(path / JOURNAL)
        recovered = self._recovered()
        self._journal = Journal(self._files, recovered.newest, self._settings.segment_bytes)
        self._committer = Committer(
            self._journal,
            self._clock,
            self._workers.write,
            self._delay_of_overload,
            self._batch_done,
            self._settings.inline_seconds,
        )
        self._space = Space(self._journal, self._committer, self._workers.allocate)
        self._folder: Folder = self._workers.folder(path, self._segment_folded)
        self._sealed = self._journal.number - 1
        for number in range(self._residents.folded + 1, recovered.newest + 1):
            self._folder.fold(number)
        self._space.prepare()
        return f"{path}: {recovered.events} events recovered from {recovered.segments} journal segments"

    def _recovered(self) -> Recovered:
        """Bring into memory what only the journal has.

        All is read from one snapshot of the base store: the checkpointer of a service that was killed may still be at
        work, and nothing may be taken from the base store and from the journal too.
        """
        base, residents = self._base, self._residents
        base.connection.execute("begin")
        try:
            residents.folded = base.folded_segment()
            self._remove_segments(residents.folded)
            recovered = replay(self._files, residents.folded, self._replay)
            self._ids = StreamIds(max(base.last_stream_id(), recovered.last_stream_id))
            self._base_is_empty = base.is_empty()
        finally:
            base.connection.execute("rollback")
        for hot in residents.hot.values():
            self._allow_for_lost_accesses(hot.stream)
            self._expiry.add(hot.stream)
            self._trims.add(hot.stream)
        return recovered

    @staticmethod
    def _allow_for_lost_accesses(stream: Stream) -> None:
        """Accesses since the last one on disk may be forgotten; nothing may expire early for that."""
        if stream.ttl is not None:
            stream.accessed_at += access_staleness(stream.ttl)

    def _remove_segments(self, folded: int) -> None:
        for number in segment_numbers(self._files):
            if number <= folded:
                self._files.remove(segment_name(number))

    def _replay(self, segment: int, events: Any) -> None:
        residents = self._residents
        known = set(residents.hot)
        load_touched(self._base, residents.catalog, events)
        loaded = [stream for stream_id, stream in residents.catalog.by_id.items() if stream_id not in known]
        residents.load(loaded)
        residents.link_sources(loaded)
        residents.replay(segment, events)

    def close(self) -> Deferred[None]:
        if self._closing or not hasattr(self, "_folder"):
            return succeed(None)
        self._closing = True
        self._look_at_load()
        self._space.refuse(self._unavailable())
        done: Deferred[None] = Deferred()
        self._committer.wait(Barrier(None, done))
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
            self._space.pass_on()
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
        self._base_is_empty = False
        self._residents.segment_folded(segment)
        self._look_at_load()
        try:
            self._files.remove(segment_name(segment))
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
                return self._settled(command.path, lambda: CreateResult(existing.describe(now), False))
            event = decide_create(command, source, self._ids.next(now), now)
        except StreamError as refusal:
            return self._refused(refusal, *paths)
        return self._commit(event, command.path).addCallback(lambda _: self._created(event))

    def _created(self, event: StreamCreated) -> CreateResult:
        stream = Stream(event)
        self._expiry.add(stream)
        self._trims.add(stream)
        return CreateResult(HotStream(stream, stream.tail).describe(event.at), True)

    def append(self, command: Append) -> Deferred[AppendResult]:
        length = len(command.body)
        if command.stream_seq is not None:
            length += len(command.stream_seq)
        if command.producer is not None:
            length += len(command.producer.producer_id)
        hot = self._residents.find(command.path)
        if hot is None or self._refusing or not self._space.admits(length):
            return self._admitted((command.path,), length, lambda: self._append(command))
        return self._append(command)

    def _append(self, command: Append) -> Deferred[AppendResult]:
        try:
            hot = self._hot(command.path)
            stream = hot.stream
            event = decide_append(stream, command, self._clock.seconds())
        except StreamError as refusal:
            return self._refused(refusal, command.path)
        claim = command.producer
        if event is None:
            producer = None if claim is None else stream.producers.get(claim.producer_id)
            return self._settled(
                command.path, lambda: AppendResult(stream.stream_id, hot.tail, hot.closed, True, producer)
            )
        if stream.boundaries is not None:
            # What is too old by now stays out of sight, although it is only forgotten durably with this event.
            hot.earliest = hot.earliest_at(event.at)
        self._residents.apply(event)
        hot.pending += 1
        hot.journaled_access = event.at
        producer = None if claim is None else stream.producers.get(claim.producer_id)
        done: Deferred[AppendResult] = Deferred()
        result = AppendResult(stream.stream_id, stream.tail, stream.closed, False, producer)
        on_commit = self._on_commit if stream.boundaries is None else partial(self._on_trim, stream.earliest)
        self._committer.submit(encode_event(event), AppendEntry(hot, event, on_commit, result, done))
        return done

    def _on_trim(self, earliest: int, hot: HotStream, segment: int) -> None:
        """An event that may have dropped something is durable: the stream begins at ``earliest`` from now on."""
        self._residents.begins_at(hot, earliest)
        self._trims.add(hot.stream)
        self._on_commit(hot, segment)

    def delete(self, command: Delete) -> Deferred[None]:
        return self._admitted((command.path,), 0, lambda: self._delete(command))

    def _delete(self, command: Delete) -> Deferred[None]:
        try:
            hot = self._hot(command.path)
        except StreamError as refusal:
            return self._refused(refusal, command.path)
        return self._commit(StreamDeleted(hot.stream.stream_id, self._clock.seconds()), command.path)

    def _commit(self, event: Event, path: str) -> Deferred[None]:
        """Apply an event that changes which streams there are; nobody looks at their paths before it is durable."""
        affected = self._residents.apply(event)
        paths = {path, *(hot.stream.path for hot in affected)}
        for hot in affected:
            hot.pending += 1
        for one in paths:
            self._unsettled[one] = self._unsettled.get(one, 0) + 1
        done: Deferred[None] = Deferred()

        def settle(segment: int) -> None:
            for hot in affected:
                self._on_commit(hot, segment)
            for one in paths:
                self._residents.deletion_committed(one, segment)
                self._settle(one)

        self._committer.submit(encode_event(event), EventEntry(settle, done))
        return done

    def _settle(self, path: str) -> None:
        left = self._unsettled[path] - 1
        if left:
            self._unsettled[path] = left
        else:
            del self._unsettled[path]

    def _on_commit(self, hot: HotStream, segment: int) -> None:
        self._residents.committed(hot, segment)
        if segment - 1 != self._sealed:
            self._fold_sealed(segment - 1)

    def _fold_sealed(self, newest: int) -> None:
        for number in range(self._sealed + 1, newest + 1):
            self._folder.fold(number)
        self._sealed = newest
        self._look_at_load()
        self._space.prepare()

    # --- waiting for what must come first

    def _admitted(self, paths: tuple[str, ...], length: int, go: Callable[[], Deferred[_T]]) -> Deferred[_T]:
        """Call ``go`` when memory knows what is at the paths and the journal has room for ``length`` bytes."""
        return self._when_resident(paths, lambda: self._with_room(paths, length, go))

    def _when_resident(self, paths: tuple[str, ...], go: Callable[[], Deferred[_T]]) -> Deferred[_T]:
        """Call ``go`` when memory knows what is at the paths, in the order of the calls for each path."""
        missing = [path for path in dict.fromkeys(paths) if not self._knows(path)]
        if not missing:
            return go()
        done: Deferred[_T] = Deferred()
        release = self._pin(paths)

        def resume(failure: Failure | None) -> None:
            release()
            if failure is None:
                self._when_resident(paths, go).chainDeferred(done)
            else:
                done.errback(failure)

        for path in missing:
            if path not in self._loads:
                self._loads[path] = []
                self._to_load.append(path)
        self._loads[missing[-1]].append(resume)
        self._load()
        return done

    def _pin(self, paths: tuple[str, ...]) -> Callable[[], None]:
        """Keep in memory what is there at the paths, until the answer is called."""
        pinned = [hot for path in paths if (hot := self._residents.find(path)) is not None]
        for hot in pinned:
            hot.pending += 1

        def release() -> None:
            for hot in pinned:
                hot.pending -= 1

        return release

    def _knows(self, path: str) -> bool:
        return (self._base_is_empty or self._residents.knows(path)) and path not in self._loads

    def _load(self) -> None:
        """Have the reader thread look up all that is asked for, while it is busy gathering what comes meanwhile."""
        if self._residents.loading or not self._to_load:
            return
        self._residents.loading = True
        paths, self._to_load = self._to_load, []
        found = self._workers.read(lambda: [self._base.with_sources(path) for path in paths])
        found.addCallbacks(self._loaded, self._cannot_load, callbackArgs=(paths,), errbackArgs=(paths,))

    def _loaded(self, chains: list[list[Stream]], paths: list[str]) -> None:
        residents = self._residents
        for path, chain in zip(paths, chains, strict=True):
            new = [stream for stream in chain if stream.stream_id not in residents.hot]
            residents.load(reversed(new))
            residents.link_sources(new)
            for stream in new:
                self._expiry.add(stream)
                self._trims.add(stream)
            if not chain:
                residents.absent[path] = residents.folded
        self._resume(paths, None)
        for path, chain in zip(paths, chains, strict=True):
            if not chain and residents.absent.get(path) == residents.folded:
                del residents.absent[path]
        residents.trim()

    def _cannot_load(self, failure: Failure, paths: list[str]) -> None:
        _log.error("the base store cannot be read: {reason}", reason=failure.getErrorMessage())
        reason = StorageFailed(f"the base store cannot be read: {failure.getErrorMessage()}")
        self._resume(paths, Failure(reason))

    def _resume(self, paths: list[str], failure: Failure | None) -> None:
        self._residents.loading = False
        waiting = [resume for path in paths for resume in self._loads.pop(path)]
        for resume in waiting:
            resume(failure)
        self._load()

    def _with_room(self, paths: tuple[str, ...], length: int, go: Callable[[], Deferred[_T]]) -> Deferred[_T]:
        """Call ``go`` when the journal has room for what it may write, in the order of the calls."""
        if self._committer.failure is not None:
            return fail(StorageFailed(self.failure() or ""))
        if self._refusing:
            return fail(self._unavailable())
        if self._space.admits(length):
            return go()
        done: Deferred[_T] = Deferred()
        release = self._pin(paths)

        def pass_on() -> None:
            release()
            known = all(map(self._knows, paths))
            (go() if known else self._admitted(paths, length, go)).chainDeferred(done)

        def refuse(reason: Failure) -> None:
            release()
            done.errback(reason)

        self._space.wait(length, pass_on, refuse)
        return done

    def _refused(self, refusal: StreamError, *paths: str) -> Deferred[Any]:
        """Refuse, but not before the state of the paths, on which the refusal rests, is durable."""
        if not any(self._is_unsettled(path) for path in paths):
            return fail(refusal)
        done: Deferred[Any] = Deferred()
        self._committer.wait(Barrier(Failure(refusal), done))
        return done

    def _settled(self, path: str, outcome: Callable[[], _T]) -> Deferred[_T]:
        """Answer when the state that the answer rests on is durable."""
        if not self._is_unsettled(path):
            return succeed(outcome())
        done: Deferred[None] = Deferred()
        self._committer.wait(Barrier(None, done))
        return done.addCallback(lambda _: outcome())

    def _is_unsettled(self, path: str) -> bool:
        if path in self._unsettled:
            return True
        hot = self._residents.find(path)
        return hot is not None and hot.pending > 0

    # --- reading

    def describe(self, path: str) -> Deferred[StreamDescription]:
        return self._when_visible(path, lambda hot: succeed(hot.describe(self._clock.seconds())))

    def read(self, path: str, position: int | None, limit: int) -> Deferred[Slice]:
        hot = self._residents.find(path)
        if hot is not None and path not in self._unsettled:
            try:
                return self._read(self._hot(path), position, limit)
            except StreamError as refusal:
                return fail(refusal)
        return self._when_visible(path, lambda hot: self._read(hot, position, limit))

    def _when_visible(self, path: str, look: Callable[[HotStream], Deferred[_T]]) -> Deferred[_T]:
        """Look at a stream when it is in memory and nothing that decides whether it exists is on its way."""

        def try_now() -> Deferred[_T]:
            if path in self._unsettled:
                done: Deferred[None] = Deferred()
                self._committer.wait(Barrier(None, done))
                return done.addCallback(lambda _: self._when_visible(path, look))
            try:
                return look(self._hot(path))
            except StreamError as refusal:
                return fail(refusal)

        return self._when_resident((path,), try_now)

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
        stream_id, stop = stream.stream_id, min(stop, log.start)
        if data := self._base.runs.kept(stream_id, start, stop):
            return succeed(Slice(seen, start, data))
        found = self._workers.read(lambda: self._base.runs.read(stream_id, start, stop))
        return found.addCallback(lambda data: self._cold_slice(seen, start, data)).addErrback(self._cannot_read)

    def _cold_slice(self, seen: StreamDescription, start: int, data: bytes) -> Slice | Deferred[Slice]:
        """What was read; nothing was there if it has been removed meanwhile, or the base store is damaged."""
        if data:
            return Slice(seen, start, data)
        return self.describe(seen.path).addCallback(self._missing, seen, start)

    @staticmethod
    def _missing(now: StreamDescription, seen: StreamDescription, start: int) -> Slice:
        """There are no bytes where there were some when the read began."""
        if now.stream_id != seen.stream_id:
            raise StreamNotFound(seen.path)
        if now.earliest > start:
            raise OffsetTrimmed(seen.path, start, now.earliest)
        raise BaseDamaged(f"{seen.path}: its bytes from position {start} on are missing")

    def _cannot_read(self, failure: Failure) -> Failure:
        if failure.check(StreamError):
            return failure
        _log.error("the base store cannot be read: {reason}", reason=failure.getErrorMessage())
        return Failure(StorageFailed(f"the base store cannot be read: {failure.getErrorMessage()}"))

    def list_streams(self, prefix: str, after: str, limit: int) -> Deferred[Page]:
        return Deferred.fromCoroutine(self._list(prefix, after, limit))

    async def _list(self, prefix: str, after: str, limit: int) -> Page:
        """Walk the paths of the base store and those in memory side by side, and look at each."""
        found: list[StreamDescription] = []
        while True:
            start, wanted = after, limit + 1 - len(found)
            cold = await self._workers.read(partial(self._base.paths, prefix, start, wanted))
            last = cold[-1] if len(cold) == wanted else None
            hot = [p for p in self._residents.catalog.by_path if p > start and p.startswith(prefix)]
            for path in merge(cold, sorted(path for path in hot if last is None or path <= last)):
                if found and found[-1].path == path:
                    continue
                try:
                    found.append(await self.describe(path))
                except StreamError:
                    continue
                if len(found) > limit:
                    return Page(found[:limit], True)
            if last is None:
                return Page(found, False)
            after = last

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
            self._remove_expired(stream)
            return self._residents.find(path)
        return hot

    def _remove_expired(self, stream: Stream) -> None:
        if self._refuses_internal():
            raise StreamNotFound(stream.path)
        self._expired.append(stream.path)
        self._commit(StreamDeleted(stream.stream_id, self._clock.seconds()), stream.path).addErrback(lambda _: None)

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
            entry = EventEntry(lambda segment: self._on_commit(hot, segment), done)
            self._committer.submit(encode_event(StreamAccessed(stream.stream_id, now)), entry)

    def expire(self) -> Deferred[list[str]]:
        now = self._clock.seconds()
        for stream in self._expiry.expired(now, self._residents.catalog.by_id):
            try:
                self._remove_expired(stream)
            except StreamNotFound:
                self._expiry.add(stream)
        for stream in self._trims.overdue(now, self._residents.catalog.by_id):
            self._trim(stream, now)
        if now < self._next_cold_sweep or self._base_is_empty:
            return succeed(self._take_expired())
        cold = self._workers.read(lambda: self._due_in_base(now))
        return cold.addCallback(self._sweep_cold, now).addErrback(self._cannot_read)

    def _trim(self, stream: Stream, now: float) -> None:
        """Drop what is too old, so that its room can be given back."""
        if self._refuses_internal():
            self._trims.add(stream)
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

    def _due_in_base(self, now: float) -> tuple[list[Deadline], list[str]]:
        """Some streams that have expired, and paths of some that hold what is too old."""
        overdue = self._base.overdue_paths(now, self._swept_up_to, _COLD_SWEEP_STREAMS)
        self._swept_up_to = overdue[-1][1:] if len(overdue) == _COLD_SWEEP_STREAMS else _FIRST
        expired = self._base.expired(now, self._swept, _COLD_SWEEP_STREAMS)
        return expired, [path for path, _, _ in overdue]

    def _sweep_cold(self, due: tuple[list[Deadline], list[str]], now: float) -> list[str]:
        """Look at some; those that have gone or live on stay in the base store until they are folded: go on behind."""
        expired, overdue = due
        if len(expired) == _COLD_SWEEP_STREAMS:
            self._swept = expired[-1]
        else:
            self._swept = BEFORE_ALL
            self._next_cold_sweep = now + COLD_SWEEP
        for _, _, path in expired:
            if not self._residents.knows(path):
                self.describe(path).addErrback(lambda failure: failure.trap(StreamError) and None)
        for path in overdue:
            if not self._residents.knows(path):
                self._when_resident((path,), partial(self._trim_overdue, path)).addErrback(lambda _: None)
        return self._take_expired()

    def _trim_overdue(self, path: str) -> Deferred[None]:
        hot, now = self._residents.find(path), self._clock.seconds()
        due = None if hot is None or hot.stream.soft_deleted else overdue_at(hot.stream)
        if hot is not None and due is not None and due <= now:
            self._trim(hot.stream, now)
        return succeed(None)

    def _take_expired(self) -> list[str]:
        removed, self._expired = self._expired, []
        return removed

    def keep(self, path: str) -> None:
        if self._closing:
            return
        if not self._knows(path):
            self._when_resident((path,), lambda: succeed(None)).addErrback(lambda _: None)
            return
        hot = self._residents.find(path)
        if hot is not None and not hot.stream.soft_deleted:
            self._access(hot)
