"""Checking a data directory that nobody uses: every checksum, and everything that must hold between the parts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from durable_streams.errors import StorageFailed
from durable_streams.protocol.stream import Stream
from durable_streams.storage.local.base import FILE_NAME, BaseStore, connect
from durable_streams.storage.local.directory import JOURNAL
from durable_streams.storage.local.files import OsFiles
from durable_streams.storage.local.journal import segment_numbers
from durable_streams.storage.local.migration import migrate
from durable_streams.storage.local.recovery import replay_segment
from durable_streams.storage.local.residents import Residents
from durable_streams.storage.local.runs import BaseDamaged
from durable_streams.storage.local.segment import SegmentDamaged, SegmentReader, segment_name


@dataclass(frozen=True)
class Figures:
    """What a data directory holds. Sizes are in bytes; ``unfolded_events`` are those that only the journal has.

    Kept segments have large records of streams; ``kept_bytes_needed`` is how much of them is still part of one.
    """

    streams: int
    soft_deleted: int
    with_retention: int
    stream_bytes: int
    runs: int
    base_bytes: int
    kept_segments: int
    kept_bytes: int
    kept_bytes_needed: int
    journal_bytes: int
    unfolded_segments: int
    unfolded_events: int


def figures(directory: Path) -> Figures:
    """Count what is there; also beside a running service. Raises ``StorageFailed``."""
    connection = _connected(directory)
    base = BaseStore(connection, OsFiles(directory / JOURNAL))
    connection.execute("begin")

    def one(query: str) -> int:
        return int(connection.execute(query).fetchone()[0] or 0)

    folded = base.folded_segment()
    segments = dict(_segments(directory, folded))
    found = Figures(
        one("select count(*) from streams"),
        one("select count(*) from streams where soft_deleted"),
        one("select count(*) from streams where retention is not null"),
        one("select sum(length) from runs"),
        one("select count(*) from runs"),
        (directory / FILE_NAME).stat().st_size,
        one("select count(*) from kept_segments"),
        one("select sum(size) from kept_segments"),
        one("select sum(needed) from kept_segments"),
        sum(map(len, segments.values())),
        len(segments),
        sum(_events_in(number, content) for number, content in segments.items()),
    )
    connection.close()
    return found


def _segments(directory: Path, folded: int) -> Iterator[tuple[int, bytes]]:
    """The journal's segments after the last one folded; a service may remove some meanwhile."""
    journal = OsFiles(directory / JOURNAL)
    for number in (number for number in segment_numbers(journal) if number > folded):
        with suppress(FileNotFoundError):
            yield number, journal.read(segment_name(number))


def _events_in(number: int, content: bytes) -> int:
    """Events that are whole; a service may be writing behind them."""
    count = 0
    with suppress(SegmentDamaged):
        for _ in SegmentReader(number, content).events():
            count += 1
    return count


def faults(directory: Path) -> Iterator[str]:
    """One sentence for everything that is wrong. The directory must not be in use."""
    try:
        connection = _connected(directory)
    except StorageFailed as failure:
        yield failure.reason
        return
    try:
        # As the service would at its start; a directory or a backup may be older than this program.
        migrate(connection)
    except StorageFailed as failure:
        yield failure.reason
        return
    base = BaseStore(connection, OsFiles(directory / JOURNAL))
    # One snapshot: the checkpointer of a service that was killed may still be at work.
    connection.execute("begin")
    try:
        yield from _faults_of_sqlite(connection)
        yield from _faults_of_runs(base)
        yield from _faults_of_streams(base)
        yield from _faults_of_rows(base)
        yield from _faults_of_journal(directory, base)
    except (sqlite3.Error, BaseDamaged, msgspec.DecodeError) as error:
        yield f"{FILE_NAME}: {error}"
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


def _faults_of_runs(base: BaseStore) -> Iterator[str]:
    """Every run must have the bytes that were written, and no two of a stream may overlap."""
    yield from base.runs.faults()
    before, end = 0, 0
    kept = "select stream_id, start, length from runs order by stream_id, start"
    for stream_id, start, length in base.connection.execute(kept):
        if stream_id == before and start < end:
            yield f"stream {stream_id}: its run at {start} begins before the one before it ends, at {end}"
        before, end = stream_id, start + length


def _faults_of_streams(base: BaseStore) -> Iterator[str]:
    """Every byte that a stream or its forks need must be there, and every source know how many forks need it."""
    forks: dict[int, int] = {}
    counted: dict[int, int] = {}
    ids = [stream_id for (stream_id,) in base.connection.execute("select stream_id from streams")]
    for stream in base.by_ids(ids):
        counted[stream.stream_id] = stream.forks
        if stream.fork is not None:
            forks[stream.fork.source_id] = forks.get(stream.fork.source_id, 0) + 1
        yield from _faults_of_bytes(base, stream)
        yield from _faults_of_retention(base, stream)
    for stream_id, count in counted.items():
        if count != forks.pop(stream_id, 0):
            yield f"stream {stream_id}: it counts {count} forks, and there are others"
    for source in forks:
        yield f"a fork needs stream {source}, which is not there"


def _faults_of_bytes(base: BaseStore, stream: Stream) -> Iterator[str]:
    """What is needed of a stream's own bytes must be in runs that follow each other, up to the tail."""
    spans = base.runs.spans(stream.stream_id)
    if spans and spans[-1][1] > stream.tail:
        yield f"stream {stream.path}: its tail is {stream.tail}, its bytes end at {spans[-1][1]}"
    for low, high in stream.needed(stream.beginning, stream.tail):
        end = next((end for start, end in spans if start <= low < end), low)
        if end < high:
            missing = f"its bytes end at {end}" if high == stream.tail else f"bytes from {end} to {high} are missing"
            yield f"stream {stream.path}: its tail is {stream.tail}, {missing}"


def _faults_of_retention(base: BaseStore, stream: Stream) -> Iterator[str]:
    """A stream must begin where its messages do, and what is not needed must be gone, or be about to go."""
    if stream.boundaries is not None and stream.boundaries.end != stream.tail:
        yield f"stream {stream.path}: its tail is {stream.tail}, its messages end at {stream.boundaries.end}"
    if not stream.earliest <= stream.tail:
        yield f"stream {stream.path}: it begins at {stream.earliest}, behind its tail {stream.tail}"
    if stream.earliest > stream.beginning and base.has_unneeded_runs(stream) and not base.is_to_be_trimmed(stream):
        yield f"stream {stream.path}: bytes before {stream.earliest} are still there"


_MUST_BE_NONE = {
    "select 'stream ' || path || ': it is deleted, and no fork needs it' from streams where soft_deleted and not forks",
    "select 'stream ' || path || ': its id is higher than the last one given away' from streams, progress "
    "where stream_id > last_stream_id",
    *(
        f"select distinct 'stream ' || stream_id || ': it is not there, and has {table}' from {table} "
        "where stream_id not in (select stream_id from streams) and stream_id not in (select stream_id from garbage)"
        for table in ("runs", "producers", "boundaries")
    ),
    "select 'bytes ' || data_id || ' belong to no run' from data where data_id not in (select data_id from runs)",
    "select 'bytes ' || data_id || ' belong to more than one run' from runs where segment is null "
    "group by data_id having count(*) > 1",
    "select 'kept segment ' || segment || ': bytes at ' || position || ' belong to more than one run' from runs "
    "where segment is not null group by segment, position having count(*) > 1",
    "select distinct 'kept segment ' || segment || ': it is not known, and has runs' from runs "
    "where segment is not null and segment not in (select segment from kept_segments)",
    "select 'kept segment ' || segment || ': it has other than ' || needed || ' bytes that are needed' "
    "from kept_segments where needed != "
    "(select ifnull(sum(length), 0) from runs where runs.segment = kept_segments.segment)",
    "select 'kept segment ' || segment || ': it has not been folded' from kept_segments, progress "
    "where segment > folded_segment",
    "select 'stream ' || stream_id || ': it is there, and its bytes are to be removed' from streams "
    "join garbage using (stream_id)",
}


def _faults_of_rows(base: BaseStore) -> Iterator[str]:
    """What must hold between the tables: nothing without its stream, no bytes without their run."""
    for query in sorted(_MUST_BE_NONE):
        for (fault,) in base.connection.execute(query):
            yield fault


def _faults_of_journal(directory: Path, base: BaseStore) -> Iterator[str]:
    """Every unfolded segment must be readable and fit to what was before."""
    folded = base.folded_segment()
    residents = Residents(budget=1 << 62)
    expected = folded + 1
    open_segment = 0
    for number, content in _segments(directory, folded):
        if number != expected:
            yield f"journal file {segment_name(expected)} is missing"
        if open_segment:
            yield f"journal file {segment_name(open_segment)}: it ends too early"
        expected = number + 1
        reader = SegmentReader(number, content)
        try:
            events = list(reader.events())
            open_segment = 0 if reader.sealed else number
            replay_segment(base, residents, number, events)
        except SegmentDamaged as damage:
            yield f"journal file {segment_name(number)} at position {damage.position}: {damage.reason}"
        except StorageFailed as failure:
            yield failure.reason
        except KeyError as missing:
            yield f"journal file {segment_name(number)}: it has an event of stream {missing}, which is not there"
    if folded and expected == folded + 1:
        yield f"journal file {segment_name(expected)} is missing"
