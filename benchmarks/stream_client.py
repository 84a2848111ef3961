"""A plain client, to prepare streams before a measurement and to check them after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPResponse

from benchmarks.wrong_answer import require

_SECONDS = 120
_BUFFER_BYTES = 1024 * 1024
_NO_HEADERS: Mapping[str, str] = {}


class StreamClient:
    """Requests over one connection to a server on 127.0.0.1. All raise ``WrongAnswer``."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
        self._buffer = bytearray(_BUFFER_BYTES)

    def close(self) -> None:
        self._connection.close()

    def create(self, path: str, content_type: str, body: bytes = b"") -> None:
        self._request("PUT", path, 201, content_type, body)

    def append(self, path: str, content_type: str, body: bytes) -> None:
        self._request("POST", path, 204, content_type, body)

    def pages(self, path: str) -> Iterator[bytes]:
        """The bodies of a catch-up read from the beginning to the tail."""
        for response in self._catch_up(path):
            yield response.read()

    def drain(self, path: str) -> int:
        """The number of bytes of a catch-up read, which go into one buffer, because memory for all would cost most."""
        return sum(self._drained(response) for response in self._catch_up(path))

    def _drained(self, response: HTTPResponse) -> int:
        size = 0
        while count := response.readinto(self._buffer):
            size += count
        return size

    def _catch_up(self, path: str) -> Iterator[HTTPResponse]:
        offset = "-1"
        while True:
            response = self._ask("GET", f"{path}?offset={offset}", 200)
            yield response
            if response.getheader("Stream-Up-To-Date") == "true":
                return
            following = response.getheader("Stream-Next-Offset")
            require(following is not None and following != offset, f"the read of {path} does not go on")
            offset = str(following)

    def _request(self, method: str, path: str, status: int, content_type: str, body: bytes) -> None:
        self._ask(method, path, status, {"Content-Type": content_type}, body).read()

    def _ask(
        self, method: str, path: str, status: int, headers: Mapping[str, str] = _NO_HEADERS, body: bytes | None = None
    ) -> HTTPResponse:
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        require(response.status == status, f"{method} {path} was answered by {response.status} instead of {status}")
        return response
