"""gzip through every channel: our own HTTP/1.1, Twisted's, and HTTP/2."""

from __future__ import annotations

import gzip
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import h2.connection
import h2.events
import pytest

from tests.certificate import make_certificate
from tests.running_service import running_service

TEXT = b"durable " * 10_000
FIELDS = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}


@pytest.mark.parametrize("channel", ["lean", "stock"])
def test_http_1_carries_gzip_both_ways(channel: str) -> None:
    """Content-Length is that of the compressed answer; a HEAD has neither body nor coding."""
    with running_service("--storage", "memory", "--http-channel", channel) as service:
        url = service.url + "a"
        urlopen(Request(url, data=gzip.compress(TEXT), headers=FIELDS, method="PUT")).close()
        with urlopen(Request(url, headers={"Accept-Encoding": "gzip"})) as answer:
            body = answer.read()
            assert answer.headers["Content-Encoding"] == "gzip"
            assert int(answer.headers["Content-Length"]) == len(body) < len(TEXT)
        assert gzip.decompress(body) == TEXT
        with urlopen(url) as answer:
            assert (answer.headers["Content-Encoding"], answer.read()) == (None, TEXT)
        with urlopen(Request(url, headers={"Accept-Encoding": "gzip"}, method="HEAD")) as answer:
            assert (answer.headers["Content-Encoding"], answer.read()) == (None, b"")


def test_http_2_carries_gzip_both_ways(tmp_path: Path) -> None:
    """Over TLS."""
    certificate, key = make_certificate(tmp_path)
    listen = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    with running_service("--storage", "memory", listen=listen) as service:
        address = urlsplit(service.url)
        assert address.port is not None
        created = ask_by_http_2(address.port, "PUT", address.path + "a", gzip.compress(TEXT), FIELDS)
        assert created[0][":status"] == "201"
        headers, body = ask_by_http_2(address.port, "GET", address.path + "a", b"", {"Accept-Encoding": "gzip"})
        assert (headers[":status"], headers["content-encoding"]) == ("200", "gzip")
        assert gzip.decompress(body) == TEXT


def ask_by_http_2(
    port: int, method: str, path: str, body: bytes, fields: dict[str, str]
) -> tuple[dict[str, str], bytes]:
    """One request on a connection of its own."""
    context = ssl._create_unverified_context()  # the service has signed its own certificate
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain) as secure:
        connection = h2.connection.H2Connection()
        connection.initiate_connection()
        pseudo = {":method": method, ":scheme": "https", ":authority": "localhost", ":path": path}
        lowered = {name.lower(): value for name, value in fields.items()}
        connection.send_headers(1, list({**pseudo, **lowered}.items()), end_stream=not body)
        if body:
            connection.send_data(1, body, end_stream=True)
        headers: dict[str, str] = {}
        received = b""
        while True:
            secure.sendall(connection.data_to_send())
            for event in connection.receive_data(secure.recv(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    headers = {bytes(name).decode(): bytes(value).decode() for name, value in event.headers}
                elif isinstance(event, h2.events.DataReceived):
                    received += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, h2.events.StreamEnded):
                    return headers, received
