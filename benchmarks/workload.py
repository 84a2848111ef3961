"""The shape of a workload, and the figures that several kinds share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.adapters import STREAM_ROOT
from benchmarks.load_generators import HttpLoad, Latency
from benchmarks.metrics import CPU, P50, P99, P999, REQUESTS, RESIDENT, WRITTEN, Figures, Metric
from benchmarks.trial import Spent, Trial

MEGABYTE = 1_000_000
TEXT = "text/plain"
BINARY = "application/octet-stream"
JSON = "application/json"
STREAM = f"{STREAM_ROOT}measured"
NUMBERED = f"{STREAM_ROOT}measured-"
# For preparations, whose time is not measured.
_PATIENCE_SECONDS = "900"
_WARM_UP_SECONDS = "0.3"


@dataclass(frozen=True)
class Workload:
    """One thing to measure: prepares its streams, lets a load loose, checks the answers, returns figures.

    ``headline`` are the metrics of the main table; ``most_rounds`` bounds how often a slow one is run.
    """

    name: str
    title: str
    headline: tuple[Metric, ...]
    measure: Callable[[Trial], Figures]
    most_rounds: int = 1_000


def counted(number: int, noun: str) -> str:
    """As in ``1 stream`` and ``1,000 streams``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def create_streams(trial: Trial, prefix: str, count: int) -> None:
    """Create text streams whose paths end with the numbers below ``count``."""
    trial.load.http("PUT", prefix, "--each-of", str(count), *of_text(201), "--connections", "8", *unhurried())


def unhurried() -> tuple[str, ...]:
    """Options of a load that is not measured."""
    return ("--seconds", _PATIENCE_SECONDS)


def of_text(status: int) -> tuple[str, ...]:
    """Options of a request for a text stream, and the status that its answer must have."""
    return ("--header", f"Content-Type: {TEXT}", "--status", str(status))


def closed_loop(trial: Trial, method: str, path: str, *options: str, connections: int = 32) -> tuple[HttpLoad, Spent]:
    """Run a load for the trial's time on a server that is warm, and count what it costs the server."""
    limits = ("--connections", str(connections), "--warm-up", _WARM_UP_SECONDS, "--seconds", str(trial.seconds))
    return load_and_spent(trial, method, path, *limits, *options)


def load_and_spent(trial: Trial, method: str, path: str, *options: str) -> tuple[HttpLoad, Spent]:
    with trial.spending() as spent:
        load = trial.load.http(method, path, *options)
    return load, spent


def request_figures(load: HttpLoad, spent: Spent) -> Figures:
    return {
        REQUESTS: load.per_second,
        **latency_figures(load.latency),
        **spent_figures(spent, load.answers),
    }


def latency_figures(latency: Latency) -> Figures:
    return {P50: latency.p50, P99: latency.p99, P999: latency.p999}


def spent_figures(spent: Spent, operations: int) -> Figures:
    return {CPU: spent.cpu_seconds * 1e6 / max(1, operations), RESIDENT: spent.resident_bytes / MEGABYTE}


def written_figures(trial: Trial, spent: Spent, appended_bytes: int) -> Figures:
    """What a durable server sent to its device, for each byte appended."""
    return {WRITTEN: spent.written_bytes / max(1, appended_bytes)} if trial.server.adapter.durable else {}
