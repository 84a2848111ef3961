"""What a client configures of a subscription, in one normal form (Section 6.2)."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Literal

import msgspec
from msgspec import Struct

from durable_streams.errors import MalformedField
from durable_streams.protocol.globs import parse_pattern
from durable_streams.protocol.paths import path_named

RESERVED = "__ds"
DEFAULT_LEASE_TTL_MS = 30_000
LONGEST_ID = 256
LONGEST_DESCRIPTION = 4096

_LEASE_TTL_MS = range(1_000, 600_000 + 1)

DeliveryType = Literal["webhook", "pull-wake"]


class Configuration(Struct, frozen=True, kw_only=True):
    """The fields of Section 6.2; what the type of delivery does not use is None.

    ``pattern``, ``streams`` and ``wake_stream`` are canonical; ``streams`` are sorted, each once. Made by
    ``configuration``.
    """

    type: DeliveryType
    pattern: str | None
    streams: tuple[str, ...]
    webhook_url: str | None
    wake_stream: str | None
    lease_ttl_ms: int
    description: str | None

    @property
    def hash(self) -> str:
        """Equal exactly when two configurations are (Section 6.2)."""
        return sha256(msgspec.json.encode(self)).hexdigest()

    @property
    def lease_ttl(self) -> float:
        """The lease duration in seconds."""
        return self.lease_ttl_ms / 1000


def configuration(
    *,
    type: DeliveryType,
    pattern: str | None = None,
    streams: Iterable[str] = (),
    webhook_url: str | None = None,
    wake_stream: str | None = None,
    lease_ttl_ms: int = DEFAULT_LEASE_TTL_MS,
    description: str | None = None,
) -> Configuration:
    """The normal form of what a client asks for. Raises ``MalformedField``; a webhook's URL is checked elsewhere."""
    explicit = explicit_streams(streams)
    if not pattern and not explicit:
        raise MalformedField("pattern", "must be given, or streams, or both")
    if lease_ttl_ms not in _LEASE_TTL_MS:
        raise MalformedField("lease_ttl_ms", "must be a whole number of milliseconds from 1000 to 600000")
    if description is not None and len(description) > LONGEST_DESCRIPTION:
        raise MalformedField("description", f"must have at most {LONGEST_DESCRIPTION} characters")
    by_webhook = type == "webhook"
    made = Configuration(
        type=type,
        pattern=parse_pattern(pattern) if pattern else None,
        streams=explicit,
        webhook_url=webhook_url if by_webhook else None,
        wake_stream=None if by_webhook or not wake_stream else stream_path(wake_stream, "wake_stream"),
        lease_ttl_ms=lease_ttl_ms,
        description=description,
    )
    _check_delivery(made)
    return made


def _check_delivery(made: Configuration) -> None:
    if made.type == "webhook" and not made.webhook_url:
        raise MalformedField("webhook.url", "must be given for a webhook subscription")
    if made.type == "pull-wake":
        if made.wake_stream is None:
            raise MalformedField("wake_stream", "must be given for a pull-wake subscription")
        check_wakes_not_itself(made, made.streams)


def check_wakes_not_itself(configuration: Configuration, streams: Iterable[str]) -> None:
    """Refuse to link a subscription's own wake stream, which would wake it for ever. Raises ``MalformedField``."""
    if configuration.wake_stream is not None and configuration.wake_stream in streams:
        raise MalformedField("streams", "must not name the subscription's own wake_stream")


def explicit_streams(names: Iterable[str]) -> tuple[str, ...]:
    """Canonical paths of the streams that a client names, sorted, each once. Raises ``MalformedField``."""
    return tuple(sorted({stream_path(name, "streams") for name in names}))


def stream_path(name: str, field: str) -> str:
    """The canonical path of a stream that a client names in ``field``. Raises ``MalformedField``."""
    path = path_named(name)
    if not path or path.startswith("/") or path.partition("/")[0] == RESERVED:
        raise MalformedField(field, "must name streams relative to the stream root, none of them below __ds")
    return path


def check_id(subscription_id: str) -> None:
    """Raise ``MalformedField`` unless it can be the id of a subscription."""
    if not 0 < len(subscription_id.encode()) <= LONGEST_ID:
        raise MalformedField("id", f"must have from 1 to {LONGEST_ID} bytes")
