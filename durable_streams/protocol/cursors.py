"""Cursors: numbers that change as time passes, so that no cache serves one empty answer for ever (Section 10.1)."""

from __future__ import annotations

import re
from collections.abc import Callable

INTERVAL = 20
EPOCH = 1_728_432_000  # 2024-10-09T00:00:00Z
LONGEST_JITTER = 3600

_CURSOR = re.compile(r"[0-9]{1,15}", re.ASCII)


def parse_cursor(value: str | None) -> int | None:
    """The cursor that a client echoes; what is not one of ours counts as none, for it is only a cache key."""
    if value is None or not _CURSOR.fullmatch(value):
        return None
    return int(value)


def current_interval(now: float) -> int:
    """The number of whole intervals since the epoch."""
    return max(0, int(now - EPOCH) // INTERVAL)


def next_cursor(now: float, echoed: int | None, random_second: Callable[[int, int], int]) -> int:
    """The cursor of a live response: the current interval, or a jittered step past a client that is already there.

    ``random_second(1, 3600)`` draws the jitter in seconds, both ends included, as ``random.randint`` does.
    """
    current = current_interval(now)
    if echoed is None or echoed < current:
        return current
    return echoed + max(1, random_second(1, LONGEST_JITTER) // INTERVAL)
