"""Messages per second of the client, beside the PyPI package ``durable-streams``, against one server in one run.

    python -m benchmarks.client_throughput [--rounds 3] [--messages 9000]

Needs network access to a package index once, to install the peer into a virtual environment of its own. Each round runs
ours and the peer's in turn, each in a fresh process: appending JSON messages of 100 bytes as fast as the client batches
them, reading them back, and awaiting appends one by one. Both must read back what they have written; more than
one answer of the server holds (1 MiB), the package's ``read_json`` did not.
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

OURS = """
import json, sys, time
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from durable_streams.client import StreamHandle, connections

url, messages, lone = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
BODY = {"x": "x" * 92}

async def main(reactor):
    stream = StreamHandle(url)
    await stream.create(content_type="application/json")
    began = time.perf_counter()
    producer = stream.producer("bench")
    for _ in range(messages):
        producer.append(json.dumps(BODY, separators=(",", ":")).encode())
    await producer.flush()
    appended = time.perf_counter()
    found = await stream.read_json().collect()
    read = time.perf_counter()
    assert found == [BODY] * messages
    for _ in range(lone):
        await stream.append_json(BODY)
    alone = time.perf_counter()
    print(json.dumps([messages / (appended - began), messages / (read - appended), lone / (alone - read)]))
    await connections.shared().close()

react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
"""

THEIRS = """
import asyncio, json, sys, time
from durable_streams import AsyncDurableStream

url, messages, lone = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
BODY = {"x": "x" * 92}

async def main():
    stream = await AsyncDurableStream.create(url, content_type="application/json")
    began = time.perf_counter()
    await asyncio.gather(*[stream.append(BODY) for _ in range(messages)])
    appended = time.perf_counter()
    async with await stream.stream(live=False) as response:
        found = await response.read_json()
    read = time.perf_counter()
    assert found == [BODY] * messages
    for _ in range(lone):
        await stream.append(BODY)
    alone = time.perf_counter()
    print(json.dumps([messages / (appended - began), messages / (read - appended), lone / (alone - read)]))

asyncio.run(main())
"""

WORKLOADS = ("appended in batches", "read back", "awaited one by one")


def measure(python: Path | str, program: str, url: str, messages: int, cwd: Path) -> list[float]:
    """Messages per second of each workload, by a client program in a process of its own.

    ``cwd`` decides whose ``durable_streams`` it imports: both packages have that name.
    """
    run = subprocess.run(
        [str(python), "-c", program, url, str(messages), str(LONE_APPENDS)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=300,
        check=False,
    )
    if run.returncode:
        raise SystemExit(run.stderr)
    rates: list[float] = json.loads(run.stdout)
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description="Throughput of the client beside the package durable-streams.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=9_000)
    chosen = parser.parse_args()
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder, running_service("--storage", "memory") as service:
        venv.create(folder, with_pip=True)
        peer = Path(folder) / "bin" / "python"
        subprocess.run([peer, "-m", "pip", "install", "-q", PEER], check=True)
        for number in range(chosen.rounds):
            ours.append(measure(sys.executable, OURS, f"{service.url}ours-{number}", chosen.messages, ROOT))
            theirs.append(measure(peer, THEIRS, f"{service.url}theirs-{number}", chosen.messages, Path(folder)))
    print(f"{'messages/s, medians':24} {'ours':>12} {'package':>12} {'ratio':>7}")
    for index, name in enumerate(WORKLOADS):
        mine = statistics.median(rates[index] for rates in ours)
        other = statistics.median(rates[index] for rates in theirs)
        print(f"{name:24} {mine:12,.0f} {other:12,.0f} {mine / other:7.1f}")


if __name__ == "__main__":
    main()
