"""Figures about a running service, for whoever watches it: plain numbers, counted as things happen, read when asked."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple


class Measure(NamedTuple):
    """One figure of now. ``name`` has its unit in it, ``meaning`` is one sentence; ``is_total`` only ever grows."""

    name: str
    meaning: str
    value: float
    is_total: bool = False


class Durations:
    """How long something took, each time: how often up to each of ``bounds`` (seconds), and the sum of all."""

    __slots__ = ("bounds", "counts", "seconds")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """It took that long."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.seconds += seconds


class Timing(NamedTuple):
    """Durations under a name, as ``Measure`` is for a figure."""

    name: str
    meaning: str
    durations: Durations


class Activity:
    """What a service has done since it was made."""

    __slots__ = ("appended_bytes", "appends", "created", "deleted", "expired")

    def __init__(self) -> None:
        self.appends = 0
        self.appended_bytes = 0
        self.created = 0
        self.deleted = 0
        self.expired = 0

    def measures(self) -> list[Measure]:
        """All of it."""
        return [
            Measure("appends", "Appends and closes accepted, repetitions of a producer left out.", self.appends, True),
            Measure("appended_bytes", "Bytes of accepted appends, as clients sent them.", self.appended_bytes, True),
            Measure("streams_created", "Streams and forks created.", self.created, True),
            Measure("streams_deleted", "Streams deleted by request.", self.deleted, True),
            Measure("streams_expired", "Streams that have expired.", self.expired, True),
        ]
