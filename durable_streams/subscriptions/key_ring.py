"""The service's secrets: signing keys of webhooks and their rotation, the secret of tokens (Sections 6.5, 12.9)."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from durable_streams.subscriptions.events import Event, Key, KeyAdded, KeyDropped, KeyPurpose

PUBLISHED_BEFORE_USE = 600.0
PUBLISHED_AFTER_USE = 3600.0
"""Seconds. Receivers keep the key set for up to five minutes, and accept a signature for about as long."""

PublicKey = dict[str, str]


class KeyRing:
    """Keys as events have made them. A signing key is used until its successor's time begins."""

    def __init__(self, new_secret: Callable[[], bytes]) -> None:
        self._new_secret = new_secret
        self._keys: dict[str, Key] = {}

    def apply(self, event: KeyAdded | KeyDropped) -> None:
        if isinstance(event, KeyAdded):
            self._keys[event.key.kid] = event.key
        else:
            self._keys.pop(event.kid, None)

    def changes_due(self, now: float, lifetime: float) -> list[Event]:
        """What must happen to the keys by now: missing ones are made, old ones followed by new ones or dropped."""
        signing = self._signing_keys()
        changes: list[Event] = []
        if not any(key.purpose is KeyPurpose.TOKEN for key in self._keys.values()):
            changes.append(KeyAdded(Key("token", KeyPurpose.TOKEN, self._new_secret(), now)))
        if not signing:
            changes.append(self._new_key(now))
        elif signing[-1].active_from + lifetime <= now:
            changes.extend(self.rotation(now))
        for key, successor in pairwise(signing):
            if successor.active_from + PUBLISHED_AFTER_USE <= now:
                changes.append(KeyDropped(key.kid))
        return changes

    def rotation(self, now: float) -> list[Event]:
        """A new signing key, published at once and used when every receiver can have seen it."""
        return [self._new_key(now + PUBLISHED_BEFORE_USE)]

    def _new_key(self, active_from: float) -> KeyAdded:
        secret = self._new_secret()
        return KeyAdded(Key(public_key(secret)["kid"], KeyPurpose.SIGNATURE, secret, active_from))

    def _signing_keys(self) -> list[Key]:
        keys = [key for key in self._keys.values() if key.purpose is KeyPurpose.SIGNATURE]
        return sorted(keys, key=lambda key: key.active_from)

    def signing_key(self, now: float) -> Key:
        """The key that signs now."""
        signing = self._signing_keys()
        return next((key for key in reversed(signing) if key.active_from <= now), signing[0])

    @property
    def token_secret(self) -> bytes:
        return next(key.secret for key in self._keys.values() if key.purpose is KeyPurpose.TOKEN)

    def published(self) -> list[PublicKey]:
        """The public halves of all signing keys, as JSON Web Keys, the newest first."""
        return [public_key(key.secret) for key in reversed(self._signing_keys())]


@lru_cache(16)
def public_key(secret: bytes) -> PublicKey:
    """The JSON Web Key of a signing key; its ``kid`` is made of the key's thumbprint (RFC 7638)."""
    x = _base64url(Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw())
    thumbprint = sha256(msgspec.json.encode({"crv": "Ed25519", "kty": "OKP", "x": x})).digest()
    kid = f"ds_{_base64url(thumbprint)}"
    return {"kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "alg": "EdDSA", "x": x}


def webhook_signature(key: Key, body: bytes, now: float) -> bytes:
    """The Webhook-Signature field of a request with ``body`` (Section 7.1)."""
    timestamp = b"%d" % now
    signature = Ed25519PrivateKey.from_private_bytes(key.secret).sign(timestamp + b"." + body)
    return b"t=%b,kid=%b,ed25519=%b" % (timestamp, key.kid.encode(), _base64url(signature).encode())


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
