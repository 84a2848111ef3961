"""A server that answers as a test tells it, without sockets: also what no real server would."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import Clock

from durable_streams.client import RetryPolicy, StreamHandle, Timeouts
from durable_streams.testing.memory_network import MemoryNetwork

URL = "http://scripted.test/stream"
RETRY = RetryPolicy(max_retries=4, initial_delay=1.0, max_delay=8.0)

_HEAD = re.compile(rb"(\S+) (\S+) HTTP/1\.1\r\n(.*?)\r\n\r\n", re.DOTALL)


@dataclass
class Asked:
    """One request as the server received it, and the way to answer it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    transport: Any

    @property
    def query(self) -> dict[str, str]:
        pairs = self.target.partition("?")[2].split("&")
        return dict(pair.split("=", 1) for pair in pairs if pair)

    def say(self, data: bytes) -> None:
        self.transport.write(data)

    def end(self) -> None:
        """Close the connection in an orderly way, after what was said."""
        self.transport.loseConnection()

    def cut(self) -> None:
        """Break the connection; what is on its way is lost."""
        self.transport.abortConnection()


Script = Callable[[Asked], None]


def answer(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """A whole response with a Content-Length; a 204 has none."""
    fields = dict(headers or {})
    if status != 204:
        fields["Content-Length"] = str(len(body))
    return _head(status, fields) + body


def chunked(status: int, headers: dict[str, str], *chunks: bytes) -> bytes:
    """The beginning of a chunked response; ``LAST_CHUNK`` ends it."""
    return _head(status, {**headers, "Transfer-Encoding": "chunked"}) + b"".join(map(chunk, chunks))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"

JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}
EVENTS = {"Content-Type": "text/event-stream"}
CLOSED = {"Stream-Closed": "true"}


def tail_at(offset: str, **more: str) -> dict[str, str]:
    """The headers of an answer that reaches the tail."""
    return {"Stream-Next-Offset": offset, "Stream-Up-To-Date": "true", **more}


def _head(status: int, headers: dict[str, str]) -> bytes:
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Status\r\n{fields}\r\n".encode()


def saying(data: bytes) -> Script:
    """A script that answers with these bytes."""
    return lambda asked: asked.say(data)


def cut_after(count: int, response: bytes) -> Script:
    """A script that says the first bytes of a response; then the connection breaks."""

    def script(asked: Asked) -> None:
        asked.say(response[:count])
        asked.transport.crash()

    return script


class ScriptedServer:
    """Answers the n-th request with the n-th script, on a network in memory with a clock of its own."""

    def __init__(self, scripts: Iterable[Script | bytes]) -> None:
        self.clock = Clock()
        self.asked: list[Asked] = []
        self._scripts: Iterator[Script | bytes] = iter(scripts)
        factory = ServerFactory.forProtocol(lambda: _Conversation(self._take))
        self.network = MemoryNetwork(self.clock, factory)

    @classmethod
    def always(cls, script: Script | bytes) -> ScriptedServer:
        """A server that answers every request in the same way."""
        return cls(repeat(script))

    def stream(self, **options: Any) -> StreamHandle:
        """A handle for its stream, patient for four retries of about 1, 2, 4 and 8 seconds."""
        options = {"retry": RETRY, "timeouts": Timeouts(answer=20, live=60), "clock": self.clock, **options}
        return StreamHandle(URL, self.network.treq, **options)

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass in steps of at most a second, so that what one step begins can end in the next."""
        self.network.settle()
        while seconds > 1:
            self.clock.advance(1)
            self.network.settle()
            seconds -= 1
        self.clock.advance(seconds)
        self.network.settle()

    def _take(self, asked: Asked) -> None:
        self.asked.append(asked)
        script = next(self._scripts, None)
        assert script is not None, f"an unexpected request: {asked.method} {asked.target}"
        if isinstance(script, bytes):
            asked.say(script)
        else:
            script(asked)


class _Conversation(Protocol):
    """The server's side of one connection: finds the requests."""

    def __init__(self, take: Callable[[Asked], None]) -> None:
        self._take = take
        self._received = b""

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        while (head := _HEAD.match(self._received)) is not None:
            lines = head[3].decode().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            end = head.end() + int(headers.get("content-length", 0))
            if len(self._received) < end:
                return
            body, self._received = self._received[head.end() : end], self._received[end:]
            self._take(Asked(head[1].decode(), head[2].decode(), headers, body, self.transport))
