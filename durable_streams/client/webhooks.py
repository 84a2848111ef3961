"""For receivers of webhooks: is a request really from the server, and what does it say (Sections 7.1 and 12.10)."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections.abc import Collection
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from msgspec import Struct
from twisted.internet.defer import Deferred

from durable_streams.client.handle import StreamHandle
from durable_streams.client.key_set import KeySet
from durable_streams.client.subscription_results import PendingStream
from durable_streams.client.wake_lease import WakeLease

TOLERANCE = 300.0

DONE = b'{"done": true}'
"""The body of an answer that says: everything in this wake is processed."""

_SIGNATURE = re.compile(r"t=([0-9]{1,12}),kid=([A-Za-z0-9._~-]{1,256}),ed25519=([A-Za-z0-9_-]{85}[AQgw])", re.ASCII)


class SignatureRejected(Exception):
    """A request is not to be trusted; the text says why. Answer 401 and do nothing."""


class WebhookWake(Struct, frozen=True):
    """The body of a webhook request (Section 7.1)."""

    subscription_id: str
    wake_id: str
    generation: int
    streams: list[PendingStream]
    callback_url: str
    callback_token: str


_wake_of = msgspec.json.Decoder(WebhookWake).decode


class WebhookVerifier:
    """Verifies requests of one server.

    ``jwks_url`` is what the server shows in its subscriptions as ``webhook.signing.jwks_url``: its root followed by
    ``__ds/jwks.json``. Take it from there or from your configuration, never from a request. With ``subscription_ids``
    wakes of other subscriptions are refused. A signature is good for ``tolerance`` seconds before and after its time;
    the same request may be verified more than once within it, so use the wake's id where repetition matters.

    The keyword arguments of ``StreamHandle`` say how keys are fetched. Keys are kept for as long as the server allows,
    and a key that is not known is asked for, at most every ten seconds.
    """

    def __init__(
        self,
        jwks_url: str,
        treq: Any = None,
        *,
        subscription_ids: Collection[str] | None = None,
        tolerance: float = TOLERANCE,
        **options: Any,
    ) -> None:
        self._requests = StreamHandle(jwks_url, treq, **options).requests
        self._keys = KeySet(self._requests)
        self._subscription_ids = subscription_ids
        self._tolerance = tolerance

    def verify(self, body: bytes, signature: bytes | str | None) -> Deferred[WebhookWake]:
        """The wake in a request with this body, as it came, and ``Webhook-Signature`` field.

        Fails with ``SignatureRejected``; or with ``ClientError`` when the key is not known and cannot be fetched. Then
        answer 503, and the wake comes again.
        """
        return Deferred.fromCoroutine(self._verify(body, signature))

    def lease(self, wake: WebhookWake, lease_ttl: float = 30.0) -> WakeLease:
        """For finishing a wake later, by callbacks, when the request was answered with any other 2xx.

        ``lease_ttl`` is the subscription's, in seconds: the request does not tell it.
        """
        return WakeLease(
            self._requests.at(wake.callback_url),
            wake.subscription_id,
            wake.wake_id,
            wake.generation,
            wake.callback_token,
            wake.streams,
            lease_ttl,
        )

    async def _verify(self, body: bytes, signature: bytes | str | None) -> WebhookWake:
        field = signature.decode("latin-1") if isinstance(signature, bytes) else signature or ""
        parts = _SIGNATURE.fullmatch(field.strip())
        if parts is None:
            raise SignatureRejected("there is no Webhook-Signature of the known form")
        timestamp, kid, signed = parts.groups()
        if abs(self._requests.clock.seconds() - int(timestamp)) > self._tolerance:
            raise SignatureRejected("the signature is too old, or from the future")
        key = await self._keys.key(kid)
        if key is None:
            raise SignatureRejected("the server has no such key")
        try:
            key.verify(urlsafe_b64decode(signed + "=="), timestamp.encode() + b"." + body)
        except InvalidSignature:
            raise SignatureRejected("the signature does not fit the body") from None
        return self._checked(body)

    def _checked(self, body: bytes) -> WebhookWake:
        try:
            wake = _wake_of(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SignatureRejected(f"the body is no wake: {error}") from None
        if self._subscription_ids is not None and wake.subscription_id not in self._subscription_ids:
            raise SignatureRejected("the subscription is not one of ours")
        return wake
