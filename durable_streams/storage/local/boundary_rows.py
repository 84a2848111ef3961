"""Where the messages of streams end, and when they came, as rows of the base store: a chunk of messages each."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection

from durable_streams.protocol.retention import Boundaries
from durable_streams.protocol.stream import Stream
from durable_streams.storage.local.runs import BaseDamaged


def write_boundaries(connection: Connection, stream_id: int, boundaries: Boundaries) -> None:
    """Write the chunks that have changed, and remove those that are forgotten."""
    rows = [(stream_id, number, ends, times) for number, (ends, times) in boundaries.changed_chunks()]
    connection.executemany("insert or replace into boundaries values (?, ?, ?, ?)", rows)
    connection.execute("delete from boundaries where stream_id = ? and chunk < ?", (stream_id, boundaries.first_chunk))


def read_boundaries(connection: Connection, streams: Sequence[Stream]) -> None:
    """Give streams that have a policy what is known of their messages. Raises ``BaseDamaged``."""
    for stream in streams:
        if stream.boundaries is None:
            continue
        query = "select chunk, ends, times from boundaries where stream_id = ? order by chunk"
        rows = connection.execute(query, (stream.stream_id,)).fetchall()
        if not rows:
            continue
        try:
            stream.boundaries.restore(rows[0][0], [(ends, times) for _, ends, times in rows])
        except ValueError as error:
            raise BaseDamaged(f"where the messages of {stream.path} end cannot be read: {error}") from None
