"""What subscriptions refuse, as data."""

from __future__ import annotations

from dataclasses import dataclass

from durable_streams.errors import StreamError


class SubscriptionError(StreamError):
    """Every refusal of this package."""


@dataclass(eq=False)
class SubscriptionNotFound(SubscriptionError):
    """There is no such subscription: never created, or deleted."""

    subscription_id: str


@dataclass(eq=False)
class SubscriptionExists(SubscriptionError):
    """The subscription exists with another configuration (Section 6.2)."""

    subscription_id: str


@dataclass(eq=False)
class OtherDelivery(SubscriptionError):
    """The request belongs to the other way of delivery; the subscription is of the type ``type``."""

    subscription_id: str
    type: str


@dataclass(eq=False)
class WebhookUrlRejected(SubscriptionError):
    """The service does not call this URL; ``requirement`` says what would be right (Section 12.8)."""

    url: str
    requirement: str


@dataclass(eq=False)
class TokenInvalid(SubscriptionError):
    """A bearer token is missing, malformed, not signed by this service, or of another subscription (Section 12.9)."""


@dataclass(eq=False)
class TokenExpired(SubscriptionError):
    """A bearer token of the current wake is too old."""


@dataclass(eq=False)
class Fenced(SubscriptionError):
    """A request belongs to a wake that is over (Section 7.3)."""

    subscription_id: str
    generation: int


@dataclass(eq=False)
class AlreadyClaimed(SubscriptionError):
    """Another worker holds the lease (Section 7.2)."""

    subscription_id: str
    holder: str
    generation: int


@dataclass(eq=False)
class NoPendingWork(SubscriptionError):
    """A claim finds nothing to do: every stream is acknowledged up to its tail."""

    subscription_id: str


@dataclass(eq=False)
class AckRefused(SubscriptionError):
    """An ack names a stream that is not linked, or an offset before the cursor or behind the tail."""

    stream: str
    offset: str
    requirement: str
