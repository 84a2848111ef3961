"""The handlers of the control paths: one per resource and method."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from durable_streams.errors import MalformedField, StreamError
from durable_streams.subscriptions.errors import TokenInvalid
from durable_streams.subscriptions.service import SubscriptionService
from durable_streams.web.control.address import Address, address_of
from durable_streams.web.control.answers import (
    claim_answer,
    key_set_answer,
    no_content,
    report_answer,
    subscription_answer,
)
from durable_streams.web.control.bodies import configuration_in, report_in, streams_in, worker_in
from durable_streams.web.control.refusals import ControlRefusal, not_allowed, nothing_here, refusal_of
from durable_streams.web.fields import text_of
from durable_streams.web.request import Request, Response
from durable_streams.web.shared_headers import preflight
from durable_streams.web.target import Target

_Handler = Callable[[Request, Target, Address], Coroutine[Any, Any, Response]]


class ControlHandlers:
    """Answers every request for a control path."""

    def __init__(self, subscriptions: SubscriptionService) -> None:
        self._subscriptions = subscriptions
        self._resources: dict[str, dict[bytes, _Handler]] = {
            "jwks.json": {b"GET": self._keys, b"HEAD": self._keys},
            "subscription": {
                b"PUT": self._create,
                b"GET": self._read,
                b"HEAD": self._read,
                b"DELETE": self._delete,
            },
            "streams": {b"POST": self._add_streams},
            "stream": {b"DELETE": self._remove_stream},
            "callback": {b"POST": self._callback},
            "claim": {b"POST": self._claim},
            "ack": {b"POST": self._ack},
            "release": {b"POST": self._release},
        }

    def handle(self, request: Request, target: Target) -> Deferred[Response]:
        """Answer a request whose target is reserved. Fails with errors that do not concern subscriptions."""
        return Deferred.fromCoroutine(self._handle(request, target))

    async def _handle(self, request: Request, target: Target) -> Response:
        try:
            return await self._route(request, target)
        except ControlRefusal as refusal:
            return refusal.response()
        except StreamError as error:
            told = refusal_of(error)
            if told is None:
                raise
            return told.response()

    async def _route(self, request: Request, target: Target) -> Response:
        address = address_of(target.path)
        if address is None:
            raise nothing_here()
        handlers = self._resources[address.resource]
        methods = b", ".join([*handlers, b"OPTIONS"])
        if request.method == b"OPTIONS":
            return preflight(request, methods)
        if request.method not in handlers:
            raise not_allowed(methods)
        return await handlers[request.method](request, target, address)

    # --- for owners

    async def _create(self, request: Request, target: Target, address: Address) -> Response:
        configuration = configuration_in(request.body)
        root = self._root_of(request, target)
        result = await self._subscriptions.create(address.subscription_id, configuration, root)
        kid = self._subscriptions.signing_key_id
        return subscription_answer(201 if result.created else 200, result.subscription, root, kid)

    async def _read(self, request: Request, target: Target, address: Address) -> Response:
        found = await self._subscriptions.describe(address.subscription_id)
        return subscription_answer(200, found, self._root_of(request, target), self._subscriptions.signing_key_id)

    async def _delete(self, request: Request, target: Target, address: Address) -> Response:
        await self._subscriptions.delete(address.subscription_id)
        return no_content()

    async def _add_streams(self, request: Request, target: Target, address: Address) -> Response:
        await self._subscriptions.add_streams(address.subscription_id, streams_in(request.body))
        return no_content()

    async def _remove_stream(self, request: Request, target: Target, address: Address) -> Response:
        await self._subscriptions.remove_stream(address.subscription_id, address.stream)
        return no_content()

    # --- for workers and receivers

    async def _claim(self, request: Request, target: Target, address: Address) -> Response:
        return claim_answer(await self._subscriptions.claim(address.subscription_id, worker_in(request.body)))

    async def _ack(self, request: Request, target: Target, address: Address) -> Response:
        token, report = _token_in(request), report_in(request.body)
        return report_answer(await self._subscriptions.ack(address.subscription_id, token, report))

    async def _callback(self, request: Request, target: Target, address: Address) -> Response:
        token, report = _token_in(request), report_in(request.body)
        return report_answer(await self._subscriptions.callback(address.subscription_id, token, report))

    async def _release(self, request: Request, target: Target, address: Address) -> Response:
        token, report = _token_in(request), report_in(request.body)
        await self._subscriptions.release(address.subscription_id, token, report)
        return no_content()

    async def _keys(self, request: Request, target: Target, address: Address) -> Response:
        return key_set_answer(await self._subscriptions.published_keys())

    def _root_of(self, request: Request, target: Target) -> str:
        """The URL of the stream root: as the operator says, or else as the client wrote it."""
        if self._subscriptions.settings.public_url is not None:
            return self._subscriptions.settings.public_url
        host = request.headers.get(b"host")
        if not host:
            raise MalformedField("Host", "must be given, because callbacks go there")
        return f"{'https' if request.secure else 'http'}://{text_of(host + target.root)}"


def _token_in(request: Request) -> str:
    """The bearer token of a request. Raises ``TokenInvalid``."""
    scheme, _, token = text_of(request.headers.get(b"authorization", b"")).partition(" ")
    if scheme.lower() != "bearer":
        raise TokenInvalid
    return token.strip()
