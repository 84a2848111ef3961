"""Reading a long stream from its beginning to its tail."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from functools import partial

import msgspec

from benchmarks.metrics import CPU_PER_MEGABYTE, MEGABYTES, RESIDENT, Figures
from benchmarks.scale import Scale
from benchmarks.trial import Trial
from benchmarks.workload import BINARY, JSON, MEGABYTE, STREAM, Workload
from benchmarks.wrong_answer import require

_MESSAGES_PER_MEGABYTE = 10_000


class _Message(msgspec.Struct):
    number: int
    text: str


def catch_up_workloads(scale: Scale) -> Iterator[Workload]:
    size = scale.catch_up_megabytes
    binary, json = partial(_binary, megabytes=size), partial(_json, megabytes=size)
    yield Workload("catch-up-binary", f"catch-up of {size} MB, binary", (MEGABYTES,), binary)
    yield Workload("catch-up-json", f"catch-up of {size} MB, JSON messages of 100 B", (MEGABYTES,), json)


def _binary(trial: Trial, *, megabytes: int) -> Figures:
    content = random.Random(3)
    expected = hashlib.sha256()
    trial.streams.create(STREAM, BINARY)
    for _ in range(megabytes):
        part = content.randbytes(MEGABYTE)
        expected.update(part)
        trial.streams.append(STREAM, BINARY, part)
    pages, figures = _read(trial)
    found = hashlib.sha256()
    for page in pages:
        found.update(page)
    require(found.digest() == expected.digest(), "the bytes read are not the bytes appended")
    return figures


def _json(trial: Trial, *, megabytes: int) -> Figures:
    trial.streams.create(STREAM, JSON)
    for part in range(megabytes):
        first = part * _MESSAGES_PER_MEGABYTE
        messages = [_message(number) for number in range(first, first + _MESSAGES_PER_MEGABYTE)]
        trial.streams.append(STREAM, JSON, msgspec.json.encode(messages))
    pages, figures = _read(trial)
    number = 0
    for page in pages:
        for message in msgspec.json.decode(page, type=list[_Message]):
            require(message == _message(number), f"JSON message {number} is not the one appended")
            number += 1
    require(number == megabytes * _MESSAGES_PER_MEGABYTE, f"{number} JSON messages were read")
    return figures


def _message(number: int) -> _Message:
    """A message of 100 bytes in JSON, or a few less."""
    return _Message(number, "x" * 73)


def _read(trial: Trial) -> tuple[list[bytes], Figures]:
    with trial.spending() as spent:
        started = time.perf_counter()
        read = trial.streams.drain(STREAM)
        seconds = time.perf_counter() - started
    pages = list(trial.streams.pages(STREAM))
    require(read == sum(map(len, pages)), "two reads of the same bytes differ in length")
    size = read / MEGABYTE
    spent_on = {CPU_PER_MEGABYTE: spent.cpu_seconds * 1e3 / size, RESIDENT: spent.resident_bytes / MEGABYTE}
    return pages, {MEGABYTES: size / seconds, **spent_on}
