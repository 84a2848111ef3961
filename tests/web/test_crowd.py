"""A thousand live readers of each kind on one stream, over real sockets, again and again."""

from __future__ import annotations

import gc
import resource
import selectors
import socket
import sys
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.base import DelayedCall
from twisted.internet.task import Clock, deferLater

from durable_streams.web.channels import CHANNELS
from tests.web.desk import events_in
from tests.web.wire import WireAnswer, WireServer, head, serve, unchunked

OF_EACH_KIND = 1000
ROUNDS = 3
OPEN_FILES = 2 * 2 * OF_EACH_KIND + 200
AT_THE_DOOR = 40
"""Fewer than the kernel lets wait for a listener."""
MOST_GROWTH = 8_000_000
OURS = ("durable_streams.", "twisted.internet.tcp", "twisted.web.", "twisted.internet.defer")


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        pytest.skip(f"needs {OPEN_FILES} open files, and the system allows {hard}")
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(params=sorted(CHANNELS))
def server(request: pytest.FixtureRequest, many_files: None) -> Iterator[WireServer]:
    yield from serve(request.param, clock=QuickClock(), long_poll_timeout=100.0, sse_max_age=1e9)


class QuickClock(Clock):
    """Puts each call where it belongs; thousands, all sorted again for each of them, would take most of the time."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> DelayedCall:
        call = DelayedCall(self.rightNow + delay, callable, args, kw, self.calls.remove, lambda _: None, self.seconds)
        insort(self.calls, call, key=DelayedCall.getTime)
        return call


class Reader:
    """A client that asks, and keeps what comes; nothing of Twisted."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, 10)
        self.received = b""

    def ask(self, query: str) -> None:
        self.socket.sendall(head("GET", f"a?{query}"))


class Crowd:
    """Many readers, who read while the reactor turns."""

    def __init__(self, server: WireServer) -> None:
        self._server = server
        self._selector = selectors.DefaultSelector()

    async def gather(self, query: str) -> list[Reader]:
        """A thousand come and ask the same; they are let in."""
        readers: list[Reader] = []
        before = len(self._server.factory.connections)
        while len(readers) < OF_EACH_KIND:
            readers.append(Reader(self._server.address))
            self._selector.register(readers[-1].socket, selectors.EVENT_READ, readers[-1])
            readers[-1].ask(query)
            if not len(readers) % AT_THE_DOOR:
                await self._server.until(lambda: len(self._server.factory.connections) >= before + len(readers))
        return readers

    async def read_until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._server.clock.advance(0)
            await deferLater(reactor, 0)
            for key, _ in self._selector.select(0):
                received = key.data.socket.recv(65536)
                assert received, "cut"
                key.data.received += received

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """All leave at once."""
        for key in list(self._selector.get_map().values()):
            key.data.socket.close()
        self._selector.close()


def data_in(live: Reader) -> list[str]:
    """The data events that have come over an SSE connection."""
    body = unchunked(live.received.partition(b"\r\n\r\n")[2])[0]
    return [data for kind, data in events_in(body) if kind == "data"]


def objects_alive() -> Counter[str]:
    """How many objects there are of each of the classes of which connections and readers are made."""
    gc.collect()
    kinds = Counter(map(type, gc.get_objects()))
    names = {kind: f"{kind.__module__}.{kind.__qualname__}" for kind in kinds}
    return Counter({names[kind]: count for kind, count in kinds.items() if names[kind].startswith(OURS)})


async def come_and_go(server: WireServer, message: str) -> None:
    """A crowd gathers, is told one message, and leaves while it waits for the next."""
    live_reads = server.desk.service.live_reads
    await server.until(lambda: not server.factory.connections)
    with Crowd(server) as crowd:
        events = await crowd.gather("offset=now&live=sse")
        polls = await crowd.gather("offset=now&live=long-poll")
        await crowd.read_until(lambda: len(live_reads) == 2 * OF_EACH_KIND)
        await server.desk.service.append("a", message.encode())
        await crowd.read_until(lambda: all(message.encode() in reader.received for reader in (*events, *polls)))
        answers = Counter(poll.received for poll in polls)
        for poll in polls:
            answer = WireAnswer(*poll.received.split(b"\r\n\r\n"))
            assert (answer.status, answer.body) == (200, message.encode())
            poll.ask("offset=now&live=long-poll")
        await crowd.read_until(lambda: len(live_reads) == 2 * OF_EACH_KIND)
        assert Counter(poll.received for poll in polls) == answers
        assert all(data_in(each) == [message] for each in events)
    await server.until(lambda: not server.factory.connections)


def resident_bytes() -> int:
    """The memory that the process takes of the machine."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest_twisted.ensureDeferred
async def test_a_crowd_is_told_once_each_and_leaves_nothing_behind(server: WireServer) -> None:
    """No waiter, no subscription, no timer, no object; the memory that it took is there for the next one."""
    await server.desk.service.create("a", content_type="text/plain")
    await come_and_go(server, "round 0")
    objects, timers = objects_alive(), len(server.clock.getDelayedCalls())
    blocks, resident = sys.getallocatedblocks(), resident_bytes()
    for number in range(1, ROUNDS):
        await come_and_go(server, f"round {number}")
        assert server.waiting == []
        assert objects_alive() - objects == Counter()
        assert len(server.clock.getDelayedCalls()) == timers
    assert sys.getallocatedblocks() - blocks < OF_EACH_KIND / 2
    assert resident_bytes() - resident < MOST_GROWTH
