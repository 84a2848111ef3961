"""The bytes of streams in the base store, in runs: each a row of contiguous bytes with its checksum.

The bytes of most runs are in the base store itself; those of large records are in the segments that are kept for them.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

from isal.isal_zlib import crc32

from durable_streams.storage.local.kept_segments import KeptSegments
from durable_streams.storage.local.segment import Piece, segment_name

LARGEST_RUN = 1024 * 1024
READ_AHEAD = 4 * 1024 * 1024
KEPT_BYTES = 16 * 1024 * 1024
KEPT_RUNS = 256


class BaseDamaged(Exception):
    """The base store is not as it was written."""


class Run(NamedTuple):
    """Where a run is; ``checksum`` is the CRC-32 of its bytes, None when it was written before there were any.

    One that lies in a kept ``segment`` begins at ``position`` of its file, and its checksum begins with ``seed``.
    """

    start: int
    length: int
    data_id: int
    checksum: int | None
    segment: int | None
    position: int | None
    seed: int | None

    @property
    def end(self) -> int:
        return self.start + self.length


_COLUMNS = "start, length, data_id, checksum, segment, position, seed"


class Runs:
    """Reads and writes runs; transactions are the caller's.

    Raises ``sqlite3.Error``, and ``BaseDamaged`` for bytes that are not those that were written.

    The last runs that were read are kept, since a reader mostly goes on where it was, and for one that does some more
    are read ahead. All but ``kept`` is for one thread at a time.
    """

    def __init__(self, connection: sqlite3.Connection, segments: KeptSegments) -> None:
        self._connection = connection
        self._segments = segments
        self._lock = Lock()
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._kept_bytes = 0

    def kept(self, stream_id: int, position: int, stop: int) -> bytes:
        """The bytes from a position up to ``stop`` if they have been read already, else none. From any thread."""
        parts: list[memoryview] = []
        while position < stop:
            found = self._kept_at(stream_id, position)
            if found is None:
                return b""
            start, data = found
            parts.append(memoryview(data)[position - start : stop - start])
            position = start + len(data)
        return b"".join(parts)

    def _kept_at(self, stream_id: int, position: int) -> tuple[int, bytes] | None:
        with self._lock:
            data = self._kept.get((stream_id, position))
            if data is not None:
                # As for a reader that goes on, run by run.
                self._kept.move_to_end((stream_id, position))
                return position, data
            for key, data in self._kept.items():
                if key[0] == stream_id and key[1] <= position < key[1] + len(data):
                    self._kept.move_to_end(key)
                    return key[1], data
        return None

    def read(self, stream_id: int, position: int, stop: int) -> bytes:
        """A stream's own bytes from a position up to ``stop``, or as far as they are here without a gap."""
        goes_on = position > 0 and self._kept_at(stream_id, position - 1) is not None
        parts: list[memoryview] = []
        for run in self._from(stream_id, position, stop + READ_AHEAD if goes_on else stop):
            if not run.start <= position < run.end:
                break
            try:
                data = self._content(stream_id, run)
            except BaseDamaged:
                if self._is_there(stream_id, run):
                    raise
                # The checkpointer has joined, moved or removed it meanwhile.
                return b"".join(parts) or self.read(stream_id, position, stop)
            parts.append(memoryview(data)[position - run.start : max(0, stop - run.start)])
            position = run.end
        return b"".join(parts)

    def _from(self, stream_id: int, position: int, stop: int) -> list[Run]:
        query = (
            f"select {_COLUMNS} from runs where stream_id = :stream and start < :stop and start >= "
            "(select max(start) from runs where stream_id = :stream and start <= :position) order by start"
        )
        found = self._connection.execute(query, {"stream": stream_id, "position": position, "stop": stop})
        return [Run._make(row) for row in found]

    def _is_there(self, stream_id: int, run: Run) -> bool:
        return run in self._from(stream_id, run.start, run.end)

    def _content(self, stream_id: int, run: Run) -> bytes:
        key = (stream_id, run.start)
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and len(kept) == run.length:
            return kept
        data = self._checked(stream_id, run)
        with self._lock:
            self._remember(key, data)
        return data

    def _remember(self, key: tuple[int, int], data: bytes) -> None:
        self._kept_bytes += len(data) - len(self._kept.pop(key, b""))
        self._kept[key] = data
        while self._kept_bytes > KEPT_BYTES or len(self._kept) > KEPT_RUNS:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest)

    def _checked(self, stream_id: int, run: Run) -> bytes:
        where = f"the run of stream {stream_id} at {run.start}"
        if run.segment is not None:
            where += f", in journal file {segment_name(run.segment)} at position {run.position},"
        try:
            data = self._stored(run)
        except (sqlite3.OperationalError, OSError) as error:
            raise BaseDamaged(f"{where} cannot be read: {error}") from None
        if len(data) != run.length:
            raise BaseDamaged(f"{where} has {len(data)} of {run.length} bytes")
        if run.checksum is not None and crc32(data, run.seed or 0) != run.checksum:
            raise BaseDamaged(f"{where} has the wrong checksum")
        return data

    def _stored(self, run: Run) -> bytes:
        if run.segment is not None and run.position is not None:
            return self._segments.read(run.segment, run.position, run.length)
        with self._connection.blobopen("data", "bytes", run.data_id, readonly=True) as blob:
            return blob.read()

    def spans(self, stream_id: int) -> list[tuple[int, int]]:
        """Where a stream's bytes begin and end without a gap, in order."""
        spans: list[tuple[int, int]] = []
        query = "select start, length from runs where stream_id = ? order by start"
        for start, length in self._connection.execute(query, (stream_id,)):
            end = start + length
            if spans and spans[-1][1] == start:
                start = spans.pop()[0]
            spans.append((start, end))
        return spans

    # --- writing

    def add(self, stream_id: int, start: int, data: bytes, earliest: int = 0) -> None:
        """Append bytes to a stream's runs.

        Short runs before them are joined while they are less than twice as long: every byte is then rewritten a
        number of times that grows with the logarithm of a run's length only. Runs that begin before ``earliest``, with
        what the stream has dropped, are left alone.
        """
        for first in range(0, len(data), LARGEST_RUN):
            self._add(stream_id, start + first, data[first : first + LARGEST_RUN], earliest)

    def _add(self, stream_id: int, start: int, data: bytes, earliest: int) -> None:
        while (last := self._last(stream_id, start)) is not None:
            if last.end != start or last.start < earliest or last.segment is not None:
                break
            if last.length >= 2 * len(data) or last.length + len(data) > LARGEST_RUN:
                break
            data = self._checked(stream_id, last) + data
            start = last.start
            self._remove(stream_id, [last])
        self._write(stream_id, start, data)

    def _write(self, stream_id: int, start: int, data: bytes) -> None:
        written = self._connection.execute("insert into data (bytes) values (?)", (data,)).lastrowid
        self._connection.execute(
            f"insert into runs (stream_id, {_COLUMNS}) values (?, ?, ?, ?, ?, null, null, null)",
            (stream_id, start, len(data), written, crc32(data)),
        )

    def keep(self, stream_id: int, start: int, segment: int, piece: Piece) -> None:
        """Append bytes to a stream's runs that stay where they are, in a kept segment."""
        self._connection.execute(
            f"insert into runs (stream_id, {_COLUMNS}) values (?, ?, ?, 0, ?, ?, ?, ?)",
            (stream_id, start, piece.length, piece.checksum, segment, piece.position, piece.seed),
        )
        self._segments.count(segment, piece.length)

    def leave(self, segment: int, most: int) -> int:
        """Copy up to ``most`` runs out of a kept segment; returns how many those were."""
        query = f"select stream_id, {_COLUMNS} from runs where segment = ? limit ?"
        found = self._connection.execute(query, (segment, most)).fetchall()
        for stream_id, *columns in found:
            run = Run._make(columns)
            data = self._checked(stream_id, run)
            self._remove(stream_id, [run])
            self._write(stream_id, run.start, data)
        return len(found)

    def _remove(self, stream_id: int, runs: Sequence[Run]) -> None:
        stored = [(run.data_id,) for run in runs if run.segment is None]
        self._connection.executemany("delete from data where data_id = ?", stored)
        for run in runs:
            if run.segment is not None:
                self._segments.count(run.segment, -run.length)
        self._connection.executemany(
            "delete from runs where stream_id = ? and start = ?", [(stream_id, run.start) for run in runs]
        )

    def _last(self, stream_id: int, before: int) -> Run | None:
        """The last run of a stream that begins before a position."""
        query = f"select {_COLUMNS} from runs where stream_id = ? and start < ? order by start desc limit 1"
        row = self._connection.execute(query, (stream_id, before)).fetchone()
        return None if row is None else Run._make(row)

    def remove_some(self, stream_id: int, most: int) -> int:
        """Remove up to ``most`` runs of a stream; returns how many those were."""
        rows = self._connection.execute(f"select {_COLUMNS} from runs where stream_id = ? limit ?", (stream_id, most))
        runs = [Run._make(row) for row in rows.fetchall()]
        self._remove(stream_id, runs)
        return len(runs)

    def trim(self, stream_id: int, earliest: int, lent: tuple[int, int], most: int) -> int:
        """Remove up to ``most`` runs that a stream which begins at ``earliest`` does not need; returns how many.

        ``lent`` is where the bytes lie that forks need. When all are gone, the run that the earliest byte lies in is
        shortened.
        """
        runs = self.unneeded(stream_id, earliest, lent, most)
        self._remove(stream_id, runs)
        if len(runs) < most:
            self._shorten_first(stream_id, earliest, lent)
        return len(runs)

    def unneeded(self, stream_id: int, earliest: int, lent: tuple[int, int], most: int) -> list[Run]:
        """Some runs that lie before the earliest byte and not where bytes are lent."""
        query = (
            f"select {_COLUMNS} from runs where stream_id = ? and start < ? and start + length <= ? "
            "and (start + length <= ? or start >= ?) limit ?"
        )
        found = self._connection.execute(query, (stream_id, earliest, earliest, *lent, most))
        return [Run._make(row) for row in found.fetchall()]

    def _shorten_first(self, stream_id: int, earliest: int, lent: tuple[int, int]) -> None:
        """Cut the front off the run that the earliest byte lies in, when that is more than half of it."""
        run = self._last(stream_id, earliest)
        if run is None:
            return
        is_lent = run.start < lent[1] and lent[0] < earliest
        if is_lent or earliest >= run.end or 2 * (earliest - run.start) <= run.length:
            return
        data = self._checked(stream_id, run)
        self._remove(stream_id, [run])
        self._write(stream_id, earliest, data[earliest - run.start :])

    # --- checking

    def faults(self) -> list[str]:
        """Every run whose bytes are not those that were written."""
        query = f"select stream_id, {_COLUMNS} from runs order by stream_id, start"
        found = []
        for stream_id, *columns in self._connection.execute(query):
            try:
                self._checked(stream_id, Run._make(columns))
            except BaseDamaged as damage:
                found.append(str(damage))
        return found
