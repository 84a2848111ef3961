"""Numbers that name streams for ever."""

from __future__ import annotations


class StreamIds:
    """Ids that grow, and follow the clock, so that they differ also from those of a storage that was wiped."""

    def __init__(self, last: int = 0) -> None:
        self._last = last

    def next(self, now: float) -> int:
        by_clock = int(now * 1_000_000)
        self._last = by_clock if by_clock > self._last else self._last + 1
        return self._last
