"""The HTTP side behind a real port, and connections that send whatever bytes a test likes.

Sockets are real, time is not: timeouts and live delivery follow ``WireServer.clock``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure

from durable_streams.interfaces import IStorage
from durable_streams.storage.memory import MemoryStorage
from durable_streams.web.channels import CHANNELS
from durable_streams.web.eager import EagerEndpoint
from tests.web.desk import Desk, events_in

assert IReactorTCP.providedBy(reactor)


class WireAnswer:
    """A whole response off the wire; ``headers`` has lower-case names."""

    def __init__(self, head: bytes, body: bytes) -> None:
        status_line, *lines = head.decode("latin-1").split("\r\n")
        self.version, _, status = status_line.partition(" ")
        self.status = int(status[:3])
        self.headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            assert name.lower() not in self.headers, f"{name} twice"
            self.headers[name.lower()] = value.strip()
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        code: str = self.json["code"]
        return code


class Wire(Protocol):
    """The client's end of a connection."""

    def __init__(self) -> None:
        self.received = b""
        self.ended = False
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    # --- sending

    def send(self, *parts: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"".join(parts))

    def ask(self, method: str, path: str, body: bytes = b"", *fields: str) -> None:
        """A request that is whole; ``path`` is below the stream root unless it begins with a slash."""
        self.send(head(method, path, *fields, *([f"Content-Length: {len(body)}"] if body else [])), body)

    def hang_up(self) -> None:
        """Disconnect at once, with nothing said."""
        transport: Any = self.transport
        transport.abortConnection()

    def pause(self) -> None:
        """Read nothing."""
        transport: Any = self.transport
        transport.pauseProducing()

    def resume(self) -> None:
        transport: Any = self.transport
        transport.resumeProducing()

    # --- receiving

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = True
        self._look()

    def _look(self) -> None:
        ready = [waiting for waiting in self._waiting if waiting[0]()]
        self._waiting = [waiting for waiting in self._waiting if waiting not in ready]
        for _, deferred in ready:
            deferred.callback(None)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something about what was received."""
        if not holds():
            deferred: Deferred[None] = Deferred()
            self._waiting.append((holds, deferred))
            await deferred

    async def end(self) -> None:
        """Wait for the server to close the connection."""
        await self.until(lambda: self.ended)

    async def answer(self, method: str = "GET") -> WireAnswer:
        """Take the next response off the wire; ``method`` is what was asked, for HEAD has no body."""
        await self.until(lambda: b"\r\n\r\n" in self.received)
        found, _, self.received = self.received.partition(b"\r\n\r\n")
        answer = WireAnswer(found, b"")
        if method != "HEAD" and answer.status not in (100, 204, 304):
            answer.body = await self._body(answer)
        return answer

    async def _body(self, answer: WireAnswer) -> bytes:
        if "content-length" in answer.headers:
            length = int(answer.headers["content-length"])
            await self.until(lambda: len(self.received) >= length)
            body, self.received = self.received[:length], self.received[length:]
            return body
        if answer.headers.get("transfer-encoding") != "chunked":
            await self.end()
            body, self.received = self.received, b""
            return body
        await self.until(lambda: unchunked(self.received)[1])
        body, _, self.received = unchunked(self.received)
        return body

    async def live(self) -> LiveAnswer:
        """Take the head of a response whose body goes on."""
        await self.until(lambda: b"\r\n\r\n" in self.received)
        found, _, self.received = self.received.partition(b"\r\n\r\n")
        return LiveAnswer(self, WireAnswer(found, b""))


class LiveAnswer:
    """A response that goes on, and what has come of it so far."""

    def __init__(self, wire: Wire, start: WireAnswer) -> None:
        self._wire = wire
        self._is_chunked = start.headers.get("transfer-encoding") == "chunked"
        self.status = start.status
        self.headers = start.headers

    @property
    def body(self) -> bytes:
        return unchunked(self._wire.received)[0] if self._is_chunked else self._wire.received

    @property
    def ended(self) -> bool:
        return unchunked(self._wire.received)[1] if self._is_chunked else self._wire.ended

    @property
    def data(self) -> list[str]:
        return [data for kind, data in events_in(self.body) if kind == "data"]

    @property
    def controls(self) -> list[dict[str, Any]]:
        return [json.loads(data) for kind, data in events_in(self.body) if kind == "control"]

    async def until(self, holds: Callable[[LiveAnswer], bool]) -> None:
        await self._wire.until(lambda: holds(self))


def unchunked(raw: bytes) -> tuple[bytes, bool, bytes]:
    """The chunks that are whole, joined; whether the last chunk was among them; and what follows it."""
    parts: list[bytes] = []
    while True:
        size, found, rest = raw.partition(b"\r\n")
        if not found:
            return b"".join(parts), False, b""
        length = int(size.partition(b";")[0], 16)
        if len(rest) < length + 2:
            return b"".join(parts), False, b""
        assert rest[length : length + 2] == b"\r\n"
        if not length:
            return b"".join(parts), True, rest[2:]
        parts.append(rest[:length])
        raw = rest[length + 2 :]


def head(method: str, path: str, *fields: str) -> bytes:
    """The head of a request; ``path`` is below the stream root unless it begins with a slash."""
    target = path if path.startswith("/") else "/v1/stream/" + path
    lines = [f"{method} {target} HTTP/1.1", "Host: streams.example", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")


class WireServer:
    """A service, over memory storage unless told otherwise, behind a real port."""

    def __init__(self, channel: str, storage: Callable[[Clock], IStorage] = MemoryStorage, **settings: Any) -> None:
        self.desk = Desk(storage, **settings)
        self.clock = self.desk.clock
        self.factory: Any = CHANNELS[channel](self.desk.application, "http", self.clock)
        endpoint = EagerEndpoint(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        listening = endpoint.listen(self.factory)
        self._port: Any = pytest_twisted.blockon(listening)
        self._wires: list[Wire] = []

    @property
    def waiting(self) -> list[object]:
        """All that waits for a stream, or for a client."""
        service, feeds = self.desk.service, self.desk.application.streams.feeds
        waiting = [*service.notifier.followed(), *service.live_reads, *feeds._by_age, *feeds._feeds]
        return [*waiting, *self.factory.connections]

    async def connect(self) -> Wire:
        wire = Wire()
        endpoint = TCP4ClientEndpoint(reactor, *self.address)
        await connectProtocol(endpoint, wire)
        self._wires.append(wire)
        return wire

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        address = self._port.getHost()
        return address.host, address.port

    async def ask(self, method: str, path: str, body: bytes = b"", *fields: str) -> WireAnswer:
        """One request on a connection of its own."""
        wire = await self.connect()
        wire.ask(method, path, body, *fields)
        answer = await wire.answer(method)
        wire.hang_up()
        await wire.end()
        return answer

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let the reactor turn, and due calls of the clock happen, until something holds here."""
        while not holds():
            self.clock.advance(0)
            await deferLater(reactor, 0.001)

    async def pass_time(self, seconds: float, holds: Callable[[], bool]) -> bool:
        """Let up to so many seconds pass, a quarter at a time; whether something came to hold, and stopped that."""
        for _ in range(int(seconds * 4)):
            if holds():
                return True
            self.clock.advance(0.25)
            for _ in range(3):
                await deferLater(reactor, 0.001)
        return holds()

    def stop(self) -> None:
        pytest_twisted.blockon(Deferred.fromCoroutine(self._stop()))

    async def _stop(self) -> None:
        await self._port.stopListening()
        for wire in self._wires:
            if not wire.ended:
                wire.hang_up()
                await wire.end()
        drained = self.factory.drain()
        outcomes: list[object] = []
        drained.addCallback(outcomes.append)
        await self.pass_time(5, lambda: bool(outcomes))
        assert outcomes, "a connection was left"
        await self.desk.stop()


def serve(channel: str, **settings: Any) -> Iterator[WireServer]:
    """What a fixture yields: a server that is stopped after the test."""
    server = WireServer(channel, **settings)
    yield server
    server.stop()
