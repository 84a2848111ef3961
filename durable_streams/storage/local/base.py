"""The base store: SQLite, filled from the journal, read when something is not in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from durable_streams.protocol.content_types import kind_of
from durable_streams.protocol.events import ForkPoint
from durable_streams.protocol.producers import ProducerClaim, ProducerState
from durable_streams.protocol.retention import Boundaries, Retention
from durable_streams.protocol.stream import Stream
from durable_streams.storage.local.boundary_rows import read_boundaries, write_boundaries
from durable_streams.storage.local.files import Files
from durable_streams.storage.local.kept_segments import KeptSegments
from durable_streams.storage.local.runs import BaseDamaged, Runs
from durable_streams.storage.trim_queue import overdue_at

FILE_NAME = "base.sqlite"
GARBAGE_STEP = 256
FREE_PAGES = 1024
"""Free pages that the file may keep in any case, to be used again; beyond that, a third of those in use."""
PAGE_BYTES = 16_384

_encode = msgspec.msgpack.Encoder().encode
_decode_fork = msgspec.msgpack.Decoder(ForkPoint).decode
_decode_claim = msgspec.msgpack.Decoder(ProducerClaim).decode
_decode_retention = msgspec.msgpack.Decoder(Retention).decode
_COLUMNS = (
    "stream_id, path, content_type, ttl, expires_at, created_at, accessed_at, fork, tail, closed, closed_by, "
    "stream_seq, forks, soft_deleted, earliest, lent_from, lent_to, retention"
)
_SOME = 500

Row = tuple[Any, ...]
"""The values of ``_COLUMNS``."""


def connect(directory: Path, *, timeout: float = 30.0) -> sqlite3.Connection:
    """A connection to the base store of a data directory, in autocommit mode."""
    connection = sqlite3.connect(
        directory / FILE_NAME, timeout=timeout, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    # For a file that is made now: what is free at its end can be given back to the file system.
    connection.execute("pragma auto_vacuum = incremental")
    # Runs are long: large pages fold them half as fast again.
    connection.execute(f"pragma page_size = {PAGE_BYTES}")
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("pragma cache_size = -65536")
    # Some builds of SQLite, as Debian's, write zeros over every page that is freed, through the journal too.
    connection.execute("pragma secure_delete = fast")
    return connection


class Deadline(NamedTuple):
    """When a stream expires, in seconds since 1970."""

    at: float
    stream_id: int
    path: str


BEFORE_ALL = Deadline(0.0, 0, "")


class BaseStore:
    """Reads and writes rows; transactions are the caller's. Raises ``sqlite3.Error`` and ``BaseDamaged``.

    ``journal`` has the segments that are kept.
    """

    def __init__(self, connection: sqlite3.Connection, journal: Files) -> None:
        self.connection = connection
        self.kept_segments = KeptSegments(connection, journal)
        self.runs = Runs(connection, self.kept_segments)

    # --- reading

    def folded_segment(self) -> int:
        return self._value("select folded_segment from progress")

    def last_stream_id(self) -> int:
        return self._value("select last_stream_id from progress")

    def is_empty(self) -> bool:
        return self.connection.execute("select 1 from streams limit 1").fetchone() is None

    def _value(self, query: str) -> int:
        return int(self.connection.execute(query).fetchone()[0])

    def with_sources(self, path: str) -> list[Stream]:
        """The stream at a path and the whole chain of its sources, or nothing."""
        row = self.connection.execute(f"select {_COLUMNS} from streams where path = ?", (path,)).fetchone()
        return [] if row is None else self._chain(self._stream(row))

    def by_ids(self, stream_ids: Iterable[int]) -> Iterator[Stream]:
        """The streams that are there of those ids, without their sources."""
        wanted = list(stream_ids)
        for first in range(0, len(wanted), _SOME):
            part = wanted[first : first + _SOME]
            marks = ",".join("?" * len(part))
            rows = self.connection.execute(
                f"select {_COLUMNS} from streams where stream_id in ({marks})", part
            ).fetchall()
            producers = self._producers_of(part)
            streams = [self._bare_stream(row) for row in rows]
            read_boundaries(self.connection, streams)
            for stream in streams:
                stream.producers = producers.get(stream.stream_id, {})
                yield stream

    def by_paths(self, paths: Sequence[str]) -> Iterator[Stream]:
        """The streams that are there at those paths, without their sources."""
        for first in range(0, len(paths), _SOME):
            part = paths[first : first + _SOME]
            marks = ",".join("?" * len(part))
            ids = self.connection.execute(f"select stream_id from streams where path in ({marks})", part).fetchall()
            yield from self.by_ids(found for (found,) in ids)

    def _chain(self, stream: Stream) -> list[Stream]:
        chain = [stream]
        while stream.fork is not None:
            sources = list(self.by_ids((stream.fork.source_id,)))
            if not sources:
                raise BaseDamaged(f"{stream.path} is a fork of stream {stream.fork.source_id}, which is missing")
            stream = sources[0]
            chain.append(stream)
        return chain

    def _stream(self, row: Row) -> Stream:
        stream = self._bare_stream(row)
        read_boundaries(self.connection, [stream])
        stream.producers = self._producers_of((stream.stream_id,)).get(stream.stream_id, {})
        return stream

    def _producers_of(self, stream_ids: Sequence[int]) -> dict[int, dict[str, ProducerState]]:
        marks = ",".join("?" * len(stream_ids))
        found: dict[int, dict[str, ProducerState]] = {}
        query = f"select stream_id, producer_id, epoch, last_seq from producers where stream_id in ({marks})"
        for stream_id, producer_id, epoch, last_seq in self.connection.execute(query, stream_ids):
            found.setdefault(stream_id, {})[producer_id] = ProducerState(epoch, last_seq)
        return found

    @staticmethod
    def _bare_stream(row: Row) -> Stream:
        (
            stream_id,
            path,
            content_type,
            ttl,
            expires_at,
            created_at,
            accessed_at,
            fork,
            tail,
            closed,
            closed_by,
            stream_seq,
            forks,
            soft_deleted,
            earliest,
            lent_from,
            lent_to,
            retention,
        ) = row
        stream = Stream(
            stream_id,
            path,
            content_type,
            kind_of(content_type),
            ttl,
            expires_at,
            created_at,
            accessed_at,
            None if fork is None else _decode_fork(fork),
            tail,
            bool(closed),
            earliest,
            None if closed_by is None else _decode_claim(closed_by),
            stream_seq,
            forks=forks,
            soft_deleted=bool(soft_deleted),
            lent=None if lent_from is None else (lent_from, lent_to),
        )
        if retention is not None:
            begins = max(stream.earliest, stream.beginning)
            stream.boundaries = Boundaries(_decode_retention(retention), stream.kind, begins)
        return stream

    def paths(self, prefix: str, after: str, limit: int) -> list[str]:
        """Paths of streams that are not soft-deleted, in order."""
        end = prefix + "\U0010ffff"
        query = (
            "select path from streams where path > ? and path >= ? and path < ? and not soft_deleted "
            "order by path limit ?"
        )
        return [path for (path,) in self.connection.execute(query, (after, prefix, end, limit))]

    def expired(self, now: float, after: Deadline, limit: int) -> list[Deadline]:
        """Streams behind ``after`` whose deadline, as far as it is known here, has come."""
        query = (
            "select deadline, stream_id, path from streams where deadline <= ? and (deadline, stream_id) > (?, ?) "
            "and not soft_deleted order by deadline, stream_id limit ?"
        )
        return [Deadline._make(row) for row in self.connection.execute(query, (now, *after[:2], limit))]

    def overdue_paths(self, now: float, after: tuple[float, int], limit: int) -> list[tuple[str, float, int]]:
        """Streams that hold what is long too old, by the time when that began: path, time, id. Begins ``after`` one."""
        query = (
            "select path, trim_at, stream_id from streams where trim_at <= ? and (trim_at, stream_id) > (?, ?) "
            "and not soft_deleted order by trim_at, stream_id limit ?"
        )
        return self.connection.execute(query, (now, *after, limit)).fetchall()

    def has_unneeded_runs(self, stream: Stream) -> bool:
        """Whether there are runs that neither the stream nor its forks need."""
        lent = stream.lent or (stream.earliest, stream.earliest)
        return bool(self.runs.unneeded(stream.stream_id, stream.earliest, lent, 1))

    def is_to_be_trimmed(self, stream: Stream) -> bool:
        """Whether the stream's unneeded runs are about to be removed."""
        query = "select 1 from trimmed where stream_id = ?"
        return self.connection.execute(query, (stream.stream_id,)).fetchone() is not None

    # --- writing

    def write_stream(self, stream: Stream) -> None:
        """Insert or replace a stream's row, and write where its messages end."""
        retention = stream.retention
        lent_from, lent_to = stream.lent or (None, None)
        self.connection.execute(
            f"insert or replace into streams ({_COLUMNS}, deadline, trim_at) values ({','.join('?' * 20)})",
            (
                stream.stream_id,
                stream.path,
                stream.content_type,
                stream.ttl,
                stream.expires_at,
                stream.created_at,
                stream.accessed_at,
                None if stream.fork is None else _encode(stream.fork),
                stream.tail,
                stream.closed,
                None if stream.closed_by is None else _encode(stream.closed_by),
                stream.stream_seq,
                stream.forks,
                stream.soft_deleted,
                stream.earliest,
                lent_from,
                lent_to,
                None if retention is None else _encode(retention),
                stream.deadline,
                overdue_at(stream),
            ),
        )
        if stream.boundaries is not None:
            write_boundaries(self.connection, stream.stream_id, stream.boundaries)
        if stream.earliest > stream.beginning:
            self._trim(stream.stream_id, stream.earliest, *(stream.lent or (stream.earliest, stream.earliest)))

    def write_producers(self, stream_id: int, producers: dict[str, ProducerState]) -> None:
        rows = [(stream_id, name, state.epoch, state.last_seq) for name, state in producers.items()]
        self.connection.executemany("insert or replace into producers values (?, ?, ?, ?)", rows)

    def remove_stream(self, stream_id: int) -> None:
        """Take a stream away; its bytes follow in small steps."""
        self.connection.execute("delete from streams where stream_id = ?", (stream_id,))
        self.connection.execute("insert or ignore into garbage values (?)", (stream_id,))

    def collect_garbage(self) -> bool:
        """Remove some of the bytes that nobody needs; False when there are none."""
        row = self.connection.execute("select stream_id from garbage limit 1").fetchone()
        if row is None:
            return self._collect_trimmed()
        (stream_id,) = row
        if self.runs.remove_some(stream_id, GARBAGE_STEP) < GARBAGE_STEP:
            self.connection.execute("delete from producers where stream_id = ?", (stream_id,))
            self.connection.execute("delete from boundaries where stream_id = ?", (stream_id,))
            self.connection.execute("delete from garbage where stream_id = ?", (stream_id,))
        return True

    def _collect_trimmed(self) -> bool:
        """Go on with a stream that had too many runs to remove in one step."""
        row = self.connection.execute("select stream_id from trimmed limit 1").fetchone()
        if row is None:
            return False
        self.connection.execute("delete from trimmed where stream_id = ?", row)
        query = (
            "select stream_id, earliest, ifnull(lent_from, earliest), ifnull(lent_to, earliest) from streams "
            "where stream_id = ?"
        )
        for found in self.connection.execute(query, row).fetchall():
            self._trim(*found)
        return True

    def _trim(self, stream_id: int, earliest: int, lent_from: int, lent_to: int) -> None:
        """Remove the runs before a stream's earliest byte that no fork needs; if they are many, note it for later."""
        if self.runs.trim(stream_id, earliest, (lent_from, lent_to), GARBAGE_STEP) == GARBAGE_STEP:
            self.connection.execute("insert or ignore into trimmed values (?)", (stream_id,))

    def give_back_pages(self) -> bool:
        """Give some free pages back to the file system; False when there are not many. A transaction of its own."""
        free = self._value("pragma freelist_count")
        if free <= max(FREE_PAGES, self._value("pragma page_count") // 4):
            return False
        if not self._value("pragma auto_vacuum"):
            return False
        # As a script, because a statement that is not read to its end gives back one page only.
        self.connection.executescript(f"pragma incremental_vacuum({GARBAGE_STEP})")
        return True

    def record_progress(self, folded_segment: int, last_stream_id: int) -> None:
        self.connection.execute(
            "update progress set folded_segment = ?, last_stream_id = max(last_stream_id, ?)",
            (folded_segment, last_stream_id),
        )
