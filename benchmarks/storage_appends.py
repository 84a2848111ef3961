"""Appends per second of the storages, in process: python benchmarks/storage_appends.py [--seconds 2] [--retention]

Waiting appenders of 100 bytes over one, a thousand and a hundred thousand streams, in memory and on disk, in turn.
For the disk also the bytes written to the device for each byte appended, folding into the base store included.
With --retention instead: a thousand streams, 32 appenders, without a policy and with each limit, in three rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from durable_streams.interfaces import IStorage
from durable_streams.protocol.commands import Append, Create
from durable_streams.protocol.retention import Retention
from durable_streams.service import StreamService
from durable_streams.storage.local import LocalSettings, LocalStorage, RealWorkers
from durable_streams.storage.memory import MemoryStorage

BODY = b"x" * 100


def device_bytes() -> int:
    """Bytes that this process and the checkpointer have caused to be written to the device."""
    written = 0
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    for process in ("self", *children):
        fields = Path(f"/proc/{process}/io").read_text().split()
        written += int(fields[fields.index("write_bytes:") + 1])
    return written


class Load:
    """Keeps a number of appends waiting until its time is up."""

    def __init__(self, service: StreamService, streams: int, waiting: int, seconds: float) -> None:
        self._service = service
        self._streams = streams
        self._waiting = waiting
        self._end = perf_counter() + seconds
        self._next = 0
        self._running = 0
        self.latencies: list[float] = []
        self.done: Deferred[None] = Deferred()

    def run(self) -> Deferred[None]:
        for _ in range(self._waiting):
            self._running += 1
            self._append()
        return self.done

    def _append(self) -> None:
        self._next = (self._next + 7919) % self._streams
        began = perf_counter()
        self._service.perform_append(Append(f"s{self._next}", BODY)).addCallback(self._appended, began)

    def _appended(self, _: object, began: float) -> None:
        now = perf_counter()
        self.latencies.append(now - began)
        if now < self._end:
            # A caller goes on in a later turn, as one behind a socket does.
            self._service.clock.callLater(0, self._append)
            return
        self._running -= 1
        if not self._running:
            self.done.callback(None)


async def measured(
    reactor: Any, storage: IStorage, streams: int, waiting: int, seconds: float, retention: Retention | None = None
) -> dict[str, float]:
    service = StreamService(storage, clock=reactor)
    service.startService()
    await service.when_open()
    for number in range(streams):
        created = service.perform_create(Create(f"s{number}", retention=retention))
        if number % 1000 == 0:
            await created
    load = Load(service, streams, waiting, seconds)
    before, began = device_bytes(), perf_counter()
    await load.run()
    rate = len(load.latencies) / (perf_counter() - began)
    await deferLater(reactor, 3, lambda: None)  # the checkpointer writes behind
    written = device_bytes() - before
    await service.stopService()
    cuts = statistics.quantiles(load.latencies, n=100)
    appended = len(load.latencies) * len(BODY)
    return {"rate": rate, "p50": cuts[49] * 1e3, "p99": cuts[98] * 1e3, "device": written / appended}


def local(reactor: Any, directory: Path) -> LocalStorage:
    return LocalStorage(directory, reactor, RealWorkers(reactor), LocalSettings())


async def appends(reactor: Any, seconds: float, directory: Path) -> None:
    print(
        f"{'storage':8} {'streams':>8} {'waiting':>8} {'appends/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'device B/B':>11}"
    )
    for streams in (1, 1000, 100_000):
        for waiting in (1, 32, 256):
            for name in ("memory", "local"):
                place = directory / f"{streams}-{waiting}"
                storage = MemoryStorage(reactor) if name == "memory" else local(reactor, place)
                found = await measured(reactor, storage, streams, waiting, seconds)
                device = f"{found['device']:11.1f}" if name == "local" else f"{'':>11}"
                rate, p50, p99 = found["rate"], found["p50"], found["p99"]
                print(f"{name:8} {streams:8} {waiting:8} {rate:10,.0f} {p50:8.2f} {p99:8.2f} {device}", flush=True)


POLICIES = {
    "none": None,
    "age, an hour": Retention(max_age=3600),
    "age, a second": Retention(max_age=1),
    "100 messages": Retention(max_messages=100),
    "10,000 bytes": Retention(max_bytes=10_000),
}


async def retained(reactor: Any, seconds: float, directory: Path) -> None:
    print(f"{'storage':8} {'policy':14} {'appends/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'device B/B':>11}")
    for turn in range(3):
        for name in ("memory", "local"):
            for policy, retention in POLICIES.items():
                place = directory / f"{turn}-{policy}"
                storage = MemoryStorage(reactor) if name == "memory" else local(reactor, place)
                found = await measured(reactor, storage, 1000, 32, seconds, retention)
                device = f"{found['device']:11.1f}" if name == "local" else f"{'':>11}"
                rate, p50, p99 = found["rate"], found["p50"], found["p99"]
                print(f"{name:8} {policy:14} {rate:10,.0f} {p50:8.2f} {p99:8.2f} {device}", flush=True)


async def main(reactor: Any, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        await (retained if options.retention else appends)(reactor, options.seconds, Path(directory))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--directory", default=".")
    parser.add_argument("--retention", action="store_true")
    chosen = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, chosen)))
