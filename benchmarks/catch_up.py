"""Catching up on 100 MB of 100-byte messages, in process: python -m benchmarks.catch_up [--megabytes 100]

Reads a binary and a JSON stream whole through ``StreamService.read``, as long as all is in memory and after all has
been folded into the base store and left memory; beside them the same bytes from a flat file, in pieces of the same
size. Both are in the page cache. The pieces are held until all is there, as by one who wants them all, or dropped at
once, so that they come into the same memory again and again. Each is read five times; the fastest and the slowest are
shown.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from durable_streams.service import MAX_READ_BYTES, StreamService
from durable_streams.storage.local import LocalSettings, local_storage

AT_ONCE = 500
ROUNDS = 5
CONTENT_TYPES = {"binary": "application/octet-stream", "JSON": "application/json"}
MESSAGES = {"binary": b"x" * 100, "JSON": b'"' + b"x" * 97 + b'"'}


async def opened(reactor: Any, directory: Path, hot_bytes: int) -> StreamService:
    service = StreamService(local_storage(directory, reactor, LocalSettings(hot_bytes=hot_bytes)), clock=reactor)
    service.startService()
    await service.when_open()
    return service


async def fill(reactor: Any, service: StreamService, name: str, megabytes: int) -> None:
    await service.create(name, content_type=CONTENT_TYPES[name])
    for _ in range(0, megabytes * 10_000, AT_ONCE):
        for _ in range(AT_ONCE):
            done: Deferred[Any] = service.append(name, MESSAGES[name])
        await done


async def folded(reactor: Any, directory: Path) -> None:
    """Fires when only the newest journal segment is left."""
    while len(list((directory / "journal").glob("*.journal"))) > 1:
        await deferLater(reactor, 0.2, lambda: None)


async def stream_pieces(service: StreamService, name: str) -> AsyncIterator[bytes]:
    offset = "-1"
    while True:
        found = await service.read(name, offset)
        yield found.data
        if not found.data or found.up_to_date:
            return
        offset = found.next_offset


async def file_pieces(path: Path) -> AsyncIterator[bytes]:
    with open(path, "rb", buffering=0) as file:
        while part := file.read(MAX_READ_BYTES):
            yield part


async def rate(pieces: AsyncIterator[bytes], held: int) -> float:
    """Megabytes per second; the last ``held`` pieces stay in memory."""
    length, recent = 0, deque[bytes](maxlen=held)
    began = perf_counter()
    async for piece in pieces:
        length += len(piece)
        recent.append(piece)
    return length / 1e6 / (perf_counter() - began)


async def show(what: str, pieces: Callable[[], AsyncIterator[bytes]]) -> None:
    for held, how in ((10**6, "held"), (1, "dropped")):
        rates = [await rate(pieces(), held) for _ in range(ROUNDS)]
        print(f"{f'{what}, {how}':36} {max(rates):8,.0f} {min(rates):8,.0f}", flush=True)


async def main(reactor: Any, chosen: argparse.Namespace) -> None:
    directory = Path(tempfile.mkdtemp(prefix="benchmark-", dir=chosen.directory))
    flat, data = directory / "flat", directory / "data"
    flat.write_bytes(MESSAGES["binary"] * (chosen.megabytes * 10_000))
    print(f"{'MB/s':36} {'fastest':>8} {'slowest':>8}")
    await show("flat file", lambda: file_pieces(flat))
    service = await opened(reactor, data, 10**10)
    for name in CONTENT_TYPES:
        await fill(reactor, service, name, chosen.megabytes)
        await show(f"{name}, in memory", lambda name=name: stream_pieces(service, name))
    await service.stopService()
    # A start begins a new segment, so that all that was written is folded.
    service = await opened(reactor, data, 0)
    await folded(reactor, data)
    await service.stopService()
    service = await opened(reactor, data, 0)
    for name in CONTENT_TYPES:
        await show(f"{name}, in the base store", lambda name=name: stream_pieces(service, name))
    await service.stopService()
    shutil.rmtree(directory)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Catching up on many small messages, in process.")
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--directory", default=".")
    options = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, options)))
