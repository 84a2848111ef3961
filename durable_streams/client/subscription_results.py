"""What the server tells of subscriptions and their wakes (Sections 6.3 and 7)."""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from durable_streams.client.errors import ParseError
from durable_streams.client.request import WholeAnswer


class SubscribedStream(Struct, frozen=True):
    """A stream that a subscription is linked to; everything up to ``acked_offset`` was processed.

    ``path`` is relative to the stream root and spelled as in a URL.
    """

    path: str
    link_type: Literal["glob", "explicit"]
    acked_offset: str


class PendingStream(Struct, frozen=True):
    """A linked stream as it was when a wake was issued or claimed."""

    path: str
    link_type: Literal["glob", "explicit"]
    acked_offset: str
    tail_offset: str
    has_pending: bool


class SigningKey(Struct, frozen=True):
    """Which key signs webhooks now, and where all keys are (Section 6.5)."""

    alg: str
    kid: str
    jwks_url: str


class WebhookTarget(Struct, frozen=True):
    """Where wakes are sent; not every server tells how they are signed."""

    url: str
    signing: SigningKey | None = None


class Subscription(Struct, frozen=True):
    """A subscription and its cursors. ``status`` is ``failed`` while a delivery is to be tried again."""

    subscription_id: str
    type: Literal["webhook", "pull-wake"]
    streams: list[SubscribedStream]
    lease_ttl_ms: int
    created_at: str
    status: str
    pattern: str | None = None
    webhook: WebhookTarget | None = None
    wake_stream: str | None = None
    description: str | None = None

    @property
    def cursors(self) -> dict[str, str]:
        """The acknowledged offset of each stream, by path."""
        return {stream.path: stream.acked_offset for stream in self.streams}


class Claimed(Struct, frozen=True):
    """The answer to a claim (Section 7.2)."""

    wake_id: str
    generation: int
    token: str
    streams: list[PendingStream]
    lease_ttl_ms: int


class Reported(Struct, frozen=True):
    """The answer to an ack or a callback."""

    ok: bool
    next_wake: bool = False


_T = TypeVar("_T")
subscription_of = msgspec.json.Decoder(Subscription)
claimed_of = msgspec.json.Decoder(Claimed)
reported_of = msgspec.json.Decoder(Reported)


def decoded(decoder: msgspec.json.Decoder[_T], url: str, answer: WholeAnswer) -> _T:
    """The body of an answer. Raises ``ParseError``."""
    try:
        return decoder.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ParseError(url, str(error)) from None
