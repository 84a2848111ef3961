"""What has happened to subscriptions: the only way in which their state changes, live and when a store is read."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from durable_streams.subscriptions.state import Definition, Link, Progress


class SubscriptionDefined(Struct, frozen=True):
    """Created, or confirmed under another root."""

    definition: Definition


class SubscriptionProgressed(Struct, frozen=True):
    subscription_id: str
    progress: Progress


class SubscriptionDeleted(Struct, frozen=True):
    """``generation`` is the last one; a subscription of the same id goes on from it, so old tokens stay fenced."""

    subscription_id: str
    generation: int
    at: float


class DeletionsForgotten(Struct, frozen=True):
    """The last generations of subscriptions that were deleted before a time are of no use any more."""

    before: float


class StreamLinked(Struct, frozen=True):
    """A new link, or a new state of one."""

    subscription_id: str
    path: str
    link: Link


class StreamUnlinked(Struct, frozen=True):
    subscription_id: str
    path: str


class KeyPurpose(StrEnum):
    SIGNATURE = "signature"
    TOKEN = "token"


class Key(Struct, frozen=True):
    """A secret of the service: 32 bytes, used from the time ``active_from`` on. ``kid`` names it in public."""

    kid: str
    purpose: KeyPurpose
    secret: bytes
    active_from: float


class KeyAdded(Struct, frozen=True):
    key: Key


class KeyDropped(Struct, frozen=True):
    kid: str


Event = (
    SubscriptionDefined
    | SubscriptionProgressed
    | SubscriptionDeleted
    | DeletionsForgotten
    | StreamLinked
    | StreamUnlinked
    | KeyAdded
    | KeyDropped
)
