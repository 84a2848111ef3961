"""Subscriptions in a file of their own, for every durable storage of streams.

Why SQLite and not a stream of the storage itself: the state is small, is changed in place and read only at the start,
and a transaction keeps cursors, generation and lease together whatever the storage of the streams can do. A stream
would need replay, compaction and a reserved name. WAL with ``synchronous = full`` survives the loss of power; one
thread writes, and all that waits while it commits goes into its next transaction. The file is locked against a second
service, not against readers, so that it can be copied while the service runs.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from durable_streams.errors import StorageFailed
from durable_streams.sqlite_schema import migrate
from durable_streams.subscriptions.events import (
    DeletionsForgotten,
    Event,
    Key,
    KeyAdded,
    KeyDropped,
    KeyPurpose,
    StreamLinked,
    StreamUnlinked,
    SubscriptionDefined,
    SubscriptionDeleted,
    SubscriptionProgressed,
)
from durable_streams.subscriptions.interfaces import ISubscriptionStore
from durable_streams.subscriptions.state import Definition, Link, Progress

FILE_NAME = "subscriptions.sqlite"

_T = TypeVar("_T")
_encode = msgspec.msgpack.encode
_decode_definition = msgspec.msgpack.Decoder(Definition).decode
_decode_progress = msgspec.msgpack.Decoder(Progress).decode


class Writer(Protocol):
    """Does blocking work elsewhere, one piece after the other; the Deferred fires on the reactor."""

    def __call__(self, work: Callable[[], _T], /) -> Deferred[_T]: ...

    def stop(self) -> None: ...


class WriterThread:
    """A thread that lives while there is work."""

    def __init__(self, reactor: IReactorFromThreads) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, 1, "durable-streams-subscriptions")
        self._pool.start()

    def __call__(self, work: Callable[[], _T], /) -> Deferred[_T]:
        return deferToThreadPool(self._reactor, self._pool, work)

    def stop(self) -> None:
        self._pool.stop()


@implementer(ISubscriptionStore)
class SqliteSubscriptionStore:
    """Keeps subscriptions in the SQLite file ``path``, readable by its owner alone because it holds the keys."""

    durability = "on disk: what was acknowledged survives a crash of the process or the machine"

    def __init__(self, path: Path, make_writer: Callable[[], Writer]) -> None:
        self._path = path
        self._make_writer = make_writer
        self._waiting: list[tuple[Sequence[Event], Deferred[None]]] = []
        self._writing: Deferred[None] | None = None
        self._failure: Failure | None = None
        self._connection: sqlite3.Connection | None = None
        self._lock: int | None = None

    def open(self) -> Deferred[Sequence[Event]]:
        self._writer = self._make_writer()
        return self._writer(self._open).addErrback(self._cannot_open)

    def _open(self) -> Sequence[Event]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self._path)
        self._connection = connect(self._path)
        migrate(self._connection, __package__)
        return list(kept_events(self._connection))

    def _cannot_open(self, failure: Failure) -> Failure:
        self._writer.stop()
        self._release()
        failure.trap(OSError, sqlite3.Error, msgspec.MsgspecError)
        return Failure(StorageFailed(f"{self._path}: {failure.getErrorMessage()}"))

    def _release(self) -> None:
        """Close the connection before the lock: closing any descriptor of a file gives up SQLite's own locks on it."""
        if self._connection is not None:
            self._connection.close()
        if self._lock is not None:
            os.close(self._lock)
        self._connection = self._lock = None

    def save(self, events: Sequence[Event]) -> Deferred[None]:
        if self._failure is not None:
            return fail(self._failure)
        if not events and self._writing is None:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._waiting.append((events, done))
        if self._writing is None:
            self._write_waiting()
        return done

    def _write_waiting(self) -> None:
        batch, self._waiting = self._waiting, []
        events = [event for part, _ in batch for event in part]
        waiting = [done for _, done in batch]
        self._writing = self._writer(lambda: self._write(events))
        self._writing.addCallbacks(self._written, self._cannot_write, callbackArgs=(waiting,), errbackArgs=(waiting,))

    def _write(self, events: Sequence[Event]) -> None:
        connection = self._connection
        if not events or connection is None:
            return
        with connection:
            connection.execute("begin immediate")
            for event in events:
                for statement, values in _statements(event):
                    connection.execute(statement, values)

    def _written(self, _: None, waiting: list[Deferred[None]]) -> None:
        self._writing = None
        if self._waiting:
            self._write_waiting()
        for done in waiting:
            done.callback(None)

    def _cannot_write(self, failure: Failure, waiting: list[Deferred[None]]) -> None:
        self._writing = None
        self._failure = Failure(StorageFailed(f"{self._path}: {failure.getErrorMessage()}"))
        later, self._waiting = self._waiting, []
        for done in [*waiting, *(done for _, done in later)]:
            done.errback(self._failure)

    def close(self) -> Deferred[None]:
        finished = self.save(()).addErrback(lambda failure: failure.trap(StorageFailed) and None)
        return finished.addCallback(lambda _: self._writer(self._release)).addCallback(self._stop_writer)

    def _stop_writer(self, _: object) -> None:
        self._writer.stop()


def _locked(path: Path) -> int:
    """A descriptor that holds the file for this process; the file is made if need be."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OSError("another service uses this file") from None
    return descriptor


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the file of a store, in autocommit mode. Raises ``sqlite3.Error``."""
    connection = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    return connection


def kept_events(connection: sqlite3.Connection) -> Iterator[Event]:
    """Events that make the kept state anew. Raises ``sqlite3.Error`` or ``msgspec.MsgspecError``."""
    for (definition,) in connection.execute("select definition from definitions"):
        yield SubscriptionDefined(_decode_definition(definition))
    for subscription_id, progress in connection.execute("select subscription_id, progress from progress"):
        yield SubscriptionProgressed(subscription_id, _decode_progress(progress))
    links = "select subscription_id, path, explicit, matched, stream_id, acked from links"
    for subscription_id, path, explicit, matched, stream_id, acked in connection.execute(links):
        yield StreamLinked(subscription_id, path, Link(bool(explicit), bool(matched), stream_id, acked))
    for subscription_id, generation, at in connection.execute("select * from graves"):
        yield SubscriptionDeleted(subscription_id, generation, at)
    for kid, purpose, secret, active_from in connection.execute("select * from keys"):
        yield KeyAdded(Key(kid, KeyPurpose(purpose), secret, active_from))


def _statements(event: Event) -> Iterator[tuple[str, tuple[object, ...]]]:
    match event:
        case SubscriptionProgressed(subscription_id, progress):
            yield "insert or replace into progress values (?, ?)", (subscription_id, _encode(progress))
        case StreamLinked(subscription_id, path, link):
            yield (
                "insert or replace into links values (?, ?, ?, ?, ?, ?)",
                (subscription_id, path, link.explicit, link.matched, link.stream_id, link.acked),
            )
        case StreamUnlinked(subscription_id, path):
            yield "delete from links where subscription_id = ? and path = ?", (subscription_id, path)
        case SubscriptionDefined(definition):
            subscription_id = definition.subscription_id
            yield "insert or replace into definitions values (?, ?)", (subscription_id, _encode(definition))
            yield "delete from graves where subscription_id = ?", (subscription_id,)
        case SubscriptionDeleted(subscription_id, generation, at):
            for table in ("definitions", "progress", "links"):
                yield f"delete from {table} where subscription_id = ?", (subscription_id,)
            yield "insert or replace into graves values (?, ?, ?)", (subscription_id, generation, at)
        case DeletionsForgotten(before):
            yield "delete from graves where deleted_at < ?", (before,)
        case KeyAdded(key):
            yield "insert or replace into keys values (?, ?, ?, ?)", (key.kid, key.purpose, key.secret, key.active_from)
        case KeyDropped(kid):
            yield "delete from keys where kid = ?", (kid,)
