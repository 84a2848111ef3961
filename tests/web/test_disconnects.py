"""Clients that leave when it suits them, over real sockets: what they had said whole counts, nothing else is left."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.task import Clock, LoopingCall

from durable_streams.interfaces import IStorage
from durable_streams.storage.local import LocalSettings
from durable_streams.storage.local.files import OsFiles
from durable_streams.storage.local.storage import LocalStorage
from durable_streams.storage.memory import MemoryStorage
from durable_streams.web.channels import CHANNELS
from tests.storage.local.simulated_workers import ClockWorkers
from tests.web.wire import LiveAnswer, Wire, WireServer, head, serve

TEXT = "Content-Type: text/plain"
PRODUCER = ["Producer-Id: p", "Producer-Epoch: 0", "Producer-Seq: 0"]
APPEND = head("POST", "a", TEXT, "Content-Length: 5") + b"whole"
LENGTH = head("POST", "a", TEXT, *PRODUCER, "Content-Length: 10")
CHUNKS = head("POST", "a", TEXT, *PRODUCER, "Transfer-Encoding: chunked")


class Disk:
    """How long a sync takes; the test may change that."""

    seconds = 0.0


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture(params=["memory", "local"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, disk: Disk) -> Callable[[Clock], IStorage]:
    return MemoryStorage if request.param == "memory" else local_storage(tmp_path, disk)


def local_storage(path: Path, disk: Disk) -> Callable[[Clock], IStorage]:
    """On the real disk, where every batch is synced by the writer thread."""
    files = OsFiles(path / "journal")
    settings = LocalSettings(inline_seconds=0)
    return lambda clock: LocalStorage(
        path / "data", clock, ClockWorkers(clock, files, lambda: disk.seconds), settings, lambda _: files
    )


@pytest.fixture(params=sorted(CHANNELS))
def server(request: pytest.FixtureRequest, storage: Callable[[Clock], IStorage]) -> Iterator[WireServer]:
    """A server with the stream ``a``, where what is due happens by itself."""
    serving = serve(request.param, storage=storage, sse_max_age=1e9)
    server = next(serving)
    clockwork = LoopingCall(server.clock.advance, 0)
    clockwork.start(0.001)
    pytest_twisted.blockon(server.desk.service.create("a", content_type="text/plain"))
    yield server
    next(serving, None)
    clockwork.stop()


def politely(client: socket.socket) -> None:
    """Close, as a program does that ends."""
    client.close()


def abruptly(client: socket.socket) -> None:
    """Reset the connection, as the system does for a program that leaves something unread."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


leaving = pytest.mark.parametrize("leave", [politely, abruptly])
Leave = Callable[[socket.socket], None]


async def come(server: WireServer) -> socket.socket:
    """A client whose connection the server knows."""
    before = len(server.factory.connections)
    client = socket.create_connection(server.address, 10)
    await server.until(lambda: len(server.factory.connections) > before)
    return client


async def follow(server: WireServer) -> tuple[Wire, LiveAnswer]:
    """A long-poll and an SSE connection, both waiting at the tail."""
    poll, live = await server.connect(), await server.connect()
    poll.ask("GET", "a?offset=now&live=long-poll")
    live.ask("GET", "a?offset=now&live=sse")
    events = await live.live()
    await events.until(lambda events: bool(events.controls))
    await server.until(lambda: len(server.desk.service.live_reads) == 2)
    return poll, events


async def content_of(server: WireServer) -> bytes:
    return (await server.ask("GET", "a?offset=-1")).body


@leaving
@pytest_twisted.ensureDeferred
async def test_an_append_counts_though_its_client_leaves_at_once(server: WireServer, leave: Leave) -> None:
    """Nobody waits for the answer; both kinds of live readers are told as ever, once."""
    poll, live = await follow(server)
    client = socket.create_connection(server.address, 10)
    client.sendall(APPEND)
    leave(client)
    assert (await poll.answer()).body == b"whole"
    await live.until(lambda live: live.data == ["whole"])
    assert await content_of(server) == b"whole"
    assert (await server.ask("POST", "a", b"!", TEXT)).status == 204
    await live.until(lambda live: live.data == ["whole", "!"])


@leaving
@pytest_twisted.ensureDeferred
async def test_appends_that_were_pipelined_count_in_order(server: WireServer, leave: Leave) -> None:
    """As many as were begun while it was there, none of them twice."""
    sent = [b"%d," % number for number in range(20)]
    client = await come(server)
    client.sendall(b"".join(head("POST", "a", TEXT, f"Content-Length: {len(each)}") + each for each in sent))
    leave(client)
    await server.until(lambda: not server.factory.connections)
    server.clock.advance(0)
    content = await content_of(server)
    assert b"".join(sent).startswith(content)
    assert content


@leaving
@pytest.mark.parametrize("storage", ["local"], indirect=True)
@pytest_twisted.ensureDeferred
async def test_an_append_that_is_being_synced_is_not_taken_back(server: WireServer, disk: Disk, leave: Leave) -> None:
    """Its client has left before the disk has it; when the disk has it readers are told, and none before."""
    poll, live = await follow(server)
    disk.seconds = 1.0
    client = await come(server)
    client.sendall(APPEND)
    await server.until(lambda: server.desk.storage._committer.is_busy)  # type: ignore[attr-defined]  # is local
    leave(client)
    await server.until(lambda: len(server.factory.connections) == 2)
    assert (poll.received, live.data) == (b"", [])
    disk.seconds = 0.0
    server.clock.advance(1)
    assert (await poll.answer()).body == b"whole"
    await live.until(lambda live: live.data == ["whole"])


@leaving
@pytest.mark.parametrize(
    "half",
    [LENGTH + b"half ", CHUNKS + b"5\r\nhal", CHUNKS + b"5\r\nhalf \r\n"],
    ids=["in a length", "in a chunk", "between chunks"],
)
@pytest_twisted.ensureDeferred
async def test_half_an_append_is_none(server: WireServer, half: bytes, leave: Leave) -> None:
    """Nothing is stored, nobody is woken, and the producer's sequence number is still to come (Section 5.2.1)."""
    poll, live = await follow(server)
    client = await come(server)
    client.sendall(half)
    leave(client)
    await server.until(lambda: len(server.factory.connections) == 2)
    assert await content_of(server) == b""
    assert (poll.received, live.data) == (b"", [])
    retried = await server.ask("POST", "a", b"whole", TEXT, *PRODUCER)
    assert (retried.status, retried.headers["producer-seq"]) == (200, "0")
    assert await content_of(server) == b"whole"
    assert (await poll.answer()).body == b"whole"


@leaving
@pytest.mark.parametrize("mode", ["long-poll", "sse"])
@pytest_twisted.ensureDeferred
async def test_a_reader_that_leaves_leaves_nothing_behind(server: WireServer, mode: str, leave: Leave) -> None:
    """No waiter, no subscription, no connection; the next append meets nobody, and is there."""
    clients = [await come(server) for _ in range(3)]
    for client in clients:
        client.sendall(head("GET", f"a?offset=now&live={mode}"))
    await server.until(lambda: len(server.desk.service.live_reads) == 3)
    assert server.desk.service.notifier.followed()
    for client in clients:
        leave(client)
    await server.until(lambda: not server.factory.connections)
    assert server.waiting == []
    assert (await server.ask("POST", "a", b"whole", TEXT)).status == 204
    assert await content_of(server) == b"whole"


@leaving
@pytest_twisted.ensureDeferred
async def test_a_reader_that_leaves_in_the_turn_of_its_message_leaves_nothing_behind(
    server: WireServer, leave: Leave
) -> None:
    """Its answer is on the way to nobody; those beside it get theirs."""
    poll, live = await follow(server)
    clients = [await come(server) for _ in range(2)]
    for client, mode in zip(clients, ("long-poll", "sse"), strict=True):
        client.sendall(head("GET", f"a?offset=now&live={mode}"))
    await server.until(lambda: len(server.desk.service.live_reads) == 4)
    appending = socket.create_connection(server.address, 10)
    for client in clients:
        leave(client)
    appending.sendall(APPEND)
    assert (await poll.answer()).body == b"whole"
    await live.until(lambda live: live.data == ["whole"])
    politely(appending)
    await server.until(lambda: len(server.factory.connections) == 2)
    assert len(server.desk.service.live_reads) == 1
