"""The Klein application of the standalone service: streams below the prefix, health beside them."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from klein import Klein
from klein._resource import KleinResource, URLDecodeError, extractURLparts
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from durable_streams.service import StreamService
from durable_streams.subscriptions.service import SubscriptionService
from durable_streams.web.problems import NO_STORE, method_not_allowed, not_found
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
        self,
        service: StreamService,
        settings: HttpSettings | None = None,
        prefix: str = DEFAULT_PREFIX,
        subscriptions: SubscriptionService | None = None,
    ) -> None:
        self.settings = settings or HttpSettings()
        self.streams = StreamHandlers(service, self.settings, subscriptions)
        self._parts: list[StreamService | SubscriptionService] = [service]
        if subscriptions is not None:
            self._parts.append(subscriptions)
        self._root = prefix.encode("ascii")
        self._handle_stream: Handler = lambda request: self.streams.handle(request, self._root)
        self.klein = self._routes()

    def resource(self) -> IResource:
        """The whole application as a resource for a twisted.web site."""
        return ApplicationResource(self)

    def stream_handler(self, path: bytes) -> Handler | None:
        """The handler of a raw path, when it is one of a stream."""
        return self._handle_stream if path.startswith(self._root) else None

    def _routes(self) -> Klein:
        app = Klein()
        limit = self.settings.limits.body_bytes

        @app.route(self._root.decode(), branch=True)
        def streams(request: Any) -> IResource:
            return HandlerResource(self._handle_stream, limit)

        @app.route("/health", methods=["GET", "HEAD"])
        def health(request: Any) -> IResource:
            return HandlerResource(self._health, limit)

        if self.settings.metrics:
            self._add_metrics(app)

        @app.handle_errors(HTTPException)
        def refuse(request: Any, failure: Failure) -> IResource:
            return HandlerResource(partial(self.refuse, failure.value), limit)

        return app

    def _add_metrics(self, app: Klein) -> None:
        from durable_streams.web.metrics import MetricsPage

        page = MetricsPage(self.streams)
        limit = self.settings.limits.body_bytes

        @app.route("/metrics", methods=["GET", "HEAD"])
        def metrics(request: Any) -> IResource:
            return HandlerResource(lambda asked: self._with_shared_headers(asked, page.answer(asked)), limit)

    def refuse(self, error: HTTPException | None, request: Request) -> Response:
        """Answer a request for which Klein has found no route."""
        return self._with_shared_headers(request, _refusal(error, request))

    def _health(self, request: Request) -> Response:
        reason = next((reason for part in self._parts if (reason := part.failure())), None)
        body = {"status": "ok"} if reason is None else {"status": "failing", "reason": reason}
        headers = [(b"Content-Type", b"application/json"), NO_STORE]
        answer = Response(200 if reason is None else 503, headers, msgspec.json.encode(body) + b"\n")
        return self._with_shared_headers(request, answer)

    def _with_shared_headers(self, request: Request, response: Response) -> Response:
        response.shared = self.streams.shared_headers.answer_to(request)
        return response


def _refusal(error: HTTPException | None, request: Request) -> Response:
    """What Klein has no route for; None is a URL that it cannot even read."""
    if not isinstance(error, MethodNotAllowed):
        return not_found().response()
    methods = ", ".join(sorted({*(error.valid_methods or ()), "OPTIONS"})).encode("ascii")
    return preflight(request, methods) if request.method == b"OPTIONS" else method_not_allowed(methods).response()


class ApplicationResource(KleinResource):
    """The application's Klein resource, with the short way to the streams."""

    def __init__(self, application: StreamApplication) -> None:
        super().__init__(application.klein)
        self._application = application

    def render(self, request: Any) -> Any:
        handler = self._application.stream_handler(request.uri.partition(b"?")[0])
        if handler is not None:
            return serve(request, handler, self._application.settings.limits.body_bytes)
        try:
            extractURLparts(request)
        except URLDecodeError:
            # Klein would log a traceback for it.
            return serve(request, partial(self._application.refuse, None), 0)
        return super().render(request)
