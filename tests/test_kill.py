"""The service is killed again and again under producers and readers; then every stream is checked by content."""

from __future__ import annotations

import http.client
import json
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from durable_streams.storage.local.settings import MIB
from durable_streams.storage.local.verification import faults
from tests.running_service import running_service

PRODUCERS = 4
KILLS = 5
SECONDS_BETWEEN_KILLS = 0.8
BULK = 300_000


class Service:
    """Where the service is at the moment, and whether the test goes on."""

    def __init__(self) -> None:
        self.url = ""
        self.over = threading.Event()

    def request(self, method: str, name: str, body: bytes = b"", **headers: str) -> http.client.HTTPResponse:
        """One request on a connection of its own. Raises ``OSError`` or ``HTTPException`` when the service is gone."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"{parts.path}{name}", body, {"Content-Type": "application/json", **fields})
        response = connection.getresponse()
        response.body = response.read()  # type: ignore[attr-defined]  # kept for the caller
        connection.close()
        return response


def messages(service: Service, name: str) -> list[Any]:
    """All that is in a JSON stream."""
    found: list[Any] = []
    offset = "-1"
    while True:
        answer = service.request("GET", f"{name}?offset={offset}")
        found += json.loads(answer.body)  # type: ignore[attr-defined]  # kept by request
        if answer.headers["Stream-Up-To-Date"]:
            return found
        offset = answer.headers["Stream-Next-Offset"]


class Producer(threading.Thread):
    """Appends numbers one after the other, each until it is acknowledged, with the same sequence number."""

    def __init__(self, service: Service, name: str) -> None:
        super().__init__(daemon=True)
        self._service = service
        self._name = name
        self.acknowledged = 0

    def message(self, number: int) -> bytes:
        return json.dumps(number).encode()

    def run(self) -> None:
        while not self._service.over.is_set():
            claim = {"Producer_Id": self._name, "Producer_Epoch": "0", "Producer_Seq": str(self.acknowledged)}
            try:
                answer = self._service.request("POST", self._name, self.message(self.acknowledged), **claim)
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            assert answer.status in (200, 204), answer.status
            self.acknowledged += 1


class BulkProducer(Producer):
    """Appends large messages, so that segments fill up and are folded while the service is killed."""

    def message(self, number: int) -> bytes:
        return b'"%d%s"' % (number, b"." * BULK)


class Reader(threading.Thread):
    """Follows a stream by long-poll from where it was."""

    def __init__(self, service: Service, name: str) -> None:
        super().__init__(daemon=True)
        self._service = service
        self._name = name
        self._offset = "-1"
        self.seen: list[int] = []

    def run(self) -> None:
        while not self._service.over.is_set():
            try:
                answer = self._service.request("GET", f"{self._name}?offset={self._offset}&live=long-poll&timeout=1")
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            if answer.status == 200:
                self.seen += json.loads(answer.body)  # type: ignore[attr-defined]  # kept by request
            self._offset = answer.headers["Stream-Next-Offset"]


@pytest.mark.timeout(180)
def test_every_message_is_there_exactly_once_after_kills(tmp_path: Path) -> None:
    """What was acknowledged is there, in order and once; live readers saw the same without a gap (Section 5.2.1)."""
    service = Service()
    names = [f"stream-{number}" for number in range(PRODUCERS)]
    workers: list[Producer] = []
    readers: list[Reader] = []
    options = ("--storage", "local", "--data-dir", str(tmp_path / "data"), "--hot-bytes", "1")
    for kill in range(KILLS + 1):
        with running_service(*options) as running:
            service.url = running.url
            if kill == 0:
                for name in (*names, "bulk"):
                    assert service.request("PUT", name).status == 201
                workers = [Producer(service, name) for name in names]
                readers = [Reader(service, name) for name in names]
                bulk = BulkProducer(service, "bulk")
                for thread in (*workers, *readers, bulk):
                    thread.start()
            time.sleep(SECONDS_BETWEEN_KILLS)
            if kill < KILLS:
                running.kill()
                continue
            service.over.set()
            for thread in (*workers, *readers, bulk):
                thread.join(20)
            for worker, reader, name in zip(workers, readers, names, strict=True):
                stored = messages(service, name)
                assert stored == list(range(len(stored)))
                assert worker.acknowledged <= len(stored) <= worker.acknowledged + 1
                assert reader.seen == stored[: len(reader.seen)]
                assert worker.acknowledged > KILLS
            stored = messages(service, "bulk")
            assert bulk.acknowledged <= len(stored) <= bulk.acknowledged + 1
            assert all(message == f"{number}{'.' * BULK}" for number, message in enumerate(stored))
            assert len(stored) * BULK > 2 * MIB * 16, "too little to fill a segment"
            running.terminate()
    assert list(faults(tmp_path / "data")) == []
