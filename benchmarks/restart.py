"""How long a restart takes, by what lies behind it: python -m benchmarks.restart [--most 1000000] [--gigabytes 0]

Creates streams of 200 bytes, and 100 larger ones that have the gigabytes, waits until they are folded into the base
store, appends 20,000 more messages, stops, and opens again three times, each time in a new process, until a cold stream
has been described. The most memory that such a process had is shown too. A million streams take some minutes to create.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from durable_streams.interfaces import IMeasured
from durable_streams.measures import Measure
from durable_streams.protocol.commands import Create
from durable_streams.service import StreamService
from durable_streams.storage.local import LocalSettings, LocalStorage, RealWorkers

AT_ONCE = 500
MESSAGES = 20_000
LARGE = 1_000_000


async def opened(reactor: Any, directory: Path) -> StreamService:
    settings = LocalSettings(most_segments=1_000_000, slow_segments=1_000_000)
    service = StreamService(LocalStorage(directory, reactor, RealWorkers(reactor), settings), clock=reactor)
    service.startService()
    await service.when_open()
    return service


async def fill(reactor: Any, directory: Path, streams: int, gigabytes: int) -> None:
    service = await opened(reactor, directory)
    for first in range(0, streams, AT_ONCE):
        for number in range(first, min(first + AT_ONCE, streams)):
            done: Deferred[Any] = service.perform_create(Create(f"s{number}", body=b"x" * 200))
        await done
    for number in range(gigabytes * 1000):
        if number < 100:
            await service.perform_create(Create(f"large{number}"))
        await service.append(f"large{number % 100}", b"x" * LARGE)
        while waiting_segments(service) > 6:
            await deferLater(reactor, 0.01, lambda: None)
    await folded(reactor, service)
    for first in range(0, MESSAGES, AT_ONCE):
        for number in range(first, first + AT_ONCE):
            done = service.append(f"s{number % 1000}", b"x" * 100)
        await done
    await service.stopService()


async def folded(reactor: Any, service: StreamService) -> None:
    """Wait until all sealed segments are in the base store."""
    while waiting_segments(service):
        await deferLater(reactor, 0.2, lambda: None)


def waiting_segments(service: StreamService) -> int:
    """Sealed segments that are not in the base store yet. Some files stay when they are: large data lies in them."""
    measures = {measure.name: measure for measure in cast(IMeasured, service.storage).measures()}
    return int(cast(Measure, measures["journal_segments_waiting"]).value)


def size_of(directory: Path) -> float:
    """Megabytes of all files."""
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file()) / 1e6


def restart(directory: Path, streams: int) -> tuple[float, float]:
    """Seconds to the first answer of a new process, and its memory in MB."""
    command = [sys.executable, "-m", "benchmarks.restart", "--open", str(directory), "--most", str(streams)]
    seconds, kilobytes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), int(kilobytes) / 1000


async def measure_opening(reactor: Any, chosen: argparse.Namespace) -> None:
    began = perf_counter()
    service = await opened(reactor, Path(chosen.open))
    await service.describe(f"s{chosen.most - 1}")
    print(perf_counter() - began, Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    await service.stopService()


async def main(reactor: Any, chosen: argparse.Namespace) -> None:
    print(f"{'streams':>10} {'on disk':>12} {'seconds to the first answer':>30} {'memory':>10}")
    streams = chosen.least
    while streams <= chosen.most:
        directory = Path(tempfile.mkdtemp(prefix="benchmark-", dir=chosen.directory))
        await fill(reactor, directory, streams, chosen.gigabytes)
        found = [restart(directory, streams) for _ in range(3)]
        times, memory = ", ".join(f"{seconds:.2f}" for seconds, _ in found), max(memory for _, memory in found)
        print(f"{streams:10,} {size_of(directory):9,.0f} MB {times:>30} {memory:7,.0f} MB", flush=True)
        shutil.rmtree(directory)
        streams *= 10


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How long a restart takes, by what lies behind it.")
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--least", type=int, default=1000)
    parser.add_argument("--gigabytes", type=int, default=0)
    parser.add_argument("--directory", default=".")
    parser.add_argument("--open", help=argparse.SUPPRESS)
    options = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine((measure_opening if options.open else main)(reactor, options)))
