"""What is measured, and in which units."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A kind of figure; ``more_is_better`` says which way to read a ratio."""

    unit: str
    more_is_better: bool


REQUESTS = Metric("requests/s", True)
MESSAGES = Metric("messages/s", True)
DELIVERIES = Metric("deliveries/s", True)
APPENDS = Metric("appends/s", True)
MEGABYTES = Metric("MB/s", True)
P50 = Metric("p50, ms", False)
P99 = Metric("p99, ms", False)
P999 = Metric("p99.9, ms", False)
CPU = Metric("CPU µs per operation", False)
CPU_PER_MEGABYTE = Metric("CPU ms per MB", False)
RESIDENT = Metric("memory at the end, MB", False)
WRITTEN = Metric("device bytes per byte", False)
READER_MEMORY = Metric("KB per reader", False)
STREAM_MEMORY = Metric("bytes per stream", False)

Figures = dict[Metric, float]
