"""The handlers of stream URLs: one per method, behind one door that turns refusals into problem details."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from durable_streams.errors import StreamError
from durable_streams.protocol.commands import Append, Delete
from durable_streams.protocol.content_types import Kind
from durable_streams.protocol.results import AppendResult, Slice
from durable_streams.service import StreamService
from durable_streams.settled import is_settled
from durable_streams.subscriptions.service import SubscriptionService
from durable_streams.web import listing
from durable_streams.web.append import append_command, appended_response
from durable_streams.web.content_coding import decode_body
from durable_streams.web.control.handlers import ControlHandlers
from durable_streams.web.create import create_command, created_response
from durable_streams.web.describe import described_response
from durable_streams.web.feed import Feeds, SseReader
from durable_streams.web.problems import (
    Problem,
    internal_error,
    method_not_allowed,
    not_found,
    problem_of,
)
from durable_streams.web.read import Mode, Query, ReadResponses, query_in
from durable_streams.web.request import HeaderList, Later, Request, Response
from durable_streams.web.settings import HttpSettings
from durable_streams.web.shared_headers import SharedHeaders, preflight
from durable_streams.web.target import Target, remembered_target_of, target_of

METHODS = b"GET, POST, PUT, DELETE, HEAD, OPTIONS"

_log = Logger()
_Answer = Response | Deferred[Response]


class StreamHandlers:
    """Answers every request for a stream of one service."""

    def __init__(
        self, service: StreamService, settings: HttpSettings, subscriptions: SubscriptionService | None = None
    ) -> None:
        self.service = service
        self.settings = settings
        self.feeds = Feeds(service, settings)
        self.shared_headers = SharedHeaders(settings.cors_origins)
        self.answered: dict[tuple[bytes, int], int] = {}
        self._reads = ReadResponses(settings)
        self._control = None if subscriptions is None else ControlHandlers(subscriptions)
        self._methods: dict[bytes, Callable[[Request, Target], _Answer | Later]] = {
            b"POST": self._append,
            b"GET": self._read,
            b"PUT": self._create,
            b"HEAD": self._describe,
            b"DELETE": self._delete,
        }

    def handle(self, request: Request, root: bytes) -> _Answer | Later:
        """Answer a request whose path begins with ``root``. Never raises, and the Deferred only fails by cancelling."""
        try:
            # A stream is created once: what is remembered is left to those that are in use.
            find_target = target_of if request.method == b"PUT" else remembered_target_of
            answer = self._route(request, find_target(request.path, root))
        except Exception:
            return self._with_shared_headers(self._refusal_of(Failure()), request)
        if type(answer) is Response:
            return self._with_shared_headers(answer, request)
        if type(answer) is Later:
            return answer
        return answer.addCallbacks(
            self._with_shared_headers, self._refused, callbackArgs=(request,), errbackArgs=(request,)
        )

    def _appended(self, result: AppendResult, request: Request, command: Append) -> Response:
        return self._with_shared_headers(appended_response(result, command), request)

    def _append_refused(self, failure: Failure, request: Request, command: Append) -> Response | Failure:
        return self._refused(failure, request)

    def _with_shared_headers(self, response: Response, request: Request) -> Response:
        response.shared = self.shared_headers.answer_to(request)
        answer = (request.method, response.status)
        try:
            self.answered[answer] += 1
        except KeyError:
            self._count_rare(answer)
        if request.method == b"HEAD":
            response.body = b""
        return response

    def _count_rare(self, answer: tuple[bytes, int]) -> None:
        """Count what is answered for the first time; methods that nobody knows count as one, or memory would grow."""
        method, status = answer
        known = method in self._methods or method == b"OPTIONS"
        answer = (method if known else b"other", status)
        self.answered[answer] = self.answered.get(answer, 0) + 1

    def _route(self, request: Request, target: Target) -> _Answer | Later:
        if self.settings.listing and target.path == listing.PATH:
            return self._list(request)
        if target.reserved and self._control is not None:
            decode_body(request, self.settings.limits.body_bytes)
            return self._control.handle(request, target)
        if request.method == b"OPTIONS":
            return preflight(request, METHODS)
        method = self._methods.get(request.method)
        if method is None:
            raise method_not_allowed(METHODS)
        if target.reserved or not target.path:
            raise not_found()
        if request.body:
            decode_body(request, self.settings.limits.body_bytes)
        return method(request, target)

    def _refused(self, failure: Failure, request: Request) -> Response | Failure:
        if failure.check(CancelledError):
            return failure
        return self._with_shared_headers(self._refusal_of(failure), request)

    def _refusal_of(self, failure: Failure) -> Response:
        error = failure.value
        if isinstance(error, StreamError):
            return problem_of(error).response()
        if isinstance(error, Problem):
            return error.response()
        _log.failure("a request failed", failure)
        return internal_error().response()

    def _create(self, request: Request, target: Target) -> _Answer:
        command = create_command(request, target)
        return _then(self.service.perform_create(command), created_response, _url_of(request))

    def _append(self, request: Request, target: Target) -> Response | Later:
        command = append_command(request, target)
        done = self.service.perform_append(command)
        if is_settled(done):
            return appended_response(cast(AppendResult, done.result), command)
        return Later(done, self._appended, self._append_refused, (request, command))

    def _delete(self, request: Request, target: Target) -> _Answer:
        return _then(self.service.perform_delete(Delete(target.path)), lambda _: Response(204, []))

    def _describe(self, request: Request, target: Target) -> _Answer:
        return _then(self.service.describe_at(target.path), described_response)

    def _list(self, request: Request) -> _Answer:
        if request.method == b"OPTIONS":
            return preflight(request, listing.METHODS)
        if request.method not in (b"GET", b"HEAD"):
            raise method_not_allowed(listing.METHODS)
        return self.service.list_at(*listing.page_asked_for(request)).addCallback(listing.listed_response)

    def _read(self, request: Request, target: Target) -> _Answer:
        query = query_in(request)
        if query.last is None:
            return self._read_from(request, target, query)
        begins = Deferred.fromCoroutine(self.service.position_of_last_at(target.path, query.last))
        return begins.addCallback(lambda position: self._read_from(request, target, replace(query, position=position)))

    def _read_from(self, request: Request, target: Target, query: Query) -> _Answer:
        if query.mode is Mode.LONG_POLL:
            return self._long_poll(request, target, query)
        found = self.service.read_at(target.path, query.position)
        if query.mode is Mode.SSE:
            return _then(found, self._live, query)
        if query.position is None:
            return _then(found, self._reads.at_now)
        return _then(found, self._reads.caught_up, request, query, self.service.clock.seconds())

    def _long_poll(self, request: Request, target: Target, query: Query) -> Deferred[Response]:
        settings = self.settings
        timeout = settings.long_poll_timeout if query.timeout is None else query.timeout
        found = self.service.read_live_at(target.path, query.position, min(timeout, settings.longest_long_poll))
        return found.addCallback(lambda found: self._reads.polled(found, request, query, self.service.clock.seconds()))

    def _live(self, found: Slice, query: Query) -> Response:
        headers: HeaderList = [
            (b"Content-Type", b"text/event-stream"),
            (b"Cache-Control", b"no-cache"),
            (b"X-Accel-Buffering", b"no"),
        ]
        if found.stream.kind is Kind.BINARY:
            headers.append((b"Stream-SSE-Data-Encoding", b"base64"))
        return Response(200, headers, SseReader(self.feeds, found, query.cursor))


def _then(outcome: Deferred[Any], respond: Callable[..., Response], *args: Any) -> _Answer:
    """``respond`` to an outcome; at once when it is there, because a Deferred's callback costs as much as an append."""
    if is_settled(outcome):
        return respond(outcome.result, *args)
    return outcome.addCallback(respond, *args)


def _url_of(request: Request) -> bytes:
    """The absolute URL as the client wrote it."""
    host = request.headers.get(b"host")
    if not host:
        return request.path
    return b"".join((b"https://" if request.secure else b"http://", host, request.path))
