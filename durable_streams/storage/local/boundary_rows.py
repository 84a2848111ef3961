"""Where the messages of streams end, as rows of the base store: a chunk of groups each, all numbers little-endian."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from sqlite3 import Connection

from durable_streams.protocol.retention import Boundaries, Groups
from durable_streams.protocol.stream import Stream

_GROUP_LENGTH = 8 + 8 + 4


def write_boundaries(connection: Connection, stream_id: int, boundaries: Boundaries) -> None:
    """Write the chunks that have changed, and remove those that are not kept any more."""
    rows = [(stream_id, number, _bytes_of(groups)) for number, groups in boundaries.changed_chunks()]
    connection.executemany("insert or replace into boundaries values (?, ?, ?)", rows)
    connection.execute("delete from boundaries where stream_id = ? and chunk < ?", (stream_id, boundaries.first_chunk))


def read_boundaries(connection: Connection, streams: Sequence[Stream]) -> None:
    """Give streams that have a policy what is known of their messages."""
    for stream in streams:
        if stream.boundaries is None:
            continue
        query = "select chunk, groups from boundaries where stream_id = ? order by chunk"
        rows = connection.execute(query, (stream.stream_id,)).fetchall()
        if rows:
            stream.boundaries.restore(rows[0][0], _joined([groups for _, groups in rows]))


def _bytes_of(groups: Groups) -> bytes:
    return b"".join([_little_endian(part).tobytes() for part in groups])


def _joined(chunks: Sequence[bytes]) -> Groups:
    ends, times, counts = array("Q"), array("d"), array("I")
    for chunk in chunks:
        count = len(chunk) // _GROUP_LENGTH
        ends.frombytes(chunk[: 8 * count])
        times.frombytes(chunk[8 * count : 16 * count])
        counts.frombytes(chunk[16 * count :])
    return _little_endian(ends), _little_endian(times), _little_endian(counts)


def _little_endian(numbers: array) -> array:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers
