"""A segment of the journal to which nothing is added any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from durable_streams.storage.local.files import Files
from durable_streams.storage.local.segment import NEVER, Record, SegmentDamaged, SegmentReader, segment_name


class SealedSegment(NamedTuple):
    """What a sealed segment has; ``length`` is that of its header and its batches, in bytes."""

    number: int
    records: Sequence[Record]
    length: int


def read_segment(files: Files, number: int, large: int = NEVER) -> SealedSegment:
    """Read a sealed segment, in which data of ``large`` bytes or more is located. Raises ``SegmentDamaged``."""
    reader = SegmentReader(number, files.read(segment_name(number)), large)
    records = list(reader.records())
    if not reader.sealed:
        raise SegmentDamaged(reader.end, "it ends too early")
    return SealedSegment(number, records, reader.end)
