"""The service in other applications: the examples run as they are; mounted, it passes the official suite."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.conformance.official_suite import LONG_POLL_SECONDS, run_official_suite
from tests.conformance.test_official_suite import WHOLE_SUITE
from tests.running_service import ROOT

PASSWORD = {"Authorization": "Basic " + b64encode(b"reader:secret").decode()}


@contextmanager
def example(name: str) -> Iterator[str]:
    """Run an example on a free port; yields its URL."""
    command = [sys.executable, str(ROOT / "examples" / name), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def ask(url: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    with urlopen(Request(url, body, headers or {}, method=method), timeout=10) as answer:
        content: bytes = answer.read()
        return content


def test_a_klein_application_beside_its_own_routes() -> None:
    """Its own page, its own use of the service, and the streams behind its own password (Section 12.1)."""
    with example("embed_klein.py") as url:
        assert b"own" in ask(url)
        ask(url + "greet/ada", "POST", b"")
        with pytest.raises(HTTPError, match="401"):
            ask(url + "streams/greetings")
        assert ask(url + "streams/greetings", headers=PASSWORD) == b'[{"hello":"ada"}]'
        ask(url + "streams/a%2Fb", "PUT", b"one", PASSWORD)
        ask(url + "streams/a/b", "PUT", b"two", PASSWORD)
        assert ask(url + "streams/a%2Fb", headers=PASSWORD) == b"one"


def test_a_twisted_web_tree() -> None:
    """A child of a resource tree."""
    with example("embed_twisted_web.py") as url:
        assert b"own" in ask(url)
        ask(url + "streams/notes//x", "PUT", b"note")
        assert ask(url + "streams/notes//x") == b"note"


def test_the_service_without_http() -> None:
    """The tour runs through."""
    run = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "without_http.py")],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert "followed: 3 messages" in run.stdout


MOUNTED = """
import sys
from klein import Klein
from twisted.internet import reactor
from twisted.web.server import Site
from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage
from durable_streams.subscriptions.memory_store import MemorySubscriptionStore
from durable_streams.subscriptions.service import SubscriptionService
from durable_streams.subscriptions.webhook import Webhooks
from durable_streams.web.resource import StreamResource
from durable_streams.web.settings import HttpSettings

app = Klein()
streams = StreamService(MemoryStorage(reactor))
streams.startService()
subscriptions = SubscriptionService(streams, MemorySubscriptionStore(), Webhooks(reactor, allow_loopback=True))
subscriptions.startService()
resource = StreamResource(streams, HttpSettings(long_poll_timeout=int(sys.argv[1])), subscriptions)

@app.route("/")
def index(request):
    return "own"

@app.route("/v1/stream/", branch=True)
def mounted(request):
    return resource

port = reactor.listenTCP(0, Site(app.resource(), parsePOSTFormSubmission=False), interface="127.0.0.1")
print(f"listening on http://127.0.0.1:{port.getHost().port}", flush=True)
reactor.run()
"""


@pytest.mark.timeout(400)
def test_a_mounted_service_passes_the_official_suite(tmp_path: Path) -> None:
    """Klein's own routing in front changes nothing."""
    with subprocess.Popen(
        [sys.executable, "-c", MOUNTED, str(LONG_POLL_SECONDS)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        origin = process.stdout.readline().split()[-1]
        try:
            verdict = run_official_suite(origin, tmp_path / "report.json")
        finally:
            process.terminate()
    assert verdict.failed == {}
    assert len(verdict.passed) == WHOLE_SUITE
