"""A producer and readers in every live mode over a server that is killed and started again, once a second.

Every reader must get every message exactly once and in order: the three modes, and a ``LiveListener``. The test runs it
for a few seconds; ``pytest tests/client/test_soak.py --soak 60`` or this for longer::

    python -m tests.client.soak --seconds 60
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react

from durable_streams.client import Batching, Connections, LiveMode, RetryPolicy, StreamDirectory
from durable_streams.live import LiveListener, OverHttp

reactor: Any = installed_reactor

LIFE = 0.4
"""Seconds from the server's first answer to its next death; to start it takes about as long again."""

MODES: list[LiveMode] = ["long-poll", "sse", "auto"]
LISTENER = "listener"
PATIENCE = RetryPolicy(max_retries=400, initial_delay=0.02, max_delay=0.2)
REPOSITORY = Path(__file__).parent.parent.parent


class Verdict(NamedTuple):
    """What a soak has shown. ``received`` counts messages by reader; each of them came once and in order."""

    sent: int
    received: dict[str, int]
    kills: int


class MortalServer:
    """A ``twistd durable-streams`` of its own on one port, with a storage that outlives it."""

    def __init__(self, storage: str, directory: str) -> None:
        self.port = _free_port()
        self.root = f"http://127.0.0.1:{self.port}/v1/stream/"
        self.kills = 0
        self._log = Path(directory) / "server.log"
        self._options = ["--listen", f"tcp:{self.port}:interface=127.0.0.1", "--storage", storage]
        self._options += ["--data-dir", str(Path(directory) / "data")] if storage == "local" else []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _TWISTD, "-n", "--pidfile=", "durable-streams", *self._options],
                stdout=log,
                stderr=log,
                cwd=self._log.parent,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            )

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def last_words(self) -> str:
        """The end of the servers' common log."""
        return self._log.read_text()[-2000:]


class Soak:
    """One run against one server."""

    def __init__(self, server: MortalServer, streams: StreamDirectory, seconds: float) -> None:
        self._server = server
        self._streams = streams
        self._stream = streams.stream("soak")
        self._end = time.monotonic() + seconds
        self._sent = 0
        self._received = dict.fromkeys([*MODES, LISTENER], 0)

    async def run(self) -> Verdict:
        await self._stream.create(content_type="application/json")
        reading = [Deferred.fromCoroutine(self._read(mode)) for mode in MODES]
        reading.append(Deferred.fromCoroutine(self._listen()))
        killing = Deferred.fromCoroutine(self._kill_once_a_second())
        await self._produce()
        await killing
        await gatherResults(reading, consumeErrors=True)
        for reader, count in self._received.items():
            assert count == self._sent, f"{reader}: {count} of {self._sent} messages came"
        return Verdict(self._sent, dict(self._received), self._server.kills)

    async def _produce(self) -> None:
        producer = self._stream.producer("soak", batching=Batching(max_items=50, max_in_flight=3))
        while time.monotonic() < self._end:
            for _ in range(20):
                producer.append_json({"n": self._sent})
                self._sent += 1
            await producer.ready()
            await deferLater(reactor, 0.01)
        await producer.close()

    async def _read(self, mode: LiveMode) -> None:
        async for message in self._stream.read_json(live=mode).each():
            self._check(mode, message)

    async def _listen(self) -> None:
        complete: Deferred[None] = Deferred()
        listener = LiveListener(
            OverHttp(self._streams),
            on_data=lambda messages, offset: self._check_all(LISTENER, messages),
            on_complete=lambda: complete.callback(None),
            on_error=complete.errback,
            reconnecting=PATIENCE,
        )
        listener.listen("soak")
        await complete

    def _check_all(self, reader: str, messages: list[Any]) -> None:
        for message in messages:
            self._check(reader, message)

    def _check(self, reader: str, message: object) -> None:
        expected = self._received[reader]
        if message != {"n": expected}:
            raise AssertionError(f"{reader}: {message} came where {expected} was expected")
        self._received[reader] += 1

    async def _kill_once_a_second(self) -> None:
        while time.monotonic() < self._end:
            await self._stream.head()
            await deferLater(reactor, LIFE)
            self._server.kill()
            self._server.kills += 1
            self._server.start()


async def soak(storage: str, seconds: float) -> Verdict:
    """Run for so long. Raises ``AssertionError`` when a message was lost, doubled or out of order."""
    connections = Connections(reactor)
    with TemporaryDirectory() as directory:
        server = MortalServer(storage, directory)
        server.start()
        try:
            return await Soak(server, StreamDirectory(server.root, connections.treq, retry=PATIENCE), seconds).run()
        except Exception:
            print(server.last_words, file=sys.stderr)
            raise
        finally:
            server.kill()
            await connections.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


_TWISTD = "import sys; sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it runs")
    parser.add_argument("--storage", default="local", help="a durable storage, as twistd durable-streams knows it")
    options = parser.parse_args()

    async def run() -> None:
        verdict = await soak(options.storage, options.seconds)
        print(f"{verdict.kills} kills; {verdict.sent} messages, each once and in order: {verdict.received}")

    react(lambda _: Deferred.fromCoroutine(run()))


if __name__ == "__main__":
    main()
