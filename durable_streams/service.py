"""The stream service: the only door to the streams, for HTTP, for applications that embed it, and for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol, TypeVar, cast

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from durable_streams.errors import (
    MalformedField,
    OffsetTrimmed,
    StreamError,
    StreamNotFound,
)
from durable_streams.fork_source import with_resolved_fork
from durable_streams.interfaces import INotifier, IStorage, IStreamObserver
from durable_streams.last_messages import position_of_last
from durable_streams.measures import Activity
from durable_streams.notifier.local import LocalNotifier
from durable_streams.notifier.observers import StreamObservers
from durable_streams.notifier.signal import ChangeSignal
from durable_streams.protocol.commands import (
    Append,
    Command,
    Create,
    Delete,
    ForkRequest,
)
from durable_streams.protocol.content_types import Kind, parse_content_type
from durable_streams.protocol.etags import parse_if_match
from durable_streams.protocol.offsets import EARLIEST, NOW, position_of, read_position_of
from durable_streams.protocol.paths import path_named
from durable_streams.protocol.results import (
    AppendResult,
    CreateResult,
    Page,
    Slice,
    StreamDescription,
)
from durable_streams.protocol.retention import Retention
from durable_streams.settled import is_settled
from durable_streams.whole_slices import is_whole, made_whole

MAX_READ_BYTES = 1024 * 1024
EXPIRY_INTERVAL = 0.5

_log = Logger()
_T = TypeVar("_T")


class LiveRead(Protocol):
    """Whoever waits for a stream to change."""

    def release(self) -> None:
        """The time is up: end in an orderly way."""


class StreamService(Service):
    """Streams for one process: a storage, a notifier, and the life between start and stop.

    The named methods (``create``, ``append``, ``read`` ...) take names and offsets as an application writes them. The
    ``perform_`` methods and those ending in ``_at`` take checked commands, canonical paths and positions; HTTP uses
    them. All fail with the errors of ``durable_streams.errors`` that ``IStorage`` names.

    ``retention`` is the policy of streams that are created without one of their own; None keeps everything.

    Cancelling a Deferred of a command stops the waiting, not the command.
    """

    name = "durable-streams"  # type: ignore[assignment]  # Twisted annotates its default, None

    def __init__(
        self,
        storage: IStorage,
        notifier: INotifier | None = None,
        clock: IReactorTime | None = None,
        max_read_bytes: int = MAX_READ_BYTES,
        retention: Retention | None = None,
    ) -> None:
        if clock is None:
            from twisted.internet import reactor

            clock = cast(IReactorTime, reactor)
        self.storage = storage
        storage.announce_to(self._performed)
        self.notifier: INotifier = notifier or LocalNotifier()
        self.clock = clock
        self.max_read_bytes = max_read_bytes
        self._default_retention = retention and msgspec.structs.replace(retention, is_default=True)
        self.live_reads: set[LiveRead] = set()
        self.draining = False
        self.activity = Activity()
        self._observers = StreamObservers()
        self._opening: list[Deferred[None]] | None = []
        self._cannot_open: Failure | None = None
        self._expiry = LoopingCall(self._expire)
        self._expiry.clock = clock

    # --- life

    def startService(self) -> None:
        """Open the storage; what is asked before it is open waits. See ``when_open``."""
        super().startService()
        self.storage.open().addCallbacks(self._opened, self._failed_to_open)

    def stopService(self) -> Deferred[None]:
        """Release every waiter with an orderly end, then close the storage."""
        super().stopService()
        self.drain()
        if self._expiry.running:
            self._expiry.stop()
        return self.storage.close()

    def when_open(self) -> Deferred[None]:
        """Fires once the storage is open; fails with what made that impossible. May be called again."""
        waiting: Deferred[None] = Deferred()
        if self._opening is None:
            waiting.callback(None)
        elif self._cannot_open is not None:
            waiting.errback(self._cannot_open)
        else:
            self._opening.append(waiting)
        return waiting

    def _opened(self, found: str) -> None:
        _log.info("storage open: {found}; {durability}", found=found, durability=self.storage.durability)
        waiting, self._opening = self._opening or [], None
        for deferred in waiting:
            deferred.callback(None)
        self._expiry.start(EXPIRY_INTERVAL, now=False)

    def _failed_to_open(self, failure: Failure) -> None:
        _log.critical("the storage cannot be opened: {reason}", reason=failure.getErrorMessage())
        self._cannot_open = failure
        for deferred in self._opening or []:
            deferred.errback(failure)

    def failure(self) -> str | None:
        """Why the service is unhealthy, or None."""
        if self._opening is not None:
            return "the storage is not open"
        return self.storage.failure()

    def observe(self, observer: IStreamObserver) -> Callable[[], None]:
        """Tell ``observer`` of every change from now on; returns what ends that."""
        return self._observers.add(observer)

    def drain(self) -> None:
        """End every live read as if its time were up, those to come included. Commands and other reads go on."""
        self.draining = True
        self.release_waiters()

    def release_waiters(self) -> None:
        """End every live read of now as if its time were up."""
        for read in list(self.live_reads):
            read.release()

    def _expire(self) -> Deferred[None]:
        for path in self.notifier.followed():
            self.storage.keep(path)
        return self.storage.expire().addCallbacks(self._announce_all, self._log_expiry_failure)

    def _announce_all(self, paths: list[str]) -> None:
        self.activity.expired += len(paths)
        for path in paths:
            self.notifier.notify(path)
            self._observers.expired(path)

    def _log_expiry_failure(self, failure: Failure) -> None:
        if not failure.check(StreamError):
            _log.failure("expired streams could not be removed", failure)

    # --- commands

    def perform_create(self, command: Create) -> Deferred[CreateResult]:
        """Create a stream or a fork (Sections 5.1 and 4.2)."""
        if command.retention is None and self._default_retention is not None:
            command = msgspec.structs.replace(command, retention=self._default_retention)
        fork = command.fork
        if fork is None or not (fork.position or fork.sub_offset):
            return self._perform(self.storage.create, command)
        return Deferred.fromCoroutine(self._create_fork(command, fork))

    async def _create_fork(self, command: Create, fork: ForkRequest) -> CreateResult:
        await self.when_open()
        return await self.storage.create(await with_resolved_fork(self.storage, command, fork, self.max_read_bytes))

    def perform_append(self, command: Append) -> Deferred[AppendResult]:
        """Append, close, or both (Sections 5.2 and 5.3)."""
        return self._perform(self.storage.append, command)

    def perform_delete(self, command: Delete) -> Deferred[None]:
        """Delete a stream (Section 5.4)."""
        return self._perform(self.storage.delete, command)

    def _perform(self, door: Callable[[Any], Deferred[_T]], command: Command) -> Deferred[_T]:
        if self._opening is not None:
            return self.when_open().addCallback(lambda _: door(command))
        return door(command)

    def _performed(self, command: Command, result: Any) -> None:
        """As ``IStorage.announce_to`` has it."""
        try:
            self._count(command)
            self.notifier.notify(command.path)
            self._observers.performed(command, result)
        except Exception:
            # By its promise no notifier raises; a storage that is telling of many commands must not hear of one.
            _log.failure("a change of {path} could not be told", path=command.path)

    def _count(self, command: Command) -> None:
        activity = self.activity
        if type(command) is Append:
            activity.appends += 1
            activity.appended_bytes += len(command.body)
        elif type(command) is Create:
            activity.created += 1
        else:
            activity.deleted += 1

    # --- reads

    def describe_at(self, path: str) -> Deferred[StreamDescription]:
        """A stream's metadata (Section 5.5)."""
        if self._opening is not None:
            return self.when_open().addCallback(lambda _: self.storage.describe(path))
        return self.storage.describe(path)

    def read_at(self, path: str, position: int | None, limit: int | None = None) -> Deferred[Slice]:
        """Stored bytes from a position on; of a JSON stream whole messages (Section 5.6).

        None is the tail, ``EARLIEST`` where the stream begins now.

        ``limit`` (default: the service's) may be exceeded by the first message. Besides the errors of
        ``IStorage.read``, fails with ``OffsetInsideMessage``.
        """
        if self._opening is not None:
            return self.when_open().addCallback(lambda _: self.read_at(path, position, limit))
        wanted = limit or self.max_read_bytes
        found = self.storage.read(path, position, wanted)
        if is_settled(found) and is_whole(cast(Slice, found.result), wanted):
            return found
        found = found.addCallback(self._made_whole, wanted)
        if position != EARLIEST:
            return found

        def begin_again(failure: Failure) -> Deferred[Slice]:
            # Where the stream begins has moved on while it was read.
            failure.trap(OffsetTrimmed)
            return self.read_at(path, EARLIEST, limit)

        return found.addErrback(begin_again)

    def _made_whole(self, found: Slice, wanted: int) -> Slice | Deferred[Slice]:
        if is_whole(found, wanted):
            return found
        return Deferred.fromCoroutine(made_whole(self.storage, found, wanted))

    def list_at(self, prefix: str, after: str, limit: int) -> Deferred[Page]:
        """As ``IStorage.list_streams``."""
        if self._opening is not None:
            return self.when_open().addCallback(lambda _: self.storage.list_streams(prefix, after, limit))
        return self.storage.list_streams(prefix, after, limit)

    async def position_of_last_at(self, path: str, count: int) -> int:
        """The position at which the last ``count`` messages of a JSON stream begin.

        Fails with ``MalformedField`` for a stream without messages, else as ``read_at`` does.
        """
        stream = await self.describe_at(path)
        if stream.kind is not Kind.JSON:
            raise MalformedField("tail", "counts messages, and only JSON streams have them")
        return await position_of_last(self.storage, stream, count)

    def read_live_at(self, path: str, position: int | None, timeout: float | None) -> Deferred[Slice]:
        """As ``read_at``, but at the tail of an open stream wait for more (Section 5.7).

        After ``timeout`` seconds (None: never), or when the service stops, fires with an empty slice. May be cancelled.
        Fails with ``StreamNotFound`` or ``StreamGone`` when the stream goes away meanwhile.
        """
        return Deferred.fromCoroutine(self._read_live(path, position, timeout))

    async def _read_live(self, path: str, position: int | None, timeout: float | None) -> Slice:
        with ChangeSignal(self.notifier, self.clock, path) as signal:
            self.live_reads.add(signal)
            try:
                found = await self.read_at(path, position)
                give_up = None if timeout is None else self.clock.seconds() + timeout
                while not (found.data or found.at_end or self.draining):
                    left = None if give_up is None else max(0.0, give_up - self.clock.seconds())
                    if not await signal.wait(left):
                        break
                    found = await self._read_again(found)
                return found
            finally:
                self.live_reads.discard(signal)

    async def _read_again(self, before: Slice) -> Slice:
        """Read on, but never in another stream that took the path meanwhile."""
        path = before.stream.path
        now = await self.describe_at(path)
        if now.stream_id != before.stream.stream_id:
            raise StreamNotFound(path)
        return await self.read_at(path, before.end)

    # --- for applications

    def create(
        self,
        name: str,
        *,
        content_type: str | None = None,
        ttl: int | None = None,
        expires_at: float | None = None,
        closed: bool = False,
        data: bytes = b"",
        retention: Retention | None = None,
    ) -> Deferred[CreateResult]:
        """Create the stream ``name``, or confirm that it is there with the same configuration.

        ``ttl`` is in seconds, ``expires_at`` in seconds since 1970; give one of them at most. ``retention`` None is the
        service's default.
        """
        checked = None if content_type is None else parse_content_type(content_type)
        return self.perform_create(Create(path_named(name), checked, ttl, expires_at, closed, data, None, retention))

    def fork(
        self,
        source: str,
        name: str,
        *,
        offset: str | None = None,
        sub_offset: int = 0,
        ttl: int | None = None,
        expires_at: float | None = None,
        data: bytes = b"",
        retention: Retention | None = None,
    ) -> Deferred[CreateResult]:
        """Create the stream ``name`` with what ``source`` has up to ``offset`` (None: its tail), without copying.

        ``retention`` limits what is appended to the fork itself; see ``protocol.retention``.
        """
        position = None if offset is None else position_of(offset)
        request = ForkRequest(path_named(source), position, sub_offset)
        return self.perform_create(Create(path_named(name), None, ttl, expires_at, False, data, request, retention))

    def append(
        self,
        name: str,
        data: bytes,
        *,
        stream_seq: str | None = None,
        close: bool = False,
        if_match: str | None = None,
    ) -> Deferred[AppendResult]:
        """Append bytes; for a JSON stream, one value or an array of messages. ``close`` ends the stream with them.

        ``if_match`` is the ``etag`` of a result: ``PreconditionFailed`` tells that the stream has changed since.
        """
        tags = None if if_match is None else parse_if_match(if_match)
        command = Append(path_named(name), data, stream_seq=stream_seq, close=close, if_match=tags)
        return self.perform_append(command)

    def append_json(self, name: str, *messages: object, close: bool = False) -> Deferred[AppendResult]:
        """Append Python values as messages of a JSON stream. ``close`` ends the stream with them."""
        return self.append(name, msgspec.json.encode(messages), close=close)

    def close(self, name: str) -> Deferred[AppendResult]:
        """Close the stream: no append can follow. May be repeated."""
        return self.perform_append(Append(path_named(name), close=True))

    def delete(self, name: str) -> Deferred[None]:
        """Delete the stream and its data, unless forks still need them."""
        return self.perform_delete(Delete(path_named(name)))

    def describe(self, name: str) -> Deferred[StreamDescription]:
        """What the stream is."""
        return self.describe_at(path_named(name))

    def read(self, name: str, offset: str = "-1", limit: int | None = None) -> Deferred[Slice]:
        """What follows ``offset``: up to ``limit`` bytes. Read on from the slice's ``next_offset``."""
        return self.read_at(path_named(name), read_position_of(offset), limit)

    async def read_last(self, name: str, count: int) -> Slice:
        """The last ``count`` messages of a JSON stream; all there are when there are fewer."""
        path = path_named(name)
        return await self.read_at(path, await self.position_of_last_at(path, count))

    def read_live(self, name: str, offset: str = NOW, timeout: float | None = None) -> Deferred[Slice]:
        """As ``read``, but wait at the tail, up to ``timeout`` seconds, for bytes or the end."""
        return self.read_live_at(path_named(name), read_position_of(offset), timeout)

    async def follow(self, name: str, offset: str = "-1") -> AsyncIterator[Slice]:
        """All that follows ``offset``, and all that comes, until the stream is closed or the service stops.

        Never yields an empty slice. Raises ``StreamNotFound`` or ``StreamGone`` when the stream is deleted, and
        ``OffsetTrimmed`` when retention drops what was not yielded yet: go on from its ``earliest``, if that will do.
        """
        path, position = path_named(name), read_position_of(offset)
        while True:
            found = await self.read_live_at(path, position, None)
            if found.data:
                yield found
            if found.at_end or not found.data:
                return
            position = found.end

    def list_streams(self, prefix: str = "", after: str = "", limit: int = 1000) -> Deferred[Page]:
        """Streams whose names begin with ``prefix``, in order, from behind the name ``after`` on."""
        return self.list_at(path_named(prefix), path_named(after), limit)
