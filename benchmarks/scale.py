"""How much a run of the comparison does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Default rounds and seconds of a measurement, and the sizes that take long to prepare.

    ``readers`` are those of one SSE stream, ``lengths`` messages in one stream, ``streams`` how many there are;
    ``idle_readers`` and ``counted_streams`` are how many share the memory that is measured.
    """

    rounds: int
    seconds: float
    catch_up_megabytes: int
    readers: tuple[int, ...]
    idle_readers: int
    lengths: tuple[int, ...]
    streams: tuple[int, ...]
    counted_streams: int


_READERS = (100, 1_000, 5_000)
_LENGTHS = (1_000, 100_000, 10_000_000)

SCALES = {
    "quick": Scale(1, 1.0, 20, (100, 1_000), 500, (1_000, 100_000), (1, 1_000), 5_000),
    "usual": Scale(3, 2.0, 100, _READERS, 2_000, _LENGTHS, (1, 1_000, 20_000), 20_000),
    "full": Scale(5, 3.0, 100, _READERS, 5_000, _LENGTHS, (1, 1_000, 100_000, 1_000_000), 100_000),
}
