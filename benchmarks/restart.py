"""How long a restart takes, by what lies behind it: python -m benchmarks.restart [--most 1000000] [--directory DIR]

Creates streams of 200 bytes, waits until they are folded into the base store, appends 20,000 more messages, stops, and
opens again three times, until a cold stream has been described. A million streams take some minutes to create.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from durable_streams.protocol.commands import Create
from durable_streams.service import StreamService
from durable_streams.storage.local import LocalSettings, LocalStorage, RealWorkers

AT_ONCE = 500
MESSAGES = 20_000


async def opened(reactor: Any, directory: Path) -> StreamService:
    settings = LocalSettings(most_segments=1_000_000, slow_segments=1_000_000)
    service = StreamService(LocalStorage(directory, reactor, RealWorkers(reactor), settings), clock=reactor)
    service.startService()
    await service.when_open()
    return service


async def fill(reactor: Any, directory: Path, streams: int) -> None:
    service = await opened(reactor, directory)
    for first in range(0, streams, AT_ONCE):
        for number in range(first, min(first + AT_ONCE, streams)):
            done: Deferred[Any] = service.perform_create(Create(f"s{number}", body=b"x" * 200))
        await done
    while len(list((directory / "journal").glob("*.journal"))) > 1:
        await deferLater(reactor, 0.2, lambda: None)
    for first in range(0, MESSAGES, AT_ONCE):
        for number in range(first, first + AT_ONCE):
            done = service.append(f"s{number % 1000}", b"x" * 100)
        await done
    await service.stopService()


async def main(reactor: Any, chosen: argparse.Namespace) -> None:
    print(f"{'streams':>10} {'base store':>12} {'seconds to the first answer':>30}")
    streams = 1000
    while streams <= chosen.most:
        directory = Path(tempfile.mkdtemp(dir=chosen.directory))
        await fill(reactor, directory, streams)
        times = []
        for _ in range(3):
            began = perf_counter()
            service = await opened(reactor, directory)
            await service.describe(f"s{streams - 1}")
            times.append(perf_counter() - began)
            await service.stopService()
        size = (directory / "base.sqlite").stat().st_size / 1e6
        print(f"{streams:10,} {size:9,.0f} MB {', '.join(f'{seconds:.2f}' for seconds in times):>30}", flush=True)
        shutil.rmtree(directory)
        streams *= 10


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How long a restart takes, by what lies behind it.")
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--directory", default=".")
    options = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, options)))
