"""Where the processor time of a request goes: python -m benchmarks.where_time_goes [--requests 20000]

Requests are handed to one connection of each HTTP channel in this process, without sockets, with streams in memory. The
shares are the profiler's, scaled to the time without it; built-in functions count for who calls them. The least of five
rounds is shown, in microseconds a request.
"""

from __future__ import annotations

import argparse
import pstats
from collections import Counter
from collections.abc import Callable
from cProfile import Profile
from time import process_time
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage
from durable_streams.web.application import StreamApplication
from durable_streams.web.channels import CHANNELS

ROUNDS = 5
ADDRESS = IPv4Address("TCP", "127.0.0.1", 4437)
ROOMS = (
    ("durable_streams/web/http11/", "HTTP/1.1, ours"),
    ("durable_streams/web/stock", "between Twisted and the handlers"),
    ("durable_streams/web/resource", "between Twisted and the handlers"),
    ("durable_streams/web/", "handlers"),
    ("durable_streams/storage/", "storage"),
    ("durable_streams/protocol/", "rules"),
    ("durable_streams/", "service and notifier"),
    ("twisted/internet/defer", "Deferreds"),
    ("twisted/", "HTTP/1.1, Twisted's"),
    ("klein/", "Klein and werkzeug"),
    ("werkzeug/", "Klein and werkzeug"),
)
OTHERS = "the rest of the standard library"


class Discarding(StringTransport):
    """Keeps only the last head that is written."""

    head = b""

    def write(self, data: bytes) -> None:
        if data.startswith(b"HTTP/"):
            self.head = data

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))


class Conversation:
    """One connection to a service in memory."""

    def __init__(self, channel: str) -> None:
        clock: Any = Clock()
        service = StreamService(MemoryStorage(clock), clock=clock)
        service.startService()
        factory = CHANNELS[channel](StreamApplication(service), "http", clock)
        factory.doStart()
        self._transport = Discarding(peerAddress=ADDRESS, hostAddress=ADDRESS)
        self._connection: Any = factory.buildProtocol(ADDRESS)
        self._connection.makeConnection(self._transport)
        self.say(request("PUT", "s", b"x" * 1024))

    def say(self, request: bytes) -> None:
        self._connection.dataReceived(request)

    @property
    def status(self) -> bytes:
        """Of the last answer."""
        return self._transport.head[9:12]

    def say_all(self, requests: list[bytes]) -> float:
        """The processor time that the answers take, in seconds."""
        began = process_time()
        for one in requests:
            self._connection.dataReceived(one)
        return process_time() - began


def request(method: str, name: str, body: bytes = b"") -> bytes:
    head = f"{method} /v1/stream/{name} HTTP/1.1\r\nHost: 127.0.0.1:4437\r\nContent-Type: text/plain\r\n"
    length = f"Content-Length: {len(body)}\r\n" if method in ("PUT", "POST") else ""
    return f"{head}{length}\r\n".encode() + body


WORKLOADS: dict[str, Callable[[int], bytes]] = {
    "POST 100 B": lambda _: request("POST", "s", b"x" * 100),
    "GET 1 KB": lambda _: request("GET", "s?offset=-1"),
    "HEAD": lambda _: request("HEAD", "s"),
    "PUT": lambda number: request("PUT", f"new-{number}"),
}


def shares(profile: Profile) -> Counter[str]:
    """Seconds in each room, by the profiler's clock."""
    found: Counter[str] = Counter()
    stats: Any = pstats.Stats(profile)
    for (file, _, _), (_, _, own, _, _) in stats.stats.items():
        found[next((room for part, room in ROOMS if part in file), OTHERS)] += own
    return found


def measure(channel: str, workload: Callable[[int], bytes], count: int) -> tuple[float, Counter[str]]:
    """Seconds for each of ``count`` requests, and in which room."""
    least = float("inf")
    for _ in range(ROUNDS):
        # A GET must find the kilobyte, so each workload has a service of its own.
        least = min(least, Conversation(channel).say_all([workload(number) for number in range(count)]) / count)
    conversation, requests = Conversation(channel), [workload(number) for number in range(count)]
    profile = Profile(builtins=False)
    profile.enable()
    conversation.say_all(requests)
    profile.disable()
    found = shares(profile)
    scale = least / found.total()
    return least, Counter({room: seconds * scale for room, seconds in found.items()})


def main(count: int) -> None:
    for name, workload in WORKLOADS.items():
        before, after = (measure(channel, workload, count) for channel in ("stock", "lean"))
        print(f"\n| {name}, µs a request | stock channel | lean channel |\n| --- | ---: | ---: |")
        for room in sorted(before[1] | after[1], key=lambda room: -max(before[1][room], after[1][room])):
            print(f"| {room} | {before[1][room] * 1e6:.1f} | {after[1][room] * 1e6:.1f} |")
        print(f"| **together** | **{before[0] * 1e6:.1f}** | **{after[0] * 1e6:.1f}** |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=20_000)
    main(parser.parse_args().requests)
