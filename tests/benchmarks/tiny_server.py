"""Just enough of a stream server to try the benchmarks on: right, or wrong in a chosen way.

As a program: ``python tiny_server.py PORT [FAULT]``.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

REFUSES = "refuses appends"
LOSES = "loses appends"
ALTERS = "alters data"
REPEATS = "repeats events"
ENDS = "ends events"
CUTS = "cuts connections"


class Stream:
    """Bytes, and a condition that tells of more."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.changed = threading.Condition()

    def append(self, data: bytes) -> None:
        with self.changed:
            self.data += data
            self.changed.notify_all()

    def after(self, position: int) -> bytes:
        """What follows a position, once there is something."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.data) > position, timeout=10)
            return self.data[position:]


class TinyServer(ThreadingHTTPServer):
    """Serves any path; ``asked`` are the requests so far, as ``METHOD path``."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, fault: str | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.fault = fault
        self.streams: dict[str, Stream] = {}
        self.asked: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has left is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Answers go out whole, and at once.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: TinyServer

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""

    def do_PUT(self) -> None:
        self.server.streams[self._path()] = Stream(self._body())
        self._answer(201)

    def do_HEAD(self) -> None:
        self._answer(200 if self._path() in self.server.streams else 404)

    def do_POST(self) -> None:
        body = self._body()
        if self.server.fault == CUTS:
            self.close_connection = True
            return
        if self.server.fault == REFUSES:
            self._answer(404)
            return
        stream = self.server.streams[self._path()]
        if self.server.fault != LOSES:
            stream.append(body)
        self._answer(204, {"Stream-Next-Offset": str(len(stream.data))})

    def do_GET(self) -> None:
        stream = self.server.streams[self._path()]
        query = parse_qs(urlsplit(self.path).query)
        position = max(0, int(query.get("offset", ["-1"])[0]))
        live = query.get("live")
        if live == ["sse"]:
            self._send_events(stream)
            return
        data = stream.after(position) if live else stream.data[position:]
        # A page is at most 1,000 bytes, so that reading goes on.
        page = self._altered(data[:1000])
        end = position + len(page)
        headers = {"Stream-Next-Offset": str(end)}
        if end == len(stream.data):
            headers["Stream-Up-To-Date"] = "true"
        self._answer(200, headers, page)

    def _send_events(self, stream: Stream) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        position = 0
        self._send_chunk(b'event: control\ndata: {"upToDate":true}\n\n')
        while self.server.fault != ENDS:
            data = stream.after(position)
            position += len(data)
            event = b"event: data\ndata: " + self._altered(data) + b"\n\n"
            repeated = event * (2 if self.server.fault == REPEATS else 1)
            self._send_chunk(repeated + b'event: control\ndata: {"upToDate":true}\n\n')
        self._send_chunk(b"")

    def _send_chunk(self, data: bytes) -> None:
        # Small pieces, so that the parser meets every kind of cut.
        self.wfile.write(b"%x\r\n" % len(data))
        self.wfile.flush()
        self.wfile.write(data + b"\r\n")
        self.wfile.flush()

    def _altered(self, data: bytes) -> bytes:
        return data[:-1] + b"?" if self.server.fault == ALTERS and data else data

    def _path(self) -> str:
        path = urlsplit(self.path).path
        self.server.asked.append(f"{self.command} {path}")
        return path

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


@contextmanager
def tiny_server(fault: str | None = None) -> Iterator[TinyServer]:
    """A server in a thread, at a port of its own."""
    with TinyServer(0, fault) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    TinyServer(int(sys.argv[1]), *sys.argv[2:]).serve_forever()
