"""A long row of whole numbers that never fall, of which the first ones are forgotten."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import ClassVar

from durable_streams.protocol.packed_numbers import last_and_count, pack, unpack


class RisingNumbers:
    """The numbers by their places, which are counted from the very first one, and do not change.

    They come in chunks. The newest are held as they are, the others packed; the chunk that was asked for last is
    unpacked beside. So a row takes few bytes a number, however long it is, and a look into it takes no longer.
    """

    CHUNK: ClassVar[int] = 256
    """Numbers that are packed, and kept elsewhere, together."""

    LOOSE: ClassVar[int] = 4096
    """From so many on that are held as they are, the oldest are packed: short rows are never packed and unpacked."""

    __slots__ = (
        "_known_from",
        "_lasts",
        "_loose",
        "_loose_from",
        "_packed",
        "_packed_bytes",
        "_unpacked",
        "count",
        "last",
    )

    count: int
    """How many there have been: the place of the next one."""

    last: int
    """The newest; 0 when there has been none."""

    def __init__(self) -> None:
        self.count = 0
        self.last = 0
        self._known_from = 0
        self._packed: list[bytes] = []
        self._packed_bytes = 0
        self._lasts = array("Q")
        self._loose = array("Q")
        self._loose_from = 0
        self._unpacked: tuple[bytes, array[int]] = (b"", array("Q"))

    @property
    def size(self) -> int:
        """The bytes that they take."""
        return self._packed_bytes + 8 * len(self._loose)

    @property
    def first_chunk(self) -> int:
        """The number of the first chunk that is not forgotten."""
        return self._known_from // self.CHUNK

    # --- looking

    def __getitem__(self, place: int) -> int:
        """The number at a place that is not forgotten."""
        if place >= self._loose_from:
            return self._loose[place - self._loose_from]
        index, inside = divmod(place - self._known_from, self.CHUNK)
        return self._numbers_of(index)[inside]

    def count_up_to(self, number: int) -> int:
        """How many are at most ``number``, those that are forgotten included."""
        lasts = self._lasts
        # Most looks are for the first chunk.
        index = 0 if lasts and number < lasts[0] else bisect_right(lasts, number)
        if index == len(lasts):
            return self._loose_from + bisect_right(self._loose, number)
        return self._known_from + index * self.CHUNK + bisect_right(self._numbers_of(index), number)

    def _numbers_of(self, index: int) -> array[int]:
        packed, numbers = self._packed[index], self._unpacked[1]
        if packed is not self._unpacked[0]:
            numbers = unpack(packed)
            self._unpacked = (packed, numbers)
        return numbers

    # --- changing

    def append(self, number: int) -> None:
        self._loose.append(number)
        self.count += 1
        self.last = number

    def extend(self, numbers: Sequence[int]) -> None:
        """Append some numbers, at least one."""
        self._loose.extend(numbers)
        self.count += len(numbers)
        self.last = numbers[-1]

    def pack(self) -> None:
        """Pack the oldest of many that are held as they are."""
        while len(self._loose) >= self.LOOSE:
            oldest = self._loose[: self.CHUNK]
            del self._loose[: self.CHUNK]
            self._loose_from += self.CHUNK
            self._hold(pack(oldest), oldest[-1])

    def _hold(self, packed: bytes, last: int) -> None:
        self._packed.append(packed)
        self._packed_bytes += len(packed)
        self._lasts.append(last)

    def forget_before(self, place: int) -> None:
        """Forget the chunks that are wholly before a place."""
        if place - self._known_from >= self.CHUNK:
            self._forget(place // self.CHUNK - self.first_chunk)

    def _forget(self, chunks: int) -> None:
        beyond = max(0, chunks - len(self._packed)) * self.CHUNK
        self._packed_bytes -= sum(map(len, self._packed[:chunks]))
        del self._packed[:chunks], self._lasts[:chunks], self._loose[:beyond]
        self._known_from += chunks * self.CHUNK
        self._loose_from += beyond

    # --- keeping them elsewhere

    def chunk(self, number: int) -> bytes:
        """A chunk that is not forgotten, packed."""
        index = number - self.first_chunk
        if index < len(self._packed):
            return self._packed[index]
        low = number * self.CHUNK - self._loose_from
        return pack(self._loose[low : low + self.CHUNK])

    def restore(self, first_chunk: int, chunks: Sequence[bytes]) -> None:
        """Take in chunks that follow each other, up to the newest. Raises ``ValueError`` for what can be none."""
        for packed in chunks[:-1]:
            last, count = last_and_count(packed)
            if count != self.CHUNK:
                raise ValueError(f"a chunk of {count} numbers")
            self._hold(packed, last)
        self._known_from = first_chunk * self.CHUNK
        self._loose_from = self._known_from + len(self._packed) * self.CHUNK
        self._loose = unpack(chunks[-1])
        self.count = self._loose_from + len(self._loose)
        self.last = self._loose[-1]
