"""Whether deleting a long stream delays others: python -m benchmarks.deletion [--appends 1000000] [--seconds 5]

Makes a stream of so many appends of 100 bytes on the local storage, waits until it is folded into the base store, and
restarts, so that it is on disk alone. Eight appenders to other streams then run for some seconds each: undisturbed;
from the moment at which the long stream is deleted; and once more. Their latencies are shown, and how long the reactor
was held up at most.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react

from benchmarks.restart import AT_ONCE, folded, opened
from benchmarks.storage_appends import BODY, Load
from durable_streams.service import StreamService

APPENDERS = 8
_TICK = 0.001


async def lengthen(reactor: Any, service: StreamService, appends: int) -> None:
    await service.create("long")
    for _ in range(0, appends, AT_ONCE):
        for _ in range(AT_ONCE):
            done: Deferred[Any] = service.append("long", BODY)
        await done
    await folded(reactor, service)


class HeldUp:
    """The longest time between two ticks of the reactor that were due a millisecond apart."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._before = perf_counter()
        self._ticks = LoopingCall(self._tick)
        self._ticks.start(_TICK)

    def _tick(self) -> None:
        now = perf_counter()
        self.longest = max(self.longest, now - self._before)
        self._before = now

    def stop(self) -> float:
        self._ticks.stop()
        return self.longest


async def show(title: str, service: StreamService, seconds: float) -> None:
    held_up = HeldUp()
    load = Load(service, APPENDERS, APPENDERS, seconds)
    await load.run()
    longest = held_up.stop()
    cuts = statistics.quantiles(load.latencies, n=1000)
    p50, p99, p999, most = (1000 * value for value in (cuts[499], cuts[989], cuts[998], max(load.latencies)))
    print(f"{title:24} {p50:8.2f} {p99:8.2f} {p999:8.2f} {most:8.2f} {1000 * longest:14.2f}", flush=True)


async def main(reactor: Any, chosen: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=chosen.directory) as folder:
        directory = Path(folder) / "data"
        service = await opened(reactor, directory)
        await lengthen(reactor, service, chosen.appends)
        await service.stopService()
        service = await opened(reactor, directory)
        for number in range(APPENDERS):
            await service.create(f"s{number}")
        print(f"{'milliseconds':24} {'p50':>8} {'p99':>8} {'p99.9':>8} {'longest':>8} {'reactor held':>14}")
        await show("undisturbed", service, chosen.seconds)
        deleted = service.delete("long")
        await show("from the deletion on", service, chosen.seconds)
        await deleted
        await show("and after that", service, chosen.seconds)
        await service.stopService()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Whether deleting a long stream delays others.")
    parser.add_argument("--appends", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--directory", default=".")
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, parser.parse_args())))
