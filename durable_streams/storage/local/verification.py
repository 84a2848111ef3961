"""Checking a data directory that nobody uses: every checksum, and everything that must hold between the parts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from durable_streams.errors import StorageFailed
from durable_streams.storage.local.base import FILE_NAME, BaseStore, connect
from durable_streams.storage.local.checkpointer import JOURNAL
from durable_streams.storage.local.files import OsFiles
from durable_streams.storage.local.folding import load_touched
from durable_streams.storage.local.journal import segment_name, segment_numbers
from durable_streams.storage.local.residents import Residents
from durable_streams.storage.local.segment import SegmentDamaged, SegmentReader


@dataclass(frozen=True)
class Figures:
    """What a data directory holds. Sizes are in bytes; ``unfolded_events`` are those that only the journal has."""

    streams: int
    soft_deleted: int
    stream_bytes: int
    runs: int
    base_bytes: int
    journal_bytes: int
    unfolded_segments: int
    unfolded_events: int


def figures(directory: Path) -> Figures:
    """Count what is there; also beside a running service. Raises ``StorageFailed``."""
    connection = _connected(directory)
    base = BaseStore(connection)

    def one(query: str) -> int:
        return int(connection.execute(query).fetchone()[0] or 0)

    journal = OsFiles(directory / JOURNAL)
    numbers = [number for number in segment_numbers(journal) if number > base.folded_segment()]
    events = sum(
        sum(1 for _ in SegmentReader(number, journal.read(segment_name(number))).events()) for number in numbers
    )
    found = Figures(
        one("select count(*) from streams"),
        one("select count(*) from streams where soft_deleted"),
        one("select sum(length) from runs"),
        one("select count(*) from runs"),
        (directory / FILE_NAME).stat().st_size,
        sum(path.stat().st_size for path in (directory / JOURNAL).iterdir()),
        len(numbers),
        events,
    )
    connection.close()
    return found


def faults(directory: Path) -> Iterator[str]:
    """One sentence for everything that is wrong. The directory must not be in use."""
    try:
        connection = _connected(directory)
    except StorageFailed as failure:
        yield failure.reason
        return
    base = BaseStore(connection)
    yield from _faults_of_sqlite(connection)
    yield from _faults_of_runs(connection)
    yield from _faults_of_forks(connection)
    yield from _faults_of_journal(directory, base)
    connection.close()


def _connected(directory: Path) -> sqlite3.Connection:
    if not (directory / FILE_NAME).exists():
        raise StorageFailed(f"{directory} is not a data directory of durable-streams")
    try:
        return connect(directory)
    except sqlite3.Error as error:
        raise StorageFailed(f"{FILE_NAME}: {error}") from None


def _faults_of_sqlite(connection: sqlite3.Connection) -> Iterator[str]:
    for (line,) in connection.execute("pragma integrity_check"):
        if line != "ok":
            yield f"{FILE_NAME}: {line}"


def _faults_of_runs(connection: sqlite3.Connection) -> Iterator[str]:
    """The runs of a stream must follow each other from its beginning to its tail."""
    kept = (
        "select stream_id, start, length, length(bytes) from runs left join data using (data_id) "
        "order by stream_id, start"
    )
    ends: dict[int, int] = {}
    for stream_id, start, length, found in connection.execute(kept):
        if found != length:
            yield f"stream {stream_id}: the run at {start} should have {length} bytes, it has {found}"
        if stream_id in ends and ends[stream_id] != start:
            yield f"stream {stream_id}: bytes from {ends[stream_id]} to {start} are missing"
        ends[stream_id] = start + length
    for stream_id, path, tail, fork in connection.execute("select stream_id, path, tail, fork from streams"):
        if ends.get(stream_id, tail if fork else 0) != tail:
            yield f"stream {path}: its tail is {tail}, its bytes end at {ends.get(stream_id, 0)}"


def _faults_of_forks(connection: sqlite3.Connection) -> Iterator[str]:
    """Every source must be there and know how many forks need it."""
    base = BaseStore(connection)
    counted: dict[int, int] = {}
    rows = connection.execute("select stream_id, forks, path from streams").fetchall()
    for stream in base.by_ids(stream_id for stream_id, _, _ in rows):
        if stream.fork is not None:
            counted[stream.fork.source_id] = counted.get(stream.fork.source_id, 0) + 1
    for stream_id, forks, path in rows:
        if forks != counted.pop(stream_id, 0):
            yield f"stream {path}: it counts {forks} forks, and there are others"
    for source in counted:
        yield f"a fork needs stream {source}, which is not there"


def _faults_of_journal(directory: Path, base: BaseStore) -> Iterator[str]:
    """Every unfolded segment must be readable and fit to what was before."""
    files = OsFiles(directory / JOURNAL)
    folded = base.folded_segment()
    residents = Residents(budget=1 << 62)
    expected = folded + 1
    for number in segment_numbers(files):
        if number <= folded:
            continue
        if number != expected:
            yield f"journal file {segment_name(expected)} is missing"
        expected = number + 1
        reader = SegmentReader(number, files.read(segment_name(number)))
        try:
            events = list(reader.events())
            known = set(residents.hot)
            load_touched(base, residents.catalog, events)
            loaded = [stream for stream_id, stream in residents.catalog.by_id.items() if stream_id not in known]
            residents.load(loaded)
            residents.link_sources(loaded)
            residents.replay(number, events)
        except SegmentDamaged as damage:
            yield f"journal file {segment_name(number)} at position {damage.position}: {damage.reason}"
        except StorageFailed as failure:
            yield failure.reason
