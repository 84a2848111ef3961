"""Folding: the events of a sealed journal segment become rows and runs of the base store, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from durable_streams.protocol.events import Appended, Event, StreamCreated
from durable_streams.protocol.stream import Stream
from durable_streams.storage.catalog import Catalog
from durable_streams.storage.local.base import BaseStore


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


class Folding:
    """Applies one segment to the base store. Applying it again, or one that is older, changes nothing."""

    def __init__(self, base: BaseStore) -> None:
        self._base = base

    def fold(self, segment: int, events: Sequence[Event]) -> None:
        """Fold the segment after the last one. Raises ``sqlite3.Error`` or ``BaseDamaged``; then nothing
        was changed.
        """
        with _transaction(self._base.connection):
            if self._base.folded_segment() == segment - 1:
                self._apply(segment, events)

    def _apply(self, segment: int, events: Sequence[Event]) -> None:
        base = self._base
        catalog = Catalog()
        load_touched(base, catalog, events)
        changed: set[int] = set()
        removed: set[int] = set()
        written: dict[int, list[bytes]] = {}
        producers: dict[int, set[str]] = {}
        for event in events:
            gone = catalog.apply(event)
            changed.add(event.stream_id)
            if isinstance(event, StreamCreated) and event.fork is not None:
                changed.add(event.fork.source_id)
            if isinstance(event, Appended | StreamCreated) and event.data:
                written.setdefault(event.stream_id, []).append(event.data)
            if isinstance(event, Appended) and event.producer is not None:
                producers.setdefault(event.stream_id, set()).add(event.producer.producer_id)
            for stream in gone:
                removed.add(stream.stream_id)
                if stream.fork is not None:
                    changed.add(stream.fork.source_id)
        for stream_id in removed:
            base.remove_stream(stream_id)
        for stream_id in sorted(changed - removed):
            base.write_stream(catalog.by_id[stream_id])
        for stream_id, parts in written.items():
            if stream_id not in removed:
                self._write_needed(catalog.by_id[stream_id], b"".join(parts))
        for stream_id, names in producers.items():
            if stream_id not in removed:
                states = catalog.by_id[stream_id].producers
                base.write_producers(stream_id, {name: states[name] for name in names})
        base.record_progress(segment, max((event.stream_id for event in events), default=0))

    def _write_needed(self, stream: Stream, data: bytes) -> None:
        """Write the newest bytes of a stream, without what it has dropped already."""
        start = stream.tail - len(data)
        for low, high in stream.needed(start, stream.tail):
            self._base.runs.add(stream.stream_id, low, data[low - start : high - start], stream.earliest)

    def collect_garbage(self) -> bool:
        """One small step of removing bytes that nobody needs, or of making the file smaller; False when all is done."""
        with _transaction(self._base.connection):
            more = self._base.collect_garbage()
        return more or self._base.give_back_pages()


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
