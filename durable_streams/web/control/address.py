"""What a control path addresses (Sections 6.1 to 6.5)."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from durable_streams.protocol.paths import canonical_path

RESERVED = "__ds"

_ACTIONS = ("streams", "callback", "claim", "ack", "release")


class Address(NamedTuple):
    """``resource`` is ``jwks.json``, ``subscription``, ``stream``, or what follows a subscription's id in its URL.

    ``stream`` is the path of an explicit link.
    """

    resource: str
    subscription_id: str = ""
    stream: str = ""


def is_reserved(path: str) -> bool:
    """Whether a canonical path belongs to the control paths."""
    return path.startswith(RESERVED) and path.partition("/")[0] == RESERVED


def address_of(path: str) -> Address | None:
    """The address of a canonical path that is reserved, or None when nothing is there."""
    segments = path.split("/")[1:]
    if segments == ["jwks.json"]:
        return Address("jwks.json")
    if len(segments) < 2 or segments[0] != "subscriptions":
        return None
    subscription_id = _decoded_id(segments[1])
    if not subscription_id:
        return None
    return _below_subscription(subscription_id, segments[2:])


def _below_subscription(subscription_id: str, segments: list[str]) -> Address | None:
    if not segments:
        return Address("subscription", subscription_id)
    if len(segments) == 1 and segments[0] in _ACTIONS:
        return Address(segments[0], subscription_id)
    if segments[0] == "streams":
        # The stream's own path is encoded once more in this URL, its slashes too if the client likes.
        return Address("stream", subscription_id, canonical_path(unquote_to_bytes("/".join(segments[1:]))))
    return None


def _decoded_id(segment: str) -> str | None:
    try:
        return unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        return None
