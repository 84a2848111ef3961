"""What can go wrong with subscriptions, as data (Sections 6 and 7)."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from msgspec import Struct

from durable_streams.client.errors import (
    BadRequest,
    Conflict,
    Problem,
    ResponseError,
    StreamNotFound,
    Unauthorized,
    UnexpectedStatus,
)


@dataclass(eq=False)
class SubscriptionNotFound(StreamNotFound):
    """404: never created, or deleted."""


@dataclass(eq=False)
class SubscriptionExists(Conflict):
    """409: the subscription is there with another configuration (Section 6.2)."""


@dataclass(eq=False)
class Fenced(Conflict):
    """409: the wake is over: finished, released, expired, or followed by another one (Section 7.3)."""


@dataclass(eq=False)
class AlreadyClaimed(Conflict):
    """409: another worker holds the lease (Section 7.2)."""

    current_holder: str
    generation: int


@dataclass(eq=False)
class NoPendingWork(Conflict):
    """409: a claim found every stream acknowledged."""


@dataclass(eq=False)
class WebhookUrlRejected(BadRequest):
    """400: the server does not call this URL (Section 12.8)."""


@dataclass(eq=False)
class TokenRefused(Unauthorized):
    """401: the token of a wake is not, or no longer, good (Section 12.9)."""


class _Refusal(Struct):
    code: str
    message: str = ""
    field: str = ""
    current_holder: str = ""
    generation: int = 0


class _Body(Struct):
    error: _Refusal


_body_of = msgspec.json.Decoder(_Body).decode

_BY_CODE: dict[str, type[ResponseError]] = {
    "SUBSCRIPTION_NOT_FOUND": SubscriptionNotFound,
    "SUBSCRIPTION_ALREADY_EXISTS": SubscriptionExists,
    "FENCED": Fenced,
    "NO_PENDING_WORK": NoPendingWork,
    "WEBHOOK_URL_REJECTED": WebhookUrlRejected,
    "TOKEN_INVALID": TokenRefused,
    "TOKEN_EXPIRED": TokenRefused,
}
_BY_STATUS: dict[int, type[ResponseError]] = {
    400: BadRequest,
    401: Unauthorized,
    404: StreamNotFound,
    409: Conflict,
}


def subscription_error_of(url: str, status: int, body: bytes) -> ResponseError | None:
    """The typed error of a refusal in the form of the control paths; None for any other body, and for 5xx."""
    if status >= 500:
        return None
    try:
        refusal = _body_of(body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    problem = Problem(detail=refusal.message, code=refusal.code, field=refusal.field)
    if refusal.code == "ALREADY_CLAIMED":
        return AlreadyClaimed(url, status, problem, refusal.current_holder, refusal.generation)
    by_status = _BY_STATUS.get(status, UnexpectedStatus)
    return _BY_CODE.get(refusal.code, by_status)(url, status, problem)
