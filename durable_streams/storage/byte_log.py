"""The bytes of one stream in memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

CHUNK = 64 * 1024


class ByteLog:
    """An append-only run of bytes, addressed by position.

    Small appends are joined into chunks, so that memory and reads cost by the byte and not by the append; large ones
    are kept as they came. ``start`` is the position of the first byte held, ``end`` the one after the last.
    """

    __slots__ = ("_chunks", "_open", "_open_start", "_starts", "end", "start")

    def __init__(self, start: int) -> None:
        self.start = self.end = self._open_start = start
        self._chunks: list[bytes] = []
        self._starts: list[int] = []
        self._open = bytearray()

    def __len__(self) -> int:
        return self.end - self.start

    def append(self, data: bytes) -> None:
        if len(data) >= CHUNK:
            self._seal()
            self._add_chunk(data)
        else:
            self._open += data
            self.end += len(data)
            if len(self._open) >= CHUNK:
                self._seal()

    def _seal(self) -> None:
        if self._open:
            self._chunks.append(bytes(self._open))
            self._starts.append(self._open_start)
            self._open = bytearray()
        self._open_start = self.end

    def _add_chunk(self, data: bytes) -> None:
        self._chunks.append(data)
        self._starts.append(self.end)
        self.end += len(data)
        self._open_start = self.end

    def read(self, position: int, stop: int) -> bytes:
        """The bytes from ``position``, which is not below ``start``, up to ``stop`` or the end.

        Where more follows anyway, a chunk that begins there and is more than half of that is all the answer: it need
        not be copied.
        """
        if position >= self._open_start:
            offset = self._open_start
            return bytes(memoryview(self._open)[position - offset : stop - offset])
        index = bisect_right(self._starts, position) - 1
        first = self._chunks[index]
        wanted = stop - position
        if stop < self.end and position == self._starts[index] and wanted < 2 * len(first) <= 2 * wanted:
            return first
        return b"".join(self._parts(index, position, min(stop, self.end)))

    def _parts(self, index: int, position: int, stop: int) -> Iterator[memoryview]:
        """The pieces of the chunks from a number on, and of what is not a chunk yet."""
        while position < stop and index < len(self._chunks):
            offset = self._starts[index]
            chunk = self._chunks[index]
            yield memoryview(chunk)[position - offset : stop - offset]
            position = offset + len(chunk)
            index += 1
        if position < stop:
            yield memoryview(self._open)[: stop - self._open_start]

    def drop_before(self, position: int) -> None:
        """Forget what lies below ``position``; of what was joined already, memory comes back by whole chunks."""
        if position <= self.start:
            return
        if position >= self.end:
            self._chunks.clear()
            self._starts.clear()
            self._open = bytearray()
            self.start = self._open_start = self.end
            return
        count = max(0, bisect_right(self._starts, position) - 1)
        if position >= self._open_start:
            count = len(self._chunks)
            del self._open[: position - self._open_start]
            self._open_start = position
        del self._chunks[:count], self._starts[:count]
        self.start = position

    def drop_within(self, position: int, stop: int) -> None:
        """Forget whole chunks between ``position`` and ``stop``, which nobody will read again."""
        first = bisect_left(self._starts, position)
        last = max(first, bisect_right(self._starts, stop) - 1)
        del self._chunks[first:last], self._starts[first:last]
