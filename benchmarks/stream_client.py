"""A plain client, to prepare streams before a measurement and to check them after it."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse

from benchmarks.wrong_answer import require

_SECONDS = 120


class StreamClient:
    """Requests over one connection to a server on 127.0.0.1. All raise ``WrongAnswer``."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=_SECONDS)

    def close(self) -> None:
        self._connection.close()

    def create(self, path: str, content_type: str, body: bytes = b"") -> None:
        self._request("PUT", path, 201, content_type, body)

    def append(self, path: str, content_type: str, body: bytes) -> None:
        self._request("POST", path, 204, content_type, body)

    def pages(self, path: str) -> Iterator[bytes]:
        """The bodies of a catch-up read from the beginning to the tail."""
        offset = "-1"
        while True:
            response, body = self._request("GET", f"{path}?offset={offset}", 200)
            yield body
            if response.getheader("Stream-Up-To-Date") == "true":
                return
            following = response.getheader("Stream-Next-Offset")
            require(following is not None and following != offset, f"the read of {path} does not go on")
            offset = str(following)

    def _request(
        self, method: str, path: str, status: int, content_type: str | None = None, body: bytes | None = None
    ) -> tuple[HTTPResponse, bytes]:
        headers = {} if content_type is None else {"Content-Type": content_type}
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        answer = response.read()
        require(response.status == status, f"{method} {path} was answered by {response.status} instead of {status}")
        return response, answer
