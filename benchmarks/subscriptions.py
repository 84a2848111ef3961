"""What subscriptions cost those who do not use them, and how soon a wake arrives: python -m benchmarks.subscriptions

Two servers hold the same streams; one of them has subscriptions besides, none of which matches. Appends to random
streams, and creations, are measured on both in turn. Then one subscription by pull-wake and one by webhook are woken on
the server with the many. ``--storage memory`` leaves the disk out.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks.adapters import STREAM_ROOT, TwistedServer
from benchmarks.load_generators import HttpLoad, LoadGenerators, build_load_generators
from benchmarks.machine import describe_machine
from benchmarks.running_server import RunningServer, running_server

JSON = ("--header", "Content-Type: application/json")
CONNECTIONS = ("--connections", "32")


class Measured:
    """A running server and the requests to it."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.server = server
        self._load = LoadGenerators(folder, server.port)
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=300)

    def close(self) -> None:
        self._connection.close()

    def create_streams(self, below: str, number: int) -> HttpLoad:
        path = f"{STREAM_ROOT}{below}/"
        return self._load.http(
            "PUT", path, "--each-of", str(number), "--status", "201", "--seconds", "600", *JSON, *CONNECTIONS
        )

    def append(self, below: str, among: int, seconds: float, body: Path) -> HttpLoad:
        path, timing = f"{STREAM_ROOT}{below}/", ("--warm-up", "0.3", "--seconds", str(seconds))
        among_all = ("--any-of", str(among), "--status", "204", "--body", str(body))
        return self._load.http("POST", path, *among_all, *timing, *JSON, *CONNECTIONS)

    def ask(self, method: str, path: str, body: object = None, token: str = "") -> Any:
        """The JSON of a good answer."""
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        content = None if body is None else json.dumps(body)
        self._connection.request(method, STREAM_ROOT + path, content, headers)
        answer = self._connection.getresponse()
        found = answer.read()
        if not 200 <= answer.status < 300:
            raise AssertionError(f"{method} {path}: {answer.status} {found.decode()}")
        return json.loads(found) if found else None

    def subscribe(self, name: str, **fields: object) -> None:
        self.ask("PUT", f"__ds/subscriptions/{name}", {"type": "pull-wake", "wake_stream": "wakes", **fields})

    @property
    def megabytes(self) -> float:
        return self.server.usage().resident_bytes / 1e6


def in_turn(rounds: int, *measures: Callable[[], HttpLoad]) -> list[tuple[float, float]]:
    """For each measure the median of its rates, and of its 99th percentiles in milliseconds; A B A B."""
    found: list[list[HttpLoad]] = [[] for _ in measures]
    for _ in range(rounds):
        for measure, loads in zip(measures, found, strict=True):
            loads.append(measure())
    return [
        (
            statistics.median(load.per_second for load in loads),
            statistics.median(load.latency.p99 for load in loads),
        )
        for loads in found
    ]


def wake_events(port: int) -> Iterator[None]:
    """One item for each event that arrives on the wake stream, by SSE."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", f"{STREAM_ROOT}wakes?offset=now&live=sse")
    answer = connection.getresponse()
    while line := answer.readline():
        if line.startswith(b"event: data"):
            yield None


class Receiver(threading.Thread):
    """Answers each webhook with ``done``; ``called`` gets the time at which it had come."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        self.called: Queue[float] = Queue()

    def run(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            with connection:
                request = b""
                while b'"callback_token":' not in request or not request.endswith(b'"}'):
                    request += connection.recv(65536)
                self.called.put(perf_counter())
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"done": true}')


def pull_wakes(measured: Measured, wakes: int) -> list[float]:
    """Seconds from sending an append to having the wake event, each time; the wake is finished in between."""
    measured.subscribe("pulled", pattern="pulled/*")
    measured.ask("PUT", "pulled/a")
    arrived: Queue[float] = Queue()

    def listen() -> None:
        for _ in wake_events(measured.server.port):
            arrived.put(perf_counter())

    threading.Thread(target=listen, daemon=True).start()
    times = []
    for number in range(wakes):
        began = perf_counter()
        measured.ask("POST", "pulled/a", number)
        times.append(arrived.get(timeout=30) - began)
        wake = measured.ask("POST", "__ds/subscriptions/pulled/claim", {"worker": "benchmark"})
        acks = [{"stream": stream["path"], "offset": stream["tail_offset"]} for stream in wake["streams"]]
        report = {"wake_id": wake["wake_id"], "generation": wake["generation"], "acks": acks, "done": True}
        measured.ask("POST", "__ds/subscriptions/pulled/ack", report, wake["token"])
    return times


def webhooks(measured: Measured, wakes: int) -> list[float]:
    """Seconds from sending an append to having the webhook request."""
    receiver = Receiver()
    receiver.start()
    measured.subscribe("hooked", type="webhook", webhook={"url": receiver.url}, pattern="hooked/*")
    measured.ask("PUT", "hooked/a")
    times = []
    for number in range(wakes):
        began = perf_counter()
        measured.ask("POST", "hooked/a", number)
        times.append(receiver.called.get(timeout=30) - began)
        while measured.ask("GET", "__ds/subscriptions/hooked")["streams"][0]["acked_offset"] < _tail(measured):
            pass
    return times


def _tail(measured: Measured) -> str:
    connection = HTTPConnection("127.0.0.1", measured.server.port, timeout=60)
    connection.request("HEAD", f"{STREAM_ROOT}hooked/a")
    tail = connection.getresponse().headers["Stream-Next-Offset"]
    connection.close()
    return tail


def quantiles(times: list[float]) -> str:
    ordered = sorted(times)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1e3 for share in (0.5, 0.99))
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms"


def compare(plain: Measured, many: Measured, chosen: argparse.Namespace, body: Path) -> None:
    """Print every figure."""
    many.ask("PUT", "wakes")
    before, began = many.megabytes, perf_counter()
    for number in range(chosen.subscriptions):
        kind = {"pattern": f"tenant-{number}/*/events/**"} if number % 2 else {"streams": [f"tenant-{number}/log"]}
        many.subscribe(f"idle-{number}", **kind)
    seconds = perf_counter() - began
    print(f"{chosen.subscriptions} subscriptions made in {seconds:.1f} s, {many.megabytes - before:.0f} MB")
    for measured in (plain, many):
        measured.create_streams("load", chosen.streams)
    appends = in_turn(
        chosen.rounds, *(lambda m=m: m.append("load", chosen.streams, chosen.seconds, body) for m in (plain, many))
    )
    fresh = count()
    creations = in_turn(
        chosen.rounds,
        *(lambda m=m: m.create_streams(f"fresh-{next(fresh)}", chosen.streams // 10) for m in (plain, many)),
    )
    for what, found in (("appends", appends), ("creations", creations)):
        (without, p99), (beside, p99_beside) = found
        print(
            f"{what}/s without {without:,.0f} (p99 {p99:.2f} ms), with {beside:,.0f} (p99 {p99_beside:.2f} ms), "
            f"ratio {beside / without:.2f}"
        )
    print(f"append to wake event, by SSE: {quantiles(pull_wakes(many, chosen.wakes))}")
    print(f"append to webhook request: {quantiles(webhooks(many, chosen.wakes))}")
    before, began = many.megabytes, perf_counter()
    many.subscribe("all", pattern="load/*")
    seconds = perf_counter() - began
    used = (many.megabytes - before) * 1e6 / chosen.streams
    print(f"a subscription to {chosen.streams} streams made in {seconds:.1f} s, {used:.0f} bytes of memory a link")


def main(chosen: argparse.Namespace) -> None:
    options = ("--allow-loopback-webhooks", "--storage", chosen.storage)
    server = TwistedServer("ours", chosen.storage != "memory", options)
    with TemporaryDirectory(dir=chosen.directory) as name, ExitStack() as ending:
        folder = Path(name).resolve()
        print(describe_machine([0, 1], folder))
        print(f"{server.version()}, --storage {chosen.storage}")
        build_load_generators(folder)
        body = folder / "body"
        body.write_bytes(b'"%s"' % (b"x" * 98))
        plain, many = (Measured(ending.enter_context(running_server(server, folder)), folder) for _ in range(2))
        ending.callback(plain.close)
        ending.callback(many.close)
        compare(plain, many, chosen, body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What subscriptions cost, and how soon a wake arrives.")
    parser.add_argument("--storage", default="local")
    parser.add_argument("--streams", type=int, default=100_000)
    parser.add_argument("--subscriptions", type=int, default=10_000)
    parser.add_argument("--wakes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--directory", default=".")
    main(parser.parse_args())
