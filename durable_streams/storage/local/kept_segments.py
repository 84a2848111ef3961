"""Journal segments that have been folded and are kept, because large records are never copied out of them."""

from __future__ import annotations

from sqlite3 import Connection

from durable_streams.storage.local.files import Files
from durable_streams.storage.local.segment import segment_name


class KeptSegments:
    """Knows which segments are kept, and how much of each is needed; transactions are the caller's.

    Raises ``sqlite3.Error``.
    """

    def __init__(self, connection: Connection, files: Files) -> None:
        self._connection = connection
        self._files = files

    def numbers(self) -> set[int]:
        """The segments whose files must stay."""
        query = "select segment from kept_segments where needed > 0"
        return {number for (number,) in self._connection.execute(query)}

    def __contains__(self, segment: int) -> bool:
        query = "select 1 from kept_segments where segment = ?"
        return self._connection.execute(query, (segment,)).fetchone() is not None

    def read(self, segment: int, position: int, length: int) -> bytes:
        """Bytes of a segment, fewer where the file ends before. Raises ``OSError``."""
        return self._files.read_at(segment_name(segment), position, length)

    def keep(self, segment: int, size: int) -> None:
        """Keep a segment with ``size`` bytes of batches, of which nothing is needed yet."""
        self._connection.execute("insert into kept_segments values (?, ?, 0)", (segment, size))

    def count(self, segment: int, length: int) -> None:
        """So many bytes more of a segment are needed; a negative number is what is not needed any more."""
        self._connection.execute("update kept_segments set needed = needed + ? where segment = ?", (length, segment))

    def one_to_leave(self) -> int | None:
        """A segment of which less than half is needed."""
        return self._one("select segment from kept_segments where 2 * needed < size and needed > 0 limit 1")

    def one_to_free(self) -> int | None:
        """A segment of which nothing is needed."""
        return self._one("select segment from kept_segments where needed = 0 limit 1")

    def _one(self, query: str) -> int | None:
        row = self._connection.execute(query).fetchone()
        return None if row is None else int(row[0])

    def leave_alone(self, segment: int) -> None:
        """Move nothing out of a segment until nothing of it is needed: something of it cannot be read."""
        self._connection.execute("update kept_segments set size = 0 where segment = ?", (segment,))

    def forget(self, segment: int) -> None:
        """The file of a segment of which nothing is needed has gone."""
        self._connection.execute("delete from kept_segments where segment = ? and needed = 0", (segment,))
