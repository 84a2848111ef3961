"""The Klein application of the standalone service: streams below the prefix, health beside them."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from klein import Klein
from klein._resource import KleinResource
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from durable_streams.service import StreamService
from durable_streams.web.problems import NO_STORE, Problem
from durable_streams.web.request import Handler, Request, Response
from durable_streams.web.resource import HandlerResource, serve
from durable_streams.web.settings import HttpSettings
from durable_streams.web.shared_headers import preflight
from durable_streams.web.streams import StreamHandlers

DEFAULT_PREFIX = "/v1/stream/"


class StreamApplication:
    """Routes of one service.

    Klein owns the routes. Requests for streams may take ``stream_handler`` instead: it is decided on the raw path,
    which Klein's matcher would decode, and it leads to the same handlers.
    """

    def __init__(
        self, service: StreamService, settings: HttpSettings | None = None, prefix: str = DEFAULT_PREFIX
    ) -> None:
        self.settings = settings or HttpSettings()
        self.streams = StreamHandlers(service, self.settings)
        self._service = service
        self._root = prefix.encode("ascii")
        self._handle_stream: Handler = lambda request: self.streams.handle(request, self._root)
        self.klein = self._routes()

    def resource(self) -> IResource:
        """The whole application as a resource for a twisted.web site."""
        return ApplicationResource(self)

    def stream_handler(self, path: bytes) -> Handler | None:
        """The handler of a raw path, when it is one of a stream."""
        return self._handle_stream if path.startswith(self._root) else None

    def drain(self) -> None:
        """End every live read in an orderly way."""
        self.streams.feeds.end_all()
        self._service.release_waiters()

    def _routes(self) -> Klein:
        app = Klein()
        limit = self.settings.limits.body_bytes

        @app.route(self._root.decode(), branch=True)
        def streams(request: Any) -> IResource:
            return HandlerResource(self._handle_stream, limit)

        @app.route("/health", methods=["GET", "HEAD"])
        def health(request: Any) -> IResource:
            return HandlerResource(self._health, limit)

        @app.handle_errors(HTTPException)
        def refuse(request: Any, failure: Failure) -> IResource:
            refusal = partial(_refusal, failure.value)
            return HandlerResource(lambda asked: self._with_shared_headers(asked, refusal(asked)), limit)

        return app

    def _health(self, request: Request) -> Response:
        reason = self._service.failure()
        body = {"status": "ok"} if reason is None else {"status": "failing", "reason": reason}
        headers = [(b"Content-Type", b"application/json"), NO_STORE]
        answer = Response(200 if reason is None else 503, headers, msgspec.json.encode(body) + b"\n")
        return self._with_shared_headers(request, answer)

    def _with_shared_headers(self, request: Request, response: Response) -> Response:
        response.shared = self.streams.shared_headers.answer_to(request)
        return response


def _refusal(error: HTTPException, request: Request) -> Response:
    if request.method == b"OPTIONS":
        return preflight(request)
    if isinstance(error, MethodNotAllowed):
        allow = ", ".join(sorted(error.valid_methods or ())).encode("ascii")
        return Problem(
            405,
            "METHOD_NOT_ALLOWED",
            "Method not allowed",
            "This method is not known here.",
            headers=[(b"Allow", allow)],
        ).response()
    return Problem(404, "NOT_FOUND", "Not found", "Nothing is at this address.").response()


class ApplicationResource(KleinResource):
    """The application's Klein resource, with the short way to the streams."""

    def __init__(self, application: StreamApplication) -> None:
        super().__init__(application.klein)
        self._application = application

    def render(self, request: Any) -> Any:
        handler = self._application.stream_handler(request.uri.partition(b"?")[0])
        if handler is not None:
            return serve(request, handler, self._application.settings.limits.body_bytes)
        return super().render(request)
