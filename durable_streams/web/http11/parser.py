"""Reading requests off a connection, within limits. The grammar is llhttp's, by httptools, in its strict form."""

from __future__ import annotations

from typing import Protocol

import httptools

from durable_streams.web.http11.known_heads import LONGEST_HEAD, KnownFields, KnownHeads, RequestLine
from durable_streams.web.http11.long_body import LONG, LongBody
from durable_streams.web.limits import Limits
from durable_streams.web.problems import (
    Problem,
    bad_request,
    head_too_large,
    malformed,
    target_too_long,
    too_large,
    wrong_version,
)
from durable_streams.web.request import Request

_LINE_END = b"\r\n"
_HEAD_END = b"\r\n\r\n"
_SINGLE = frozenset((b"host", b"content-length", b"transfer-encoding", b"content-type"))


class Receiver(Protocol):
    """Who is told what the parser finds."""

    def head_received(self, wants_continue: bool, length: int) -> None:
        """A head is whole and its body may come; ``length`` is its Content-Length in bytes, or 0."""

    def request_received(self, request: Request, keep_alive: bool, version: str) -> None:
        """A request is whole."""


class Refused(Exception):
    """The connection has sent what cannot be served: answer with the problem, then close."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


class RequestParser:
    """Feeds bytes to llhttp, all but those of long bodies, and builds requests from what it calls back.

    ``in_request`` says whether a request has begun and is not whole, ``in_head`` whether it is its head that is not.
    """

    def __init__(self, receiver: Receiver, limits: Limits, secure: bool, known: KnownHeads) -> None:
        self._receiver = receiver
        self._limits = limits
        self._secure = secure
        self._known = known
        self._fields = b""
        """The bytes of the fields being read, where they may become known ones."""
        self._parser = httptools.HttpRequestParser(self)
        self._headers: dict[bytes, bytes]
        self._long_body: LongBody | None = None
        self._refusal: Problem | None = None
        self._fed = 0
        self._begin()

    def feed(self, data: bytes) -> None:
        """Take bytes as they came. Raises ``Refused``; feed nothing after that."""
        if self._long_body is not None:
            self._collect(self._long_body, data)
        elif self.in_request or not self._receive_known(data):
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise Refused(bad_request("Upgrade", "is not offered here")) from None
        except httptools.HttpParserError as error:
            raise Refused(self._refusal or self._unreadable(error)) from None
        if self.in_head and self._fed > self._limits.head_bytes + self._limits.target_bytes:
            raise Refused(self._too_long())
        missing = self._length - self._body_length
        # Behind a last request llhttp takes nothing more, which one that begins anew would not know.
        if missing >= LONG and self._parser.should_keep_alive():
            self._long_body = LongBody(self._request(b""), self._body, missing)
            self._parser = httptools.HttpRequestParser(self)

    def _collect(self, body: LongBody, data: bytes) -> None:
        """Take a part of a long body; what lies behind its end is read as ever."""
        end = body.missing
        body.add(data[:end])
        if body.missing:
            return
        self._long_body = None
        self._complete(body.request(), True)
        if end < len(data):
            self.feed(data[end:])

    def _receive_known(self, data: bytes) -> bool:
        """Take one whole request with known fields the short way; of any other note the fields, if they may be kept."""
        line_end = data.find(_LINE_END)
        end = data.find(_HEAD_END) + len(_HEAD_END)
        self._fields = b""
        if not len(_HEAD_END) <= end <= LONGEST_HEAD or line_end > self._limits.target_bytes:
            return False
        raw = data[:line_end]
        line = self._known.line(raw) or self._known.read_line(raw)
        if line is None:
            return False
        fields = data[line_end:end]
        known = self._known.fields(fields)
        if known is None or len(data) - end != known.length:
            self._fields = fields
            return known is not None and self._receive_known_head(line, known, data, end)
        method, path, query = line
        request = Request(method, path, query, known.headers, data[end:], self._secure)
        self._receiver.request_received(request, known.keep_alive, "1.1")
        return True

    def _receive_known_head(self, line: RequestLine, known: KnownFields, data: bytes, end: int) -> bool:
        """Take the beginning of a request with known fields and a long body the short way, too."""
        missing = known.length - (len(data) - end)
        if missing < LONG or not known.keep_alive:
            return False
        self._fields = b""
        self._headers = known.headers
        self._version = "1.1"
        self.in_request = True
        method, path, query = line
        request = Request(method, path, query, known.headers, b"", self._secure)
        self._long_body = LongBody(request, [data[end:]], missing)
        self._receiver.head_received(False, known.length)
        return True

    @property
    def origin(self) -> bytes | None:
        """The web origin of the request that is being read, as far as that is known."""
        return self._headers.get(b"origin")

    def _begin(self) -> None:
        self.in_request = self.in_head = False
        self._target = b""
        self._headers = {}
        self._repeated = 0
        self._body: list[bytes] = []
        self._length = self._body_length = 0

    def _refuse(self, problem: Problem) -> None:
        self._refusal = problem
        raise ValueError

    def _unreadable(self, error: Exception) -> Problem:
        # A length beyond what llhttp can count is still a length.
        is_endless = "Content-Length overflow" in str(error)
        return too_large(self._limits.body_bytes) if is_endless else malformed()

    def _too_long(self) -> Problem:
        if self._target:
            return head_too_large(self._limits.head_bytes, self._limits.header_count)
        return target_too_long(self._limits.target_bytes)

    # --- called by httptools

    def on_message_begin(self) -> None:
        self.in_request = self.in_head = True

    def on_url(self, url: bytes) -> None:
        self._target += url
        if len(self._target) > self._limits.target_bytes:
            self._refuse(target_too_long(self._limits.target_bytes))

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.lower()
        headers = self._headers
        if key not in headers:
            headers[key] = value.strip(b" \t")
            return
        self._repeated += 1
        if key in _SINGLE:
            self._refuse(bad_request(name.decode("latin-1"), "must be given once"))
        headers[key] += b", " + value.strip(b" \t")

    def on_headers_complete(self) -> None:
        headers = self._headers
        self.in_head = False
        self._version = version = self._parser.get_http_version()
        self._check_size()
        if version == "1.1":
            if b"host" not in headers:
                self._refuse(bad_request("Host", "must be given once"))
        elif version != "1.0":
            self._refuse(wrong_version())
        if b"transfer-encoding" in headers and headers[b"transfer-encoding"].lower() != b"chunked":
            self._refuse(bad_request("Transfer-Encoding", "must be chunked"))
        length = int(headers.get(b"content-length", 0))
        if length > self._limits.body_bytes:
            self._refuse(too_large(self._limits.body_bytes))
        wants_continue = b"expect" in headers and headers[b"expect"].lower() == b"100-continue"
        self._length = length
        self._receiver.head_received(wants_continue, length)

    def _check_size(self) -> None:
        limits = self._limits
        is_large = self._fed > limits.head_bytes and self._head_length() > limits.head_bytes
        if is_large or len(self._headers) + self._repeated > limits.header_count:
            self._refuse(head_too_large(limits.head_bytes, limits.header_count))

    def _head_length(self) -> int:
        return sum(len(name) + len(value) + 4 for name, value in self._headers.items())

    def on_body(self, data: bytes) -> None:
        self._body_length += len(data)
        if self._body_length > self._limits.body_bytes:
            self._refuse(too_large(self._limits.body_bytes))
        self._body.append(data)

    def on_message_complete(self) -> None:
        body = self._body
        request = self._request(body[0] if len(body) == 1 else b"".join(body))
        self._complete(request, self._parser.should_keep_alive())

    # --- what is whole

    def _request(self, body: bytes) -> Request:
        path, _, query = self._origin_form().partition(b"?")
        return Request(self._parser.get_method(), path, query, self._headers, body, self._secure)

    def _complete(self, request: Request, keep_alive: bool) -> None:
        if self._fields:
            self._remember(request, keep_alive)
        self._begin()
        self._fed = 0
        self._receiver.request_received(request, keep_alive, self._version)

    def _remember(self, request: Request, keep_alive: bool) -> None:
        fields, self._fields = self._fields, b""
        headers = request.headers
        if b"transfer-encoding" not in headers and b"expect" not in headers:
            self._known.remember(fields, KnownFields(headers, len(request.body), keep_alive))

    def _origin_form(self) -> bytes:
        """The path and query of a target, which proxies may send with scheme and host (RFC 9112, 3.2.2)."""
        target = self._target
        if target[:1] == b"/" or b"://" not in target:
            return target
        return b"/" + target.partition(b"://")[2].partition(b"/")[2]
