"""Numbers that name streams for ever."""

from __future__ import annotations


class StreamIds:
    """Ids that grow, and follow the clock, so that they differ also from those of a storage that was wiped."""

    def __init__(self, last: int = 0) -> None:
        self._last = last

    def next(self, now: float) -> int:
        self._last = max(self._last + 1, int(now * 1_000_000))
        return self._last
