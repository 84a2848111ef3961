"""The service as a twisted.web resource, to be mounted anywhere."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from durable_streams.service import StreamService
from durable_streams.subscriptions.service import SubscriptionService
from durable_streams.web.problems import internal_error
from durable_streams.web.request import Frame, Handler, Later, LiveBody, Request, Response
from durable_streams.web.settings import HttpSettings
from durable_streams.web.streams import StreamHandlers

_log = Logger()


@implementer(IResource)
class StreamResource(Resource):
    """Streams below wherever this is mounted: ``site.putChild(b"streams", StreamResource(service))``.

    In a Klein application return it from a route with ``branch=True``; always the same one, because live readers share
    their events within it. The path is taken as it was sent, so ``a%2Fb``, ``a/b`` and ``a//b`` stay three streams.
    """

    isLeaf = True

    def __init__(
        self,
        service: StreamService,
        settings: HttpSettings | None = None,
        subscriptions: SubscriptionService | None = None,
    ) -> None:
        super().__init__()
        self.handlers = StreamHandlers(service, settings or HttpSettings(), subscriptions)

    def render(self, request: Any) -> int:
        root = _mounted_at(request)
        return serve(request, lambda asked: self.handlers.handle(asked, root), self.handlers.settings.limits.body_bytes)


def _mounted_at(request: Any) -> bytes:
    """The part of the raw path that led here."""
    path: bytes = request.uri.partition(b"?")[0]
    segments = path.split(b"/")
    return b"/".join(segments[: len(request.prepath) + 1]).rstrip(b"/") + b"/"


@implementer(IResource)
class HandlerResource(Resource):
    """One handler as a resource, which is what a Klein route may return."""

    isLeaf = True

    def __init__(self, handler: Handler, body_limit: int) -> None:
        super().__init__()
        self._handler = handler
        self._body_limit = body_limit

    def render(self, request: Any) -> int:
        return serve(request, self._handler, self._body_limit)


def serve(twisted_request: Any, handler: Handler, body_limit: int) -> int:
    """Answer a twisted.web request by a handler; the value is what ``render`` returns."""
    Exchange(twisted_request).run(handler, body_limit)
    return NOT_DONE_YET


class Exchange:
    """One request of twisted.web, its answer, and what happens when the client goes away in between."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._answer: Deferred[Response] | None = None
        self._body: LiveBody | None = None
        self._gone = False
        request.notifyFinish().addErrback(self._disconnected)

    def run(self, handler: Handler, body_limit: int) -> None:
        answer = handler(_request_of(self._request, body_limit))
        if type(answer) is Response:
            self._send(answer)
            return
        if type(answer) is Later:
            answer = answer.response()
        self._answer = answer
        answer.addCallbacks(self._send, self._failed)

    def _disconnected(self, _: Failure) -> None:
        self._gone = True
        body, self._body = self._body, None
        if body is not None:
            body.stop()
        elif self._answer is not None:
            self._answer.cancel()

    def _failed(self, failure: Failure) -> None:
        if self._gone and failure.check(CancelledError):
            return
        _log.failure("a request failed", failure)
        self._send(internal_error().response())

    def _send(self, response: Response) -> None:
        if self._gone:
            return
        request = self._request
        request.setResponseCode(response.status)
        for name, value in (*response.shared.fields, *response.headers):
            request.responseHeaders.addRawHeader(name, value)
        if not isinstance(response.body, bytes):
            self._begin(response.body)
            return
        if response.status not in (204, 304) and request.method != b"HEAD":
            request.setHeader(b"content-length", b"%d" % len(response.body))
            request.write(response.body)
        request.finish()

    # --- a live body, for which this is the sink

    def _begin(self, body: LiveBody) -> None:
        self._body = body
        self._request.write(b"")
        self._request.registerProducer(BodyProducer(body), True)
        body.start(self)

    def send(self, frame: Frame) -> None:
        if self._body is not None:
            self._request.write(frame.payload)

    def finish(self) -> None:
        if self._body is not None:
            self._body = None
            self._request.unregisterProducer()
            self._request.finish()


def _request_of(request: Any, body_limit: int) -> Request:
    """The request as handlers know it; of a body that is too large so much that the handler can see it."""
    headers: dict[bytes, bytes] = {}
    for name, values in request.requestHeaders.getAllRawHeaders():
        headers[name.lower()] = b", ".join(values)
    path, _, query = request.uri.partition(b"?")
    content = request.content
    body = content.read(body_limit + 1) if content is not None else b""
    return Request(request.method, path, query, headers, body, request.isSecure())


@implementer(IPushProducer)
class BodyProducer:
    """Back-pressure of a connection, passed on to the live body."""

    def __init__(self, body: LiveBody) -> None:
        self._body = body

    def pauseProducing(self) -> None:
        self._body.pause()

    def resumeProducing(self) -> None:
        self._body.resume()

    def stopProducing(self) -> None:
        """The request's own notice of the disconnect stops the body."""
