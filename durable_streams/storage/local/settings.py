"""What an operator may choose about the local storage."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Sizes are in bytes.

    ``segment_bytes`` is the size of a journal segment, ``hot_bytes`` the memory for streams and their recent bytes
    beyond what must be there. When ``slow_segments`` wait to be folded, commits are held back; at ``most_segments``
    writes are refused until the checkpointer has caught up. A batch is synced on the reactor as long as that takes
    less than ``inline_seconds``; 0 leaves every batch to the writer thread, as one of ``large_batch`` bytes is always.
    """

    segment_bytes: int = 16 * MIB
    hot_bytes: int = 256 * MIB
    slow_segments: int = 8
    most_segments: int = 32
    inline_seconds: float = 0.001
    large_batch: int = MIB // 2
