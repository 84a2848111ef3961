"""Folding: the events of a sealed journal segment become rows and runs of the base store, in one transaction.

A segment of which at least half is large data is kept: that data is never copied, its runs say where it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import NamedTuple

from msgspec.structs import replace

from durable_streams.protocol.events import Appended, Event, StreamCreated
from durable_streams.protocol.stream import Stream
from durable_streams.storage.catalog import Catalog
from durable_streams.storage.local.base import BaseStore
from durable_streams.storage.local.runs import BaseDamaged
from durable_streams.storage.local.sealed_segment import SealedSegment
from durable_streams.storage.local.segment import Piece, Record


def load_touched(base: BaseStore, catalog: Catalog, events: Sequence[Event]) -> None:
    """Bring into ``catalog`` what ``events`` need: their streams, and for creations and deletions the sources."""
    wanted = {event.stream_id for event in events}
    wanted |= {event.fork.source_id for event in events if isinstance(event, StreamCreated) and event.fork is not None}
    wanted -= catalog.by_id.keys()
    while wanted:
        sources = set()
        for stream in base.by_ids(sorted(wanted)):
            catalog.add(stream)
            if stream.fork is not None:
                sources.add(stream.fork.source_id)
        wanted = sources - catalog.by_id.keys()


LARGE = 64 * 1024
"""The size from which on data is not copied out of its segment, when that is kept, in bytes."""

LEAVE_STEP = 8
"""How many runs are copied out of a kept segment at once."""


class Part(NamedTuple):
    """Some new bytes of a stream; ``pieces`` is where they lie in the segment when they are large."""

    start: int
    data: bytes
    pieces: tuple[Piece, ...]

    @property
    def is_large(self) -> bool:
        return bool(self.pieces)


class Folding:
    """Applies one segment to the base store. Applying it again, or one that is older, changes nothing.

    ``free`` is called with the number of each segment whose file is needed no more, by anything that is committed; more
    than once when that was not noted in time. ``warn`` is called with a sentence for the operator about damage that
    stops nothing.
    """

    def __init__(self, base: BaseStore, free: Callable[[int], None], warn: Callable[[str], None]) -> None:
        self._base = base
        self._free = free
        self._warn = warn

    def fold(self, segment: SealedSegment) -> None:
        """Fold the segment after the last one. Raises ``sqlite3.Error`` or ``BaseDamaged``; then nothing
        was changed.
        """
        with _transaction(self._base.connection):
            if self._base.folded_segment() == segment.number - 1:
                self._apply(segment)

    def _apply(self, segment: SealedSegment) -> None:
        base = self._base
        catalog = Catalog()
        load_touched(base, catalog, [record.event for record in segment.records])
        changed: set[int] = set()
        removed: set[int] = set()
        written: dict[int, list[Part]] = {}
        producers: dict[int, set[str]] = {}
        for record in segment.records:
            event = _readable(catalog, record)
            gone = catalog.apply(event)
            changed.add(event.stream_id)
            if isinstance(event, StreamCreated) and event.fork is not None:
                changed.add(event.fork.source_id)
            if isinstance(event, Appended | StreamCreated) and event.data:
                start = catalog.by_id[event.stream_id].tail - len(event.data)
                written.setdefault(event.stream_id, []).append(Part(start, event.data, record.pieces))
            if isinstance(event, Appended) and event.producer is not None:
                producers.setdefault(event.stream_id, set()).add(event.producer.producer_id)
            for stream in gone:
                removed.add(stream.stream_id)
                if stream.fork is not None:
                    changed.add(stream.fork.source_id)
        for stream_id in removed:
            base.remove_stream(stream_id)
            written.pop(stream_id, None)
            producers.pop(stream_id, None)
        for stream_id in sorted(changed - removed):
            base.write_stream(catalog.by_id[stream_id])
        self._write_bytes(segment, {catalog.by_id[stream_id]: parts for stream_id, parts in written.items()})
        for stream_id, names in producers.items():
            states = catalog.by_id[stream_id].producers
            base.write_producers(stream_id, {name: states[name] for name in names})
        last = max((record.event.stream_id for record in segment.records), default=0)
        base.record_progress(segment.number, last)

    def _write_bytes(self, segment: SealedSegment, written: dict[Stream, list[Part]]) -> None:
        """Write the new bytes of streams, without what they have dropped already."""
        large = sum(len(part.data) for stream, parts in written.items() for part in parts if _stays(stream, part))
        if 2 * large < segment.length:
            for stream, parts in written.items():
                self._copy(stream, parts)
            return
        self._base.kept_segments.keep(segment.number, segment.length)
        for stream, parts in written.items():
            for is_large, some in groupby(parts, lambda part: part.is_large):
                if is_large:
                    self._keep(stream, segment.number, list(some))
                else:
                    self._copy(stream, list(some))

    def _copy(self, stream: Stream, parts: Sequence[Part]) -> None:
        start = parts[0].start
        data = b"".join(part.data for part in parts)
        for low, high in stream.needed(start, start + len(data)):
            self._base.runs.add(stream.stream_id, low, data[low - start : high - start], stream.earliest)

    def _keep(self, stream: Stream, segment: int, parts: Sequence[Part]) -> None:
        for part in parts:
            start = part.start
            for piece in part.pieces:
                if stream.needed(start, start + piece.length):
                    self._base.runs.keep(stream.stream_id, start, segment, piece)
                start += piece.length

    def collect_garbage(self) -> bool:
        """One small step of removing bytes that nobody needs, or of making the file smaller; False when all is done."""
        with _transaction(self._base.connection):
            more = self._base.collect_garbage() or self._leave_segment()
        return more or self._free_segment() or self._base.give_back_pages()

    def _leave_segment(self) -> bool:
        """Copy some bytes out of a kept segment most of which nobody needs, so that its file can go."""
        segment = self._base.kept_segments.one_to_leave()
        if segment is None:
            return False
        try:
            self._base.runs.leave(segment, LEAVE_STEP)
        except BaseDamaged as damage:
            self._warn(f"{damage}; its segment is left as it is")
            self._base.kept_segments.leave_alone(segment)
        return True

    def free_files(self, segment: int) -> None:
        """Let the file of a folded segment go, if it has not been kept, and those of which nothing is needed any more.

        All of them, since under load there may be no time for anything else.
        """
        if segment not in self._base.kept_segments:
            self._free(segment)
        while self._free_segment():
            pass

    def _free_segment(self) -> bool:
        """Let a kept segment go of which nothing is needed any more."""
        segment = self._base.kept_segments.one_to_free()
        if segment is None:
            return False
        # In this order it is never forgotten: whoever dies in between lets it go once more.
        self._free(segment)
        with _transaction(self._base.connection):
            self._base.kept_segments.forget(segment)
        return True


def _readable(catalog: Catalog, record: Record) -> Event:
    """The record's event, with its data copied where the messages in it have to be found."""
    event = record.event
    if not record.pieces or not isinstance(event, Appended | StreamCreated):
        return event
    limits = event.retention if isinstance(event, StreamCreated) else catalog.by_id[event.stream_id].boundaries
    return event if limits is None else replace(event, data=bytes(event.data))


def _stays(stream: Stream, part: Part) -> bool:
    return part.is_large and bool(stream.needed(part.start, part.start + len(part.data)))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; a failure to which SQLite has rolled back itself, as to a full disk, is told as it was."""
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise
