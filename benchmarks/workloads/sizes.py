"""What many readers and streams cost in memory, and whether appends slow down as streams grow in length and number."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import msgspec

from benchmarks.adapters import STREAM_ROOT
from benchmarks.metrics import P50, P99, READER_MEMORY, STREAM_MEMORY, Figures
from benchmarks.scale import Scale
from benchmarks.trial import Trial
from benchmarks.workload import (
    JSON,
    NUMBERED,
    STREAM,
    TEXT,
    Workload,
    closed_loop,
    counted,
    create_streams,
    of_text,
    request_figures,
    unhurried,
)
from benchmarks.wrong_answer import require

# What a server needs once, whatever the number, is needed by these, before the count begins.
_FIRST_READERS = 100
_FIRST_STREAMS = 1_000
_SETTLING_SECONDS = 1.0
# Enough to keep a server busy: alone, the latency of one connection shows mostly how a core wakes up.
_CONNECTIONS = 8
_BATCH = 1_000


def size_workloads(scale: Scale) -> Iterator[Workload]:
    idle = partial(_idle_readers, readers=scale.idle_readers)
    title = f"memory of an idle SSE reader, {scale.idle_readers:,} of them"
    yield Workload("idle-readers", title, (READER_MEMORY,), idle, most_rounds=1)
    for length in scale.lengths:
        title = f"POST 100 B, {_CONNECTIONS} connections, to a stream of {length:,} messages"
        yield Workload(f"length-{length}", title, (P50, P99), partial(_long_stream, length=length), most_rounds=1)
    for count in scale.streams:
        title = f"POST 100 B, {_CONNECTIONS} connections, to any of {counted(count, 'stream')}"
        measure = partial(_many_streams, count=count)
        yield Workload(f"streams-{count}", title, (P50, P99), measure, most_rounds=1)
    count = scale.counted_streams
    title = f"memory of an empty stream, {count:,} of them"
    yield Workload("stream-memory", title, (STREAM_MEMORY,), partial(_empty_streams, count=count), most_rounds=1)


def _idle_readers(trial: Trial, *, readers: int) -> Figures:
    trial.streams.create(STREAM, TEXT)
    with trial.load.idle_sse_readers(STREAM, _FIRST_READERS):
        before = _settled_memory(trial)
        with trial.load.idle_sse_readers(STREAM, readers):
            return {READER_MEMORY: (_settled_memory(trial) - before) / 1e3 / readers}


def _settled_memory(trial: Trial) -> int:
    time.sleep(_SETTLING_SECONDS)
    return trial.server.usage().resident_bytes


def _long_stream(trial: Trial, *, length: int) -> Figures:
    trial.streams.create(STREAM, JSON)
    # Short messages, so that ten millions of them do not need a gigabyte.
    batch = trial.file("batch", msgspec.json.encode([10**9] * _BATCH))
    fields = ("--header", f"Content-Type: {JSON}", "--status", "204")
    requests = ("--body", batch, "--requests", str(length // _BATCH))
    filled = trial.load.http("POST", STREAM, *fields, *requests, *unhurried())
    message = trial.file("message", msgspec.json.encode("x" * 98))
    load, spent = closed_loop(trial, "POST", STREAM, *fields, "--body", message, connections=_CONNECTIONS)
    expected = filled.answers * _BATCH + load.answers
    found = sum(len(msgspec.json.decode(page, type=list[msgspec.Raw])) for page in trial.streams.pages(STREAM))
    require(found == expected, f"{found} messages are there instead of {expected}")
    return request_figures(load, spent)


def _many_streams(trial: Trial, *, count: int) -> Figures:
    create_streams(trial, NUMBERED, count)
    options = ("--any-of", str(count), "--body", trial.file("body", b"x" * 100), *of_text(204))
    return request_figures(*closed_loop(trial, "POST", NUMBERED, *options, connections=_CONNECTIONS))


def _empty_streams(trial: Trial, *, count: int) -> Figures:
    create_streams(trial, f"{STREAM_ROOT}first-", _FIRST_STREAMS)
    before = _settled_memory(trial)
    create_streams(trial, NUMBERED, count)
    return {STREAM_MEMORY: (_settled_memory(trial) - before) / count}
