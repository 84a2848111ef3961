"""One request to a stream and its answer, checked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from OpenSSL.SSL import Error as TLSError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IReactorTime

# Twisted has no public name for the wrapper of a request that could not begin.
from twisted.web._newclient import RequestNotSent, _WrapperException
from twisted.web.client import ResponseFailed
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers

from durable_streams.client.addresses import with_query
from durable_streams.client.body import IncomingBody, WholeBody
from durable_streams.client.errors import (
    ClientError,
    ConnectionFailed,
    InvalidArgument,
    Problem,
    ResponseError,
    TimedOut,
    UnexpectedStatus,
)
from durable_streams.client.header_fields import HeaderFields
from durable_streams.client.problems import error_of
from durable_streams.client.request_fields import RequestFields, resolve
from durable_streams.client.retry import Backoff, RetryPolicy, is_passing
from durable_streams.client.timeouts import Timeouts

REFUSAL_BYTES = 64 * 1024
"""The most that is kept of a refusal's body."""

SLOWEST_UPLOAD = 64 * 1024
"""Bytes of a body in a second: so much longer than its patience a request may take."""

_NOTHING: Mapping[str, str] = {}


class Request(NamedTuple):
    """What one operation asks. ``query`` and ``headers`` are the protocol's; the caller's own are added on sending.

    ``patience`` is how many seconds the server may be silent.
    """

    method: str
    patience: float
    query: Mapping[str, str] = _NOTHING
    headers: Mapping[str, str] = _NOTHING
    body: bytes = b""


class Answer(NamedTuple):
    """A success: its status, its header fields, and its body, which must be taken or stopped."""

    status: int
    headers: HeaderFields
    body: IncomingBody


class WholeAnswer(NamedTuple):
    """A success whose body has been taken."""

    status: int
    headers: HeaderFields
    body: bytes


class StreamRequests:
    """Sends requests to one URL by a treq client, with the caller's headers and query parameters."""

    def __init__(
        self,
        url: str,
        treq: Any,
        clock: IReactorTime,
        headers: RequestFields,
        params: RequestFields,
        retry: RetryPolicy,
        timeouts: Timeouts,
    ) -> None:
        self.url = url
        self.treq = treq
        self.clock = clock
        self.headers = headers
        self.params = params
        self.retry = retry
        self.timeouts = timeouts

    def at(self, url: str) -> StreamRequests:
        """The same for another URL."""
        return StreamRequests(url, self.treq, self.clock, self.headers, self.params, self.retry, self.timeouts)

    def backoff(self) -> Backoff:
        """The patience for one operation."""
        return Backoff(self.retry, self.clock)

    async def attempt(self, request: Request) -> Answer:
        """Send once.

        Raises ``ResponseError`` for any status but a 2xx, ``ConnectionFailed`` where no answer came.
        """
        params = {**await resolve(self.params), **request.query}
        headers = {**await resolve(self.headers), **request.headers}
        response = await self._response(request, with_query(self.url, params), headers)
        body = self._body_of(response, request.patience)
        answer = Answer(response.code, HeaderFields(response.headers), body)
        if not 200 <= answer.status < 300:
            raise await self._refusal(request, answer)
        return answer

    async def perform(self, request: Request, may_repeat: Callable[[ClientError], bool] = is_passing) -> WholeAnswer:
        """Send, again after passing failures for which ``may_repeat`` holds too, and take the body."""
        backoff = self.backoff()
        while True:
            try:
                answer = await self.attempt(request)
                return WholeAnswer(answer.status, answer.headers, await _whole(answer.body))
            except ClientError as error:
                if not may_repeat(error):
                    raise
                await backoff.pause_after(error)

    async def _response(self, request: Request, url: str, headers: Mapping[str, str]) -> Any:
        answered: Deferred[Any] = self.treq.request(
            request.method,
            url,
            headers=Headers({name: [value] for name, value in headers.items()}),
            data=WholeBody(request.body) if request.body else None,
            # A redirected POST would be a GET, and a repeated one is not ours to decide.
            allow_redirects=request.method in ("GET", "HEAD"),
            unbuffered=True,
        )
        patience = request.patience + len(request.body) / SLOWEST_UPLOAD
        timer = self.clock.callLater(patience, answered.cancel)
        try:
            return await answered
        except Exception as error:
            if not timer.active():
                raise TimedOut(self.url, f"no answer within {patience:g} s") from None
            if _is_cancelled(error):
                raise CancelledError from None
            raise self._failed(error) from error
        finally:
            if timer.active():
                timer.cancel()

    def _failed(self, error: Exception) -> Exception:
        if isinstance(error, SchemeNotSupported):
            return InvalidArgument("url", "must begin with http:// or https://")
        if isinstance(error, ResponseFailed) and error.response is not None:
            return UnexpectedStatus(self.url, error.response.code, Problem(detail=_reason(error)))
        sent = not isinstance(error, (ConnectError, DNSLookupError, RequestNotSent))
        return ConnectionFailed(self.url, _reason(error), sent, _is_distrust(error))

    def _body_of(self, response: Any, patience: float) -> IncomingBody:
        body = IncomingBody(self.url, self.clock, patience)
        try:
            response.deliverBody(body)
        except ResponseFailed as error:
            # A content encoding that is broken from the beginning.
            body.stop()
            raise ConnectionFailed(self.url, _reason(error)) from error
        return body

    async def _refusal(self, request: Request, answer: Answer) -> ResponseError:
        try:
            body = await answer.body.take(REFUSAL_BYTES)
        except ConnectionFailed:
            body = b""
        answer.body.stop()
        return error_of(self.url, answer.status, answer.headers, body, time.time(), "Stream-Seq" in request.headers)


async def _whole(body: IncomingBody) -> bytes:
    data = await body.take(sys.maxsize)
    if not body.has_ended:
        await body.take()
    return data


def _causes(error: BaseException) -> list[BaseException]:
    """The failures inside Twisted's wrappers, or the error itself."""
    if not isinstance(error, _WrapperException):
        return [error]
    return [cause for reason in error.reasons for cause in _causes(reason.value)]


def _is_cancelled(error: BaseException) -> bool:
    return any(isinstance(cause, (CancelledError, ConnectingCancelledError)) for cause in _causes(error))


def _is_distrust(error: BaseException) -> bool:
    """Whether TLS failed: the server's certificate will not be better in a second."""
    return any(isinstance(cause, TLSError) for cause in _causes(error))


def _reason(error: BaseException) -> str:
    return "; ".join(str(cause) or type(cause).__name__ for cause in _causes(error))
