"""``twistd durable-streams``: its options, its start, its end."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from socket import AF_UNIX
from socket import socket as Socket
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from twisted.internet.task import Clock
from twisted.python.usage import UsageError

from durable_streams.protocol.retention import Retention
from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage
from durable_streams.tap import DEFAULT_LISTEN, Options, retention_from, settings_from
from tests.certificate import make_certificate
from tests.client.outcomes import result_of
from tests.running_service import ROOT, running_service

WRONG = [
    (["--port", "http"], "--port must be a port number"),
    (["--port", "70000"], "--port must be a port number"),
    (["--listen", "nonsense"], "--listen nonsense"),
    (["--listen", "tcp:x"], "--listen tcp:x"),
    (["--listen", "systemd:domain=INET:name=http"], "systemd has passed on no such socket"),
    (["--listen", "ssl:443:privateKey=/none:certKey=/none"], "--listen ssl:443"),
    (["--tls-port", "443"], "--tls-port needs --certificate"),
    (["--tls-port", "443", "--certificate", "/none.pem"], "/none.pem"),
    (["--certificate", "/none.pem"], "need --tls-port"),
    (["--prefix", "streams"], "--prefix must"),
    (["--prefix", "/a?b/"], "--prefix must"),
    (["--storage", "tape"], "there is no such storage"),
    (["--long-poll-timeout", "nan"], "above 0"),
    (["--long-poll-timeout", "-1"], "above 0"),
    (["--sse-max-age", "soon"], "above 0"),
    (["--max-append-bytes", "1.5"], "whole number"),
    (["--max-read-bytes", "0"], "whole number"),
    (["--retention-max-age", "0"], "--retention-max-age must be a whole number above 0"),
    (["--retention-max-messages", "many"], "whole number"),
    (["--retention-max-bytes", "1e6"], "whole number"),
    (["--log-format", "xml"], "text or json"),
    (["--no-such-option"], "no-such-option"),
]


@pytest.mark.parametrize(("arguments", "told"), WRONG)
def test_a_wrong_option_is_told_in_one_clear_line(arguments: list[str], told: str) -> None:
    """A usage error that names the option, never a traceback."""
    with pytest.raises(UsageError) as refusal:
        Options().parseOptions(arguments)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_limits_on_the_command_line_are_for_streams_that_name_none() -> None:
    """A stream's own limits stand; without options everything is kept."""
    options = Options()
    options.parseOptions(["--retention-max-age", "60", "--retention-max-bytes", "1000"])
    retention = retention_from(options)
    assert retention is not None
    assert retention.limits == (60, None, 1000)
    clock = Clock()
    service = StreamService(MemoryStorage(clock), clock=clock, retention=retention)
    service.startService()
    kept = [
        result_of(created).stream.retention
        for created in (service.create("plain"), service.create("own", retention=Retention(max_messages=5)))
    ]
    assert [policy and policy.limits for policy in kept] == [(60, None, 1000), (None, 5, None)]
    service.stopService()
    bare = Options()
    bare.parseOptions([])
    assert retention_from(bare) is None


def test_a_storage_that_takes_no_argument_says_so() -> None:
    """What the storage finds wrong is a usage error too."""
    with pytest.raises(UsageError, match="--storage memory:fast: memory takes no argument"):
        Options().parseOptions(["--storage", "memory:fast"])


def test_the_defaults_are_those_of_the_documentation() -> None:
    """Durable, on the protocol's port, for this machine only (Section 13.1)."""
    options = Options()
    options.parseOptions([])
    settings = settings_from(options)
    assert DEFAULT_LISTEN == "tcp:4437:interface=127.0.0.1"
    assert (options["storage"], options["data-dir"]) == ("local", "durable-streams-data")
    assert [scheme for scheme, _ in options["endpoints"]] == ["http"]
    assert (settings.long_poll_timeout, settings.sse_max_age, settings.cors_origins) == (30, 60, ("*",))
    assert settings.limits.body_bytes == 64 * 1024 * 1024


def test_the_help_names_the_storages() -> None:
    """--help lists what --storage takes, plugins of others included."""
    usage = Options().getUsage()
    assert "memory" in usage
    assert "local" in usage


def _ask(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Any:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return urlopen(Request(url, body, headers, method=method), timeout=10, context=context)


@pytest.mark.parametrize("reactor", ["asyncio", "select", "poll", "epoll"])
def test_it_runs_on_every_reactor(reactor: str) -> None:
    """Nothing here chooses a reactor before twistd does."""
    with running_service("--storage", "memory", reactor=reactor) as service:
        assert _ask(service.url + "a", "PUT", b"data").status == 201
        assert _ask(service.url + "a").read() == b"data"
        service.terminate()
    assert not any("Traceback" in line for line in service.log)


def test_it_listens_in_several_places(tmp_path: Path) -> None:
    """--listen may be repeated; a Unix socket is one more endpoint."""
    socket = tmp_path / "streams.sock"
    with running_service("--storage", "memory", "--listen", f"unix:{socket}") as service:
        deadline = time.monotonic() + 10
        while not any("http+unix" in line for line in service.log) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert any("http+unix" in line for line in service.log)
        with Socket(AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(socket))
            client.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")


def test_tls_serves_http_1_and_http_2(tmp_path: Path) -> None:
    """Both are negotiated on one port."""
    certificate, key = make_certificate(tmp_path)
    listen = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    with running_service("--storage", "memory", listen=listen) as service:
        assert service.url.startswith("https://")
        created = _ask(service.url + "a", "PUT", b"data")
        assert created.headers["Location"] == service.url + "a"
        port = urlsplit(service.url).port
        assert [_negotiated(port, protocols) for protocols in (["h2", "http/1.1"], ["http/1.1"])] == ["h2", "http/1.1"]


def _negotiated(port: int | None, protocols: list[str]) -> str | None:
    import socket

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(protocols)
    with socket.create_connection(("127.0.0.1", port or 0), 10) as plain, context.wrap_socket(plain) as secure:
        return secure.selected_alpn_protocol()


def test_the_start_is_told_and_the_prefix_is_kept(tmp_path: Path) -> None:
    """One line where it listens and how durable that is, one what was recovered."""
    data = tmp_path / "data"
    with running_service("--data-dir", str(data), "--prefix", "/s/") as service:
        log = "".join(service.log)
        assert f"{data}: 0 events recovered" in log
        assert "survives a crash" in log
        assert _ask(service.origin + "/s/a", "PUT", b"kept").status == 201
        assert json.load(_ask(service.origin + "/health")) == {"status": "ok"}
        service.kill()
    with running_service("--data-dir", str(data), "--prefix", "/s/") as service:
        assert "1 events recovered from 1 journal segments" in "".join(service.log)
        assert _ask(service.origin + "/s/a").read() == b"kept"


def test_a_log_for_programs() -> None:
    """--log-format json: every line is an object with time, level, logger and message."""
    with running_service("--storage", "memory", "--log-format", "json") as service:
        service.terminate()
    lines = [json.loads(line) for line in service.log]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert any("listening on" in line["message"] and line["url"].startswith("http") for line in lines)


def _refused_start(*options: str) -> str:
    twistd = "import sys; sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()"
    command = [sys.executable, "-c", twistd, "-n", "--pidfile=", "durable-streams", *options]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return run.stdout + run.stderr


def test_what_cannot_start_says_why_and_ends(tmp_path: Path) -> None:
    """A port or a data directory in use, a directory of somebody else."""
    with running_service("--data-dir", str(tmp_path / "data")) as service:
        taken = f"tcp:{urlsplit(service.url).port}:interface=127.0.0.1"
        assert "Address already in use" in _refused_start("--storage", "memory", "--listen", taken)
        told = _refused_start("--data-dir", str(tmp_path / "data"), "--listen", "tcp:0:interface=127.0.0.1")
        assert f"is in use by process {service.process.pid}" in told
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter").touch()
    told = _refused_start("--data-dir", str(tmp_path / "other"), "--listen", "tcp:0:interface=127.0.0.1")
    assert "is not a data directory" in told


PLUGIN = """
from twisted.plugin import IPlugin
from zope.interface import implementer
from durable_streams.interfaces import IStorageMaker
from durable_streams.storage.memory import MemoryStorage

@implementer(IPlugin, IStorageMaker)
class Maker:
    name = "elsewhere"
    help = "a storage of somebody else"
    def make(self, argument, options, clock):
        storage = MemoryStorage(clock)
        storage.durability = "as durable as " + argument
        return storage

elsewhere = Maker()
"""


def test_a_storage_of_somebody_else_can_be_named(tmp_path: Path) -> None:
    """A plugin in twisted.plugins provides IStorageMaker."""
    plugins = tmp_path / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "elsewhere_storage.py").write_text(PLUGIN)
    with running_service("--storage", "elsewhere:granite", cwd=tmp_path) as service:
        assert "as durable as granite" in "".join(service.log)


def test_a_stop_ends_everything_in_order(tmp_path: Path) -> None:
    """SIGTERM: a long-poll gets its 204, an SSE its end, and the next start finds every byte."""
    data = tmp_path / "data"
    with running_service("--data-dir", str(data)) as service:
        _ask(service.url + "a", "PUT", b"data")
        poll, live = _Follower(service.url, "long-poll"), _Follower(service.url, "sse")
        for follower in (poll, live):
            follower.start()
            assert follower.connected.wait(10)
        time.sleep(0.3)
        began = time.monotonic()
        service.terminate()
        assert time.monotonic() - began < 9
        for follower in (poll, live):
            follower.join(10)
    assert (poll.status, poll.body) == (204, b"")
    assert live.status == 200
    assert live.body.endswith(b"\n\n")
    with running_service("--data-dir", str(data)) as service:
        assert _ask(service.url + "a").read() == b"data"


class _Follower(threading.Thread):
    """Reads live to the end of the answer."""

    def __init__(self, url: str, live: str) -> None:
        super().__init__(daemon=True)
        self._parts = urlsplit(url)
        self._live = live
        self.connected = threading.Event()
        self.status = 0
        self.body = b""

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._parts.hostname or "", self._parts.port, timeout=30)
        connection.request("GET", f"{self._parts.path}a?offset=now&live={self._live}")
        self.connected.set()
        response = connection.getresponse()
        self.status = response.status
        self.body = response.read()
        connection.close()
