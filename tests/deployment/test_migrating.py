"""docs/migrating.md: streams are copied from the Node reference server as the page says."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from benchmarks.adapters import NodeServer
from tests.docs.pages import ROOT, blocks_of
from tests.running_service import running_service

PROGRAM = next(block.text for block in blocks_of("docs/migrating.md") if block.language == "python")
NODE = NodeServer("node-memory", False)


@contextmanager
def node_server(folder: Path) -> Iterator[str]:
    """The reference server of Node.js; yields its stream root."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    NODE.version()
    with subprocess.Popen(NODE.command(port, folder), stdout=subprocess.DEVNULL) as server:
        try:
            give_up = time.monotonic() + 30
            while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < give_up:
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/v1/stream/"
        finally:
            server.terminate()


def ask(url: str, method: str = "GET", body: bytes | None = None, **fields: str) -> tuple[bytes, dict[str, str]]:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    with urlopen(Request(url, body, headers, method=method), timeout=10) as answer:
        return answer.read(), {name.lower(): value for name, value in answer.headers.items()}


@pytest.mark.skipif(NODE.lack() is not None, reason="there is no Node.js")
@pytest.mark.timeout(180)
def test_streams_are_copied_from_the_node_server(tmp_path: Path) -> None:
    """Content, type, expiry and closure arrive; a second run gives the same."""
    messages = [{"number": number, "text": "é" * number} for number in range(300)]
    with node_server(tmp_path) as old, running_service("--data-dir", str(tmp_path / "data")) as service:
        ask(old + "events", "PUT", Content_Type="application/json", Stream_TTL="3600")
        for message in messages:
            ask(old + "events", "POST", json.dumps(message).encode(), Content_Type="application/json")
        ask(old + "story", "PUT", "Es war einmal €".encode(), Content_Type="text/plain", Stream_Closed="true")
        ask(old + "empty", "PUT", Content_Type="application/octet-stream")
        for _ in range(2):
            copied = subprocess.run(
                [sys.executable, "-c", PROGRAM, old, service.url, "events", "story", "empty"],
                capture_output=True,
                text=True,
                cwd=ROOT,
                timeout=60,
            )
            assert (copied.returncode, copied.stderr) == (0, "")
        events, about_events = ask(service.url + "events")
        story, about_story = ask(service.url + "story")
        empty, about_empty = ask(service.url + "empty")
        assert json.loads(events) == messages
        assert (story.decode(), about_story["content-type"]) == ("Es war einmal €", "text/plain")
        assert (empty, about_empty["content-type"]) == (b"", "application/octet-stream")
        assert "stream-closed" not in about_events
        assert about_story["stream-closed"] == "true"
        assert ask(service.url + "events", "HEAD")[1]["stream-ttl"] == "3600"
