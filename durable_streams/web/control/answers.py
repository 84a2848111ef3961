"""Answers of the control paths (Sections 6.3, 6.5, 7.1 and 7.2)."""

from __future__ import annotations

from typing import Any

import msgspec

from durable_streams.protocol.expiry import format_expires_at
from durable_streams.protocol.offsets import offset_of
from durable_streams.subscriptions.key_ring import PublicKey
from durable_streams.subscriptions.leasing import ClaimedWake
from durable_streams.subscriptions.subscribing import SubscriptionDescription
from durable_streams.subscriptions.wake_messages import stream_infos
from durable_streams.web.control.refusals import JSON
from durable_streams.web.problems import NO_STORE
from durable_streams.web.request import Response

_KEY_SET_SECONDS = 300


def _json(status: int, members: Any) -> Response:
    return Response(status, [JSON, NO_STORE], msgspec.json.encode(members) + b"\n")


def no_content() -> Response:
    return Response(204, [NO_STORE])


def subscription_answer(status: int, subscription: SubscriptionDescription, root: str, kid: str) -> Response:
    """A subscription as Section 6.3 shows it; ``root`` is the URL of the stream root, ``kid`` names the signing key."""
    definition = subscription.definition
    configuration = definition.configuration
    signing = {"alg": "ed25519", "kid": kid, "jwks_url": f"{root}__ds/jwks.json"}
    members = {
        "id": definition.subscription_id,
        "subscription_id": definition.subscription_id,
        "type": configuration.type,
        "pattern": configuration.pattern,
        "streams": [
            {"path": path, "link_type": link.link_type, "acked_offset": offset_of(link.acked)}
            for path, link in sorted(subscription.links.items())
        ],
        "webhook": {"url": configuration.webhook_url, "signing": signing} if configuration.webhook_url else None,
        "wake_stream": configuration.wake_stream,
        "lease_ttl_ms": configuration.lease_ttl_ms,
        "created_at": format_expires_at(round(definition.created_at, 3)),
        "status": subscription.progress.status,
        "description": configuration.description,
    }
    return _json(status, members)


def claim_answer(claimed: ClaimedWake) -> Response:
    """What a worker needs for its work."""
    return _json(
        200,
        {
            "wake_id": claimed.wake_id,
            "generation": claimed.generation,
            "token": claimed.token,
            "streams": stream_infos(claimed.streams),
            "lease_ttl_ms": claimed.lease_ttl_ms,
        },
    )


def report_answer(next_wake: bool) -> Response:
    """The report was taken."""
    return _json(200, {"ok": True, "next_wake": next_wake})


def key_set_answer(keys: list[PublicKey]) -> Response:
    """The JSON Web Key Set; the only answer here that may be kept."""
    headers = [
        (b"Content-Type", b"application/jwk-set+json"),
        (b"Cache-Control", b"public, max-age=%d" % _KEY_SET_SECONDS),
    ]
    return Response(200, headers, msgspec.json.encode({"keys": keys}) + b"\n")
