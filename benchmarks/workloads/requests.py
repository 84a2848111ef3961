"""Single requests, as many as a server can answer."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

import msgspec

from benchmarks.metrics import MEGABYTES, MESSAGES, P99, REQUESTS, Figures
from benchmarks.trial import Trial
from benchmarks.workload import (
    BINARY,
    JSON,
    MEGABYTE,
    NUMBERED,
    STREAM,
    TEXT,
    Workload,
    closed_loop,
    counted,
    create_streams,
    load_and_spent,
    of_text,
    request_figures,
    unhurried,
    written_figures,
)
from benchmarks.wrong_answer import require

_SMALL = b"x" * 100
_MESSAGES = 1_000
_LARGE_CONNECTIONS = 8
# Large bodies fill a server's memory, so their number is bounded as well as the time.
_LARGE_BODIES = 500
_CHECKED_STREAMS = 1_000


def request_workloads() -> Iterator[Workload]:
    yield Workload("put", "PUT of new streams, 32 connections", (REQUESTS, P99), _put)
    yield Workload("head", "HEAD, 32 connections", (REQUESTS, P99), _head)
    for streams in (1, 1_000):
        for connections in (1, 32, 256):
            title = f"POST 100 B, {counted(connections, 'connection')}, {counted(streams, 'stream')}"
            measure = partial(_post, connections=connections, streams=streams)
            yield Workload(f"post-{connections}c-{streams}s", title, (REQUESTS, P99), measure)
    yield Workload("post-1mb", "POST 1 MB, 8 connections, 8 streams", (MEGABYTES,), _post_large)
    yield Workload("post-json", "POST of 1,000 JSON messages, 8 connections, 1 stream", (MESSAGES,), _post_json)
    yield Workload("get-1kb", "GET 1 KB, 32 connections", (REQUESTS, P99), _get)


def _put(trial: Trial) -> Figures:
    load, spent = closed_loop(trial, "PUT", NUMBERED, "--each-of", "100000000", *of_text(201))
    created = min(load.answers, _CHECKED_STREAMS)
    there = trial.load.http("HEAD", NUMBERED, "--each-of", str(created), *unhurried())
    require(there.answers == created, "a created stream is not there")
    return request_figures(load, spent)


def _head(trial: Trial) -> Figures:
    trial.streams.create(STREAM, TEXT, _SMALL)
    return request_figures(*closed_loop(trial, "HEAD", STREAM))


def _post(trial: Trial, *, connections: int, streams: int) -> Figures:
    create_streams(trial, NUMBERED, streams)
    options = ("--any-of", str(streams), "--body", trial.file("body", _SMALL), *of_text(204))
    load, spent = closed_loop(trial, "POST", NUMBERED, *options, connections=connections)
    _check_appended(trial, streams, _SMALL, load.answers)
    return request_figures(load, spent) | written_figures(trial, spent, load.answers * len(_SMALL))


def _post_large(trial: Trial) -> Figures:
    streams = 8
    create_streams(trial, NUMBERED, streams)
    body = random.Random(1).randbytes(MEGABYTE)
    options = ("--any-of", str(streams), "--body", trial.file("body", body), *of_text(204))
    load, spent = load_and_spent(trial, "POST", NUMBERED, *options, *_of_large_bodies(trial))
    _check_appended(trial, streams, body, load.answers)
    rate = {MEGABYTES: load.per_second * len(body) / MEGABYTE}
    return request_figures(load, spent) | rate | written_figures(trial, spent, load.answers * len(body))


def _of_large_bodies(trial: Trial) -> tuple[str, ...]:
    limits = ("--seconds", str(trial.seconds), "--requests", str(_LARGE_BODIES))
    return ("--connections", str(_LARGE_CONNECTIONS), *limits)


def _check_appended(trial: Trial, streams: int, body: bytes, appends: int) -> None:
    """All acknowledged appends must be there, whole, and nothing else."""
    found = 0
    for number in range(streams):
        content = b"".join(trial.streams.pages(f"{NUMBERED}{number}"))
        count = len(content) // len(body)
        require(content == body * count, f"stream {number} does not hold what was appended")
        found += count
    require(found == appends, f"{found} appends are there instead of {appends}")


def _post_json(trial: Trial) -> Figures:
    trial.streams.create(STREAM, JSON)
    messages = [{"number": number, "text": "x" * 75} for number in range(_MESSAGES)]
    body = msgspec.json.encode(messages)
    options = ("--header", f"Content-Type: {JSON}", "--status", "204", "--body", trial.file("body", body))
    load, spent = load_and_spent(trial, "POST", STREAM, *options, *_of_large_bodies(trial))
    _check_messages(trial, messages, load.answers)
    rate = {MESSAGES: load.per_second * _MESSAGES}
    return request_figures(load, spent) | rate | written_figures(trial, spent, load.answers * len(body))


def _check_messages(trial: Trial, messages: list[dict[str, object]], times: int) -> None:
    """The JSON stream must hold the messages, in their order, so many times."""
    found = 0
    for page in trial.streams.pages(STREAM):
        for message in msgspec.json.decode(page):
            require(message == messages[found % len(messages)], f"JSON message {found} is not the one appended")
            found += 1
    require(found == times * len(messages), f"{found} JSON messages are there instead of {times * len(messages)}")


def _get(trial: Trial) -> Figures:
    body = random.Random(2).randbytes(1024)
    trial.streams.create(STREAM, BINARY, body)
    return request_figures(*closed_loop(trial, "GET", STREAM, "--answer", trial.file("answer", body)))
