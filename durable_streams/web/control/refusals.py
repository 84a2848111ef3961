"""Refusals of the control paths: one table from domain errors to statuses and codes (Sections 6 and 7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from durable_streams.errors import MalformedField, StreamError
from durable_streams.subscriptions import errors
from durable_streams.web.problems import NO_STORE
from durable_streams.web.request import HeaderList, Response

JSON = (b"Content-Type", b"application/json")
_BEARER = (b"WWW-Authenticate", b"Bearer")


class ControlRefusal(Exception):
    """A refusal as a client gets it: ``{"error": {"code": ..., "message": ...}}`` and what else belongs to it."""

    def __init__(
        self, status: int, code: str, message: str, headers: HeaderList | None = None, **members: str | int
    ) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.headers = headers or []
        self.error = {"code": code, "message": message, **members}

    def response(self) -> Response:
        body = msgspec.json.encode({"error": self.error}) + b"\n"
        return Response(self.status, [JSON, NO_STORE, *self.headers], body)


class InvalidBody(ControlRefusal):
    """A request body is not the JSON object that it should be."""

    def __init__(self, reason: str) -> None:
        super().__init__(400, "INVALID_REQUEST", f"The body cannot be used: {reason}.")


def too_large_body(limit: int) -> ControlRefusal:
    """A request body goes beyond ``limit`` bytes."""
    return ControlRefusal(413, "TOO_LARGE", f"A body may have at most {limit} bytes.")


def nothing_here() -> ControlRefusal:
    """No resource has this address."""
    return ControlRefusal(404, "NOT_FOUND", "Nothing is at this address.")


def not_allowed(methods: bytes) -> ControlRefusal:
    """The resource does not know the method."""
    return ControlRefusal(
        405, "METHOD_NOT_ALLOWED", "The resource does not know this method.", headers=[(b"Allow", methods)]
    )


def refusal_of(error: StreamError) -> ControlRefusal | None:
    """How a client is told of a domain error; None for those that are not about subscriptions."""
    refuse = _REFUSALS.get(type(error))
    return None if refuse is None else refuse(error)


def _invalid_token(error: errors.TokenInvalid) -> ControlRefusal:
    message = "A bearer token of this subscription must be in the Authorization header."
    return ControlRefusal(401, "TOKEN_INVALID", message, headers=[_BEARER])


_REFUSALS: dict[type, Callable[[Any], ControlRefusal]] = {
    MalformedField: lambda e: ControlRefusal(400, "INVALID_REQUEST", f"{e.field} {e.requirement}.", field=e.field),
    errors.WebhookUrlRejected: lambda e: ControlRefusal(400, "WEBHOOK_URL_REJECTED", f"webhook.url {e.requirement}."),
    errors.OtherDelivery: lambda e: ControlRefusal(
        400, "INVALID_REQUEST", f"The subscription is of the type {e.type}; this request is for the other one."
    ),
    errors.SubscriptionNotFound: lambda e: ControlRefusal(
        404, "SUBSCRIPTION_NOT_FOUND", "There is no such subscription."
    ),
    errors.SubscriptionExists: lambda e: ControlRefusal(
        409, "SUBSCRIPTION_ALREADY_EXISTS", "The subscription exists with another configuration."
    ),
    errors.TokenInvalid: _invalid_token,
    errors.TokenExpired: lambda e: ControlRefusal(401, "TOKEN_EXPIRED", "The token is too old.", headers=[_BEARER]),
    errors.Fenced: lambda e: ControlRefusal(409, "FENCED", "The wake is over.", generation=e.generation),
    errors.AlreadyClaimed: lambda e: ControlRefusal(
        409,
        "ALREADY_CLAIMED",
        "Another worker holds the lease.",
        current_holder=e.holder,
        generation=e.generation,
    ),
    errors.NoPendingWork: lambda e: ControlRefusal(409, "NO_PENDING_WORK", "Every stream is acknowledged."),
    errors.AckRefused: lambda e: ControlRefusal(
        409, "INVALID_OFFSET", f"The offset {e.requirement}.", stream=e.stream, offset=e.offset
    ),
}
