"""The real service is killed again and again under webhooks and workers; nothing that was appended is missed."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.running_service import running_service
from tests.subscriptions.signatures import is_signed_by

KILLS = 4
SECONDS_BETWEEN_KILLS = 0.7
STREAMS = ("events/a", "events/b", "events/c")

_GONE = (OSError, http.client.HTTPException)


class Service:
    """Where the service is at the moment; requests fail with ``_GONE`` when it is nowhere."""

    url = ""

    def ask(self, method: str, path: str, body: object = None, token: str = "") -> tuple[int, Any]:
        """Status and JSON body."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        try:
            connection.request(method, parts.path + path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(content) if content else None

    def insist(self, method: str, path: str, body: object = None) -> Any:
        """Ask until there is an answer; its JSON body."""
        while True:
            try:
                status, content = self.ask(method, path, body)
            except _GONE:
                time.sleep(0.02)
                continue
            if status < 500:
                assert status < 300, (status, content)
                return content


class Consumer:
    """What somebody has processed: the messages of each stream up to an offset, and the wakes that told of them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self.seen: dict[str, set[int]] = {name: set() for name in STREAMS}
        self.processed: dict[str, str] = dict.fromkeys(STREAMS, "")
        self.wakes: list[tuple[int, str]] = []

    def process(self, wake: Any) -> list[dict[str, str]]:
        """Read what a wake tells of; the acks for it."""
        acks = []
        with self._lock:
            self.wakes.append((wake["generation"], wake["wake_id"]))
        for stream in wake["streams"]:
            if stream["has_pending"]:
                _, messages = self._service.ask("GET", f"{stream['path']}?offset={stream['acked_offset']}")
                with self._lock:
                    self.seen[stream["path"]].update(messages)
                    self.processed[stream["path"]] = max(self.processed[stream["path"]], stream["tail_offset"])
                acks.append({"stream": stream["path"], "offset": stream["tail_offset"]})
        return acks

    def check(self, cursors: dict[str, str]) -> None:
        """No cursor is ahead of what was processed."""
        with self._lock:
            assert all(offset <= self.processed[path] or int(offset[-16:]) == 0 for path, offset in cursors.items())


class Receiver(ThreadingHTTPServer):
    """Verifies each webhook; finishes one third at once, one third by a callback, and leaves one third alone."""

    daemon_threads = True

    def __init__(self, service: Service, consumer: Consumer) -> None:
        super().__init__(("127.0.0.1", 0), _Hook)
        self.service = service
        self.consumer = consumer
        self.keys: list[dict[str, str]] = []
        self.forged = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def answer_to(self, body: bytes, signature: str) -> dict[str, bool]:
        if not any(is_signed_by(key, signature, body) for key in self.keys):
            self.forged += 1
        wake = json.loads(body)
        way = wake["generation"] % 3
        if way == 2:
            return {}
        acks = self.consumer.process(wake)
        if way == 1:
            report = {"wake_id": wake["wake_id"], "generation": wake["generation"], "acks": acks, "done": True}
            self.service.ask("POST", "__ds/subscriptions/hook/callback", report, wake["callback_token"])
        return {"done": way == 0}


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            answer = json.dumps(receiver.answer_to(body, self.headers["Webhook-Signature"])).encode()
        except _GONE:
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def forever(over: threading.Event, work: Callable[[], None]) -> threading.Thread:
    """Do the work again and again, also when the service is gone."""

    def run() -> None:
        while not over.is_set():
            try:
                work()
            except _GONE:
                time.sleep(0.02)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


class Appender:
    """Appends numbers to all streams in turn, each until it is acknowledged."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.acknowledged: dict[str, list[int]] = {name: [] for name in STREAMS}
        self._next = 0

    def __call__(self) -> None:
        name = STREAMS[self._next % len(STREAMS)]
        status, _ = self._service.ask("POST", name, self._next)
        if status == 204:
            self.acknowledged[name].append(self._next)
            self._next += 1
        time.sleep(0.003)


class Worker:
    """Claims whenever it can, instead of reading wakes."""

    def __init__(self, service: Service, consumer: Consumer) -> None:
        self._service = service
        self._consumer = consumer

    def __call__(self) -> None:
        status, wake = self._service.ask("POST", "__ds/subscriptions/pull/claim", {"worker": "w"})
        if status != 200:
            time.sleep(0.02)
            return
        acks = self._consumer.process(wake)
        report = {"wake_id": wake["wake_id"], "generation": wake["generation"], "acks": acks, "done": True}
        self._service.ask("POST", "__ds/subscriptions/pull/ack", report, wake["token"])


def cursors_of(service: Service, subscription: str) -> dict[str, str]:
    shown = service.insist("GET", f"__ds/subscriptions/{subscription}")
    return {stream["path"]: stream["acked_offset"] for stream in shown["streams"]}


@pytest.mark.timeout(180)
def test_every_event_is_delivered_after_kills(tmp_path: Path) -> None:
    """7: at least once, and no cursor moves without an ack; 6.5: keys and generations survive."""
    service, over = Service(), threading.Event()
    hooked, pulled = Consumer(service), Consumer(service)
    appender, receiver = Appender(service), Receiver(service, hooked)
    threads: list[threading.Thread] = []
    for kill in range(KILLS + 1):
        with running_service("--data-dir", str(tmp_path / "data"), "--allow-loopback-webhooks") as running:
            service.url = running.url
            if kill == 0:
                for name in ("wakes", *STREAMS):
                    service.insist("PUT", name)
                receiver.keys = service.insist("GET", "__ds/jwks.json")["keys"]
                shared = {"pattern": "events/*", "lease_ttl_ms": 1000}
                hook = {"type": "webhook", "webhook": {"url": receiver.url}, **shared}
                service.insist("PUT", "__ds/subscriptions/hook", hook)
                service.insist(
                    "PUT", "__ds/subscriptions/pull", {"type": "pull-wake", "wake_stream": "wakes", **shared}
                )
                threads = [forever(over, appender), forever(over, Worker(service, pulled))]
            time.sleep(SECONDS_BETWEEN_KILLS)
            hooked.check(cursors_of(service, "hook"))
            pulled.check(cursors_of(service, "pull"))
            assert service.insist("GET", "__ds/jwks.json")["keys"] == receiver.keys
            if kill < KILLS:
                running.kill()
                continue
            over.set()
            for thread in threads:
                thread.join(20)
            tails = {name: _tail(service, name) for name in STREAMS}
            rest = threading.Event()
            last = forever(rest, Worker(service, pulled))
            while any(cursors_of(service, subscription) != tails for subscription in ("hook", "pull")):
                time.sleep(0.05)
            rest.set()
            last.join(20)
    receiver.shutdown()
    receiver.server_close()
    assert receiver.forged == 0
    for consumer in (hooked, pulled):
        for name in STREAMS:
            assert len(appender.acknowledged[name]) > KILLS
            assert set(appender.acknowledged[name]) <= consumer.seen[name]
        by_generation: dict[int, set[str]] = {}
        for generation, wake_id in consumer.wakes:
            by_generation.setdefault(generation, set()).add(wake_id)
        assert all(len(wakes) == 1 for wakes in by_generation.values())


def _tail(service: Service, name: str) -> str:
    """The offset behind everything in a stream."""
    parts = urlsplit(service.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    connection.request("HEAD", parts.path + name)
    offset = connection.getresponse().headers["Stream-Next-Offset"]
    connection.close()
    return offset
