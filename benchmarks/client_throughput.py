"""Messages per second of the client, beside the PyPI package ``durable-streams``, against one server in one run.

    python -m benchmarks.client_throughput [--rounds 3] [--messages 9000]

Needs network access to a package index once, to install the peer into a virtual environment of its own. Each round runs
ours and the peer's in turn, each in a fresh process. A message is 100 bytes of JSON. They are appended as fast as the
client batches them, then read back in every way, each ``REPEATS`` times, and at last some are appended one by one. What
is read is compared with what was written. More than one answer of the server holds (1 MiB), the package's
``read_json`` did not read.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tests.running_service import ROOT, running_service

PEER = "durable-streams==0.1.0"
LONE_APPENDS = 500
REPEATS = 10

TIMING = """
import json, sys, time

url, messages, lone, repeats = sys.argv[1], *map(int, sys.argv[2:])
BODY = {"x": "x" * 92}
rates = []

async def timed(name, work, count, times=1):
    seconds = 0.0
    for _ in range(times):
        began = time.perf_counter()
        found = await work()
        seconds += time.perf_counter() - began
        assert found is None or found == [BODY] * count, name
        del found
    rates.append((name, count * times / seconds))

def enough(taken):
    return len(taken) >= messages
"""

OURS = """
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from durable_streams.client import StreamHandle, connections

stream = StreamHandle(url)

async def append_all():
    producer = stream.producer("bench")
    for _ in range(messages):
        producer.append(json.dumps(BODY, separators=(",", ":")).encode())
    await producer.flush()

async def append_one_by_one():
    for _ in range(lone):
        await stream.append_json(BODY)

async def read_one_by_one():
    return [message async for message in stream.read_json().each()]

def following(live):
    async def follow():
        taken = []
        async for batch in stream.read_json(live=live):
            taken += batch.data
            if enough(taken):
                return taken
    return follow

async def main(reactor):
    await stream.create(content_type="application/json")
    await timed("appended in batches", append_all, messages)
    await timed("read back whole", lambda: stream.read_json().collect(), messages, repeats)
    await timed("read back one by one", read_one_by_one, messages, repeats)
    await timed("followed by long-poll", following("long-poll"), messages, repeats)
    await timed("followed by SSE", following("sse"), messages, repeats)
    await timed("appended one by one", append_one_by_one, lone)
    print(json.dumps(rates))
    await connections.shared().close()

react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
"""

THEIRS = """
import asyncio
from durable_streams import AsyncDurableStream

async def main():
    stream = await AsyncDurableStream.create(url, content_type="application/json")

    async def append_all():
        await asyncio.gather(*[stream.append(BODY) for _ in range(messages)])

    async def append_one_by_one():
        for _ in range(lone):
            await stream.append(BODY)

    async def read_whole():
        async with await stream.stream(live=False) as response:
            return await response.read_json()

    async def read_one_by_one():
        async with await stream.stream(live=False) as response:
            return [message async for message in response.iter_json()]

    def following(live):
        async def follow():
            taken = []
            async with await stream.stream(offset="-1", live=live) as response:
                async for batch in response.iter_json_batches():
                    taken += batch
                    if enough(taken):
                        return taken
        return follow

    await timed("appended in batches", append_all, messages)
    await timed("read back whole", read_whole, messages, repeats)
    await timed("read back one by one", read_one_by_one, messages, repeats)
    await timed("followed by long-poll", following("long-poll"), messages, repeats)
    await timed("followed by SSE", following("sse"), messages, repeats)
    await timed("appended one by one", append_one_by_one, lone)
    print(json.dumps(rates))

asyncio.run(main())
"""


def measure(python: Path | str, program: str, url: str, messages: int, cwd: Path) -> dict[str, float]:
    """Messages per second by workload, of a client program in a process of its own.

    ``cwd`` decides whose ``durable_streams`` it imports: both packages have that name.
    """
    run = subprocess.run(
        [str(python), "-c", TIMING + program, url, str(messages), str(LONE_APPENDS), str(REPEATS)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=300,
        check=False,
    )
    if run.returncode:
        raise SystemExit(run.stderr)
    return dict(json.loads(run.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description="Throughput of the client beside the package durable-streams.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=9_000)
    chosen = parser.parse_args()
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, running_service("--storage", "memory") as service:
        venv.create(folder, with_pip=True)
        peer = Path(folder) / "bin" / "python"
        subprocess.run([peer, "-m", "pip", "install", "-q", PEER], check=True)
        for number in range(chosen.rounds):
            ours.append(measure(sys.executable, OURS, f"{service.url}ours-{number}", chosen.messages, ROOT))
            theirs.append(measure(peer, THEIRS, f"{service.url}theirs-{number}", chosen.messages, Path(folder)))
    print(f"{'messages/s, medians':24} {'ours':>12} {'package':>12} {'ratio':>7}")
    for name in ours[0]:
        mine = statistics.median(rates[name] for rates in ours)
        other = statistics.median(rates[name] for rates in theirs)
        print(f"{name:24} {mine:12,.0f} {other:12,.0f} {mine / other:7.1f}")


if __name__ == "__main__":
    main()
