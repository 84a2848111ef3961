"""SIGTERM while clients are at work: what is begun is finished, what was acknowledged is there after the restart."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from durable_streams.web.channels import CHANNELS
from tests.certificate import make_certificate
from tests.running_service import RunningService, running_service
from tests.web.desk import events_in
from tests.web.wire import head

TRUSTING = ssl._create_unverified_context()
PATIENCE = 20
SOON = 5
"""Seconds; well below those for which the service waits for its clients."""
STOPPED = -signal.SIGTERM
"""The exit status of a twistd that was asked to stop and did."""
WHOLE = b'"' + b"x" * 99_998 + b'"'
HALF = len(WHOLE) // 2
LONG = b'"' + b"x" * 20_000_000 + b'"'
HTTP_2_BEGIN = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""The preface of a client of HTTP/2, and its settings: none."""
ONE_BY_ONE = 1
PIPELINED = 16


class Client:
    """A connection to the service, and what is said on it."""

    def __init__(self, service: RunningService) -> None:
        parts = urlsplit(service.url)
        self._socket = socket.create_connection((parts.hostname, parts.port), PATIENCE)
        if parts.scheme == "https":
            self._socket = TRUSTING.wrap_socket(self._socket)
        self._received = self._socket.makefile("rb")

    def send(self, *parts: bytes) -> None:
        self._socket.sendall(b"".join(parts))

    def append(self, *bodies: bytes) -> None:
        """Send appends to the stream ``a``, in one go."""
        kind = "Content-Type: application/json"
        self.send(*[head("POST", "a", kind, f"Content-Length: {len(body)}") + body for body in bodies])

    def answer(self) -> tuple[int, dict[str, str]]:
        """Status and header fields of the next answer, which has no body. Raises ``EOFError`` at the end."""
        lines: list[str] = []
        while line := self._received.readline().decode().strip():
            lines.append(line)
        if not lines:
            raise EOFError
        fields = [line.lower().split(": ", 1) for line in lines[1:]]
        return int(lines[0].split()[1]), dict(fields)

    def rest(self) -> bytes:
        """All that comes until the service closes the connection."""
        return self._received.read()

    def close(self) -> None:
        self._received.close()
        self._socket.close()


class Straggler(Client):
    """Is in the middle of an append: the service has seen its head, and half of its body is on the way."""

    def __init__(self, service: RunningService) -> None:
        super().__init__(service)
        fields = ["Content-Type: application/json", "Expect: 100-continue", f"Content-Length: {len(WHOLE)}"]
        self.send(head("POST", "a", *fields))
        assert self.answer()[0] == 100
        self.send(WHOLE[:HALF])

    def finish(self) -> tuple[int, dict[str, str]]:
        self.send(WHOLE[HALF:])
        return self.answer()


class Appender(threading.Thread):
    """Appends messages of its own, ``depth`` at a time, until its connection ends; keeps which were acknowledged."""

    def __init__(self, service: RunningService, name: str, depth: int) -> None:
        super().__init__(daemon=True)
        self._client = Client(service)
        self.name = name
        self._depth = depth
        self.acknowledged: list[str] = []
        self.is_at_work = threading.Event()
        self.start()

    def run(self) -> None:
        with suppress(OSError, EOFError):
            while True:
                self._append_some()
        self._client.close()

    def _append_some(self) -> None:
        begin = len(self.acknowledged)
        messages = [f"{self.name}: {number}" for number in range(begin, begin + self._depth)]
        self._client.append(*[json.dumps(message).encode() for message in messages])
        for message in messages:
            status, _ = self._client.answer()
            assert status == 204
            self.acknowledged.append(message)
        self.is_at_work.set()


class Follower(threading.Thread):
    """Reads live from the end of a stream on, to the end of the answer."""

    def __init__(self, service: RunningService, name: str, live: str) -> None:
        super().__init__(daemon=True)
        parts = urlsplit(service.url)
        self._connection = HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
        self._connection.request("GET", f"{parts.path}{name}?offset=now&live={live}")
        self.status = 0
        self.body = b""
        self.start()

    def run(self) -> None:
        response = self._connection.getresponse()
        self.status, self.body = response.status, response.read()
        self._connection.close()


def ask(service: RunningService, method: str, name: str, body: bytes = b"") -> tuple[HTTPResponse, bytes]:
    """One request on a connection of its own."""
    parts = urlsplit(service.url)
    if parts.scheme == "https":
        connection: HTTPConnection = HTTPSConnection(
            parts.hostname or "", parts.port, timeout=PATIENCE, context=TRUSTING
        )
    else:
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    connection.request(method, parts.path + name, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answered = response.read()
    connection.close()
    return response, answered


def messages_of(service: RunningService) -> list[Any]:
    """All of the stream ``a``."""
    found: list[Any] = []
    offset = "-1"
    while True:
        response, body = ask(service, "GET", f"a?offset={offset}")
        found += json.loads(body)
        if response.headers["Stream-Up-To-Date"]:
            return found
        offset = response.headers["Stream-Next-Offset"]


Start = Callable[[], AbstractContextManager[RunningService]]


@pytest.fixture(params=sorted(CHANNELS))
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Start:
    """Starts a durable service over one of the channels, always on the same data."""
    channel, _, over_tls = request.param.partition(" over ")
    listen = "tcp:0:interface=127.0.0.1"
    if over_tls:
        certificate, key = make_certificate(tmp_path)
        listen = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    options = ["--data-dir", str(tmp_path / "data"), "--http-channel", channel, "--max-read-bytes", "100000000"]
    return lambda: running_service(*options, listen=listen)


also_over_tls = pytest.mark.parametrize("start", [*sorted(CHANNELS), "lean over TLS", "stock over TLS"], indirect=True)


@also_over_tls
def test_an_append_that_is_half_sent_is_finished_and_kept(start: Start) -> None:
    """The service waits for the rest of it, answers, and is gone; idle clients it has sent away before."""
    with start() as service:
        assert ask(service, "PUT", "a")[0].status == 201
        idle, straggler = Client(service), Straggler(service)
        idle.append(b"1")
        assert idle.answer()[0] == 204
        service.ask_to_stop()
        assert idle.rest() == b""
        status, fields = straggler.finish()
        assert (status, fields["connection"]) == (204, "close")
        assert straggler.rest() == b""
        assert service.wait() == STOPPED
    with start() as service:
        assert messages_of(service) == [1, json.loads(WHOLE)]


@also_over_tls
def test_an_answer_that_is_read_late_arrives_whole(start: Start) -> None:
    """More than the system keeps for a connection is on its way to a client when the service is told to stop."""
    with start() as service:
        assert ask(service, "PUT", "a", LONG)[0].status == 201
        idle, late = Client(service), Client(service)
        idle.append(b"1")
        assert idle.answer()[0] == 204
        late.send(head("GET", "a?offset=-1"))
        status, fields = late.answer()
        assert status == 200
        service.ask_to_stop()
        assert idle.rest() == b""
        assert len(late.rest()) == int(fields["content-length"]) > len(LONG)
        assert service.wait() == STOPPED


@pytest.mark.parametrize("start", ["lean over TLS", "stock over TLS"], indirect=True)
@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_nobody_waits_for_a_silent_client_to_say_goodbye(start: Start, protocol: str) -> None:
    """Over TLS both sides may say when they close; a connection that rests in a client's pool does not."""
    context = ssl._create_unverified_context()
    context.set_alpn_protocols([protocol])
    with start() as service:
        parts = urlsplit(service.url)
        with socket.create_connection((parts.hostname, parts.port), PATIENCE) as plain:
            silent = context.wrap_socket(plain)
            assert silent.selected_alpn_protocol() == protocol
            silent.sendall(HTTP_2_BEGIN if protocol == "h2" else head("GET", "none"))
            assert silent.recv(1)
            service.ask_to_stop()
            assert service.process.wait(SOON) == STOPPED


def test_an_append_for_which_nobody_waits_leaves_nothing(start: Start) -> None:
    """Asked twice to stop, the service cuts who is not ready; half an append is none."""
    with start() as service:
        assert ask(service, "PUT", "a")[0].status == 201
        idle, straggler = Client(service), Straggler(service)
        service.ask_to_stop()
        assert idle.rest() == b""
        service.ask_to_stop()
        with suppress(ConnectionResetError):
            assert straggler.rest() == b""
        assert service.wait() == STOPPED
    with start() as service:
        assert messages_of(service) == []


def test_what_was_acknowledged_while_it_stopped_is_there_once(start: Start) -> None:
    """Appends in parallel and pipelined, live readers on both kinds: all end well, and no new client is let in."""
    with start() as service:
        for name in ("a", "quiet"):
            assert ask(service, "PUT", name)[0].status == 201
        live, poll = Follower(service, "a", "sse"), Follower(service, "quiet", "long-poll")
        straggler = Straggler(service)
        appenders = [
            Appender(service, f"{number} by {depth}", depth) for number in range(4) for depth in (ONE_BY_ONE, PIPELINED)
        ]
        for appender in appenders:
            assert appender.is_at_work.wait(PATIENCE)
        service.ask_to_stop()
        for thread in (*appenders, live, poll):
            thread.join(PATIENCE)
        assert service.process.poll() is None
        with pytest.raises(ConnectionRefusedError):
            Client(service)
        assert straggler.finish()[0] == 204
        assert service.wait() == STOPPED
    assert (poll.status, poll.body) == (204, b"")
    assert live.status == 200
    with start() as service:
        stored = messages_of(service)
    assert Counter(stored).most_common(1)[0][1] == 1
    for appender in appenders:
        own = [message for message in stored if message.startswith(f"{appender.name}:")]
        assert own[: len(appender.acknowledged)] == appender.acknowledged
    delivered = [message for kind, data in events_in(live.body) if kind == "data" for message in json.loads(data)]
    assert len(delivered) > 0
    assert delivered == stored[: len(delivered)]
