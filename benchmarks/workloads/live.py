"""Readers that follow a stream while it grows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.metrics import APPENDS, DELIVERIES, P50, P99, Figures
from benchmarks.scale import Scale
from benchmarks.trial import Trial
from benchmarks.workload import STREAM, TEXT, Workload, counted, latency_figures, spent_figures

_LONG_POLLS = 100
_DRAIN_SECONDS = 20


def live_workloads(scale: Scale) -> Iterator[Workload]:
    yield Workload("long-poll", f"long-poll, {_LONG_POLLS} readers, append to answer", (P50, P99), _long_poll)
    for writers in (1, 16):
        for readers in scale.readers:
            title = f"SSE, {counted(writers, 'writer')} flat out, {readers:,} readers"
            measure = partial(_sse, writers=writers, readers=readers)
            yield Workload(f"sse-{writers}w-{readers}r", title, (DELIVERIES, P50, P99), measure)


def _long_poll(trial: Trial) -> Figures:
    trial.streams.create(STREAM, TEXT)
    options = ("--readers", str(_LONG_POLLS), "--seconds", str(trial.seconds))
    return latency_figures(trial.load.long_poll(STREAM, *options))


def _sse(trial: Trial, *, writers: int, readers: int) -> Figures:
    trial.streams.create(STREAM, TEXT)
    clients = ("--writers", str(writers), "--readers", str(readers))
    times = ("--seconds", str(trial.seconds), "--drain", str(_DRAIN_SECONDS))
    with trial.spending() as spent:
        load = trial.load.sse(STREAM, *clients, *times)
    return {
        DELIVERIES: load.deliveries / load.seconds,
        APPENDS: load.appends / trial.seconds,
        **latency_figures(load.latency),
        **spent_figures(spent, load.deliveries),
    }
