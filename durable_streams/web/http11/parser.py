"""Reading requests off a connection, within limits. The grammar is llhttp's, by httptools, in its strict form."""

from __future__ import annotations

from typing import Protocol

import httptools

from durable_streams.web.limits import Limits
from durable_streams.web.problems import Problem, bad_request, too_large
from durable_streams.web.request import Request

_SINGLE = frozenset((b"host", b"content-length", b"transfer-encoding", b"content-type"))


class Receiver(Protocol):
    """Who is told what the parser finds."""

    def head_received(self, wants_continue: bool) -> None:
        """A head is whole and its body may come."""

    def request_received(self, request: Request, keep_alive: bool, version: str) -> None:
        """A request is whole."""


class Refused(Exception):
    """The connection has sent what cannot be served: answer with the problem, then close."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


class RequestParser:
    """Feeds bytes to llhttp and builds requests from what it calls back."""

    def __init__(self, receiver: Receiver, limits: Limits, secure: bool) -> None:
        self._receiver = receiver
        self._limits = limits
        self._secure = secure
        self._parser = httptools.HttpRequestParser(self)
        self._refusal: Problem | None = None
        self.on_message_begin()

    def feed(self, data: bytes) -> None:
        """Take bytes as they came. Raises ``Refused``; feed nothing after that."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise Refused(bad_request("Upgrade", "is not offered here")) from None
        except httptools.HttpParserError as error:
            raise Refused(self._refusal or self._malformed(error)) from None

    @staticmethod
    def _malformed(error: Exception) -> Problem:
        return Problem(400, "MALFORMED_REQUEST", "Malformed request", f"The request is not HTTP/1.1: {error}.")

    @property
    def in_request(self) -> bool:
        """Whether a request has begun and is not whole."""
        return self._begun

    def _refuse(self, problem: Problem) -> None:
        self._refusal = problem
        raise ValueError

    # --- called by httptools

    def on_message_begin(self) -> None:
        self._begun = False
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_length = 0
        self._header_count = 0
        self._body: list[bytes] = []
        self._body_length = 0

    def on_url(self, url: bytes) -> None:
        self._begun = True
        self._target += url
        if len(self._target) > self._limits.target_bytes:
            self._refuse(
                Problem(
                    414,
                    "TARGET_TOO_LONG",
                    "Target too long",
                    f"A target may have at most {self._limits.target_bytes} bytes.",
                )
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        self._head_length += len(name) + len(value) + 4
        if self._header_count > self._limits.header_count or self._head_length > self._limits.head_bytes:
            self._refuse(
                Problem(
                    431,
                    "HEAD_TOO_LARGE",
                    "Head too large",
                    f"A head may have at most {self._limits.header_count} fields and {self._limits.head_bytes} bytes.",
                )
            )
        key = name.lower()
        value = value.strip(b" \t")
        headers = self._headers
        if key not in headers:
            headers[key] = value
        elif key in _SINGLE:
            self._refuse(bad_request(name.decode("latin-1"), "must be given only once"))
        else:
            headers[key] = headers[key] + b", " + value

    def on_headers_complete(self) -> None:
        headers = self._headers
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            self._refuse(Problem(505, "VERSION_NOT_SUPPORTED", "Version not supported", "HTTP/1.1 is spoken here."))
        if b"host" not in headers and version == "1.1":
            self._refuse(bad_request("Host", "must be given"))
        coding = headers.get(b"transfer-encoding")
        if coding is not None and coding.lower() != b"chunked":
            self._refuse(bad_request("Transfer-Encoding", "must be chunked"))
        length = headers.get(b"content-length")
        if length is not None and int(length) > self._limits.body_bytes:
            self._refuse(too_large(self._limits.body_bytes))
        self._receiver.head_received(headers.get(b"expect", b"").lower() == b"100-continue")

    def on_body(self, data: bytes) -> None:
        self._body_length += len(data)
        if self._body_length > self._limits.body_bytes:
            self._refuse(too_large(self._limits.body_bytes))
        self._body.append(data)

    def on_message_complete(self) -> None:
        body = self._body
        path, _, query = self._origin_form().partition(b"?")
        request = Request(
            self._parser.get_method(),
            path,
            query,
            self._headers,
            body[0] if len(body) == 1 else b"".join(body),
            self._secure,
        )
        keep_alive = self._parser.should_keep_alive()
        self.on_message_begin()
        self._receiver.request_received(request, keep_alive, self._parser.get_http_version())

    def _origin_form(self) -> bytes:
        """The target without scheme and host, which a client of a proxy sends."""
        target = self._target
        if target[:1] == b"/" or b"://" not in target:
            return target
        return b"/" + target.partition(b"://")[2].partition(b"/")[2]
