"""Bearer tokens of wakes: signed, good for one subscription and one generation (Sections 7.1 and 12.9).

They are JSON Web Tokens with HMAC-SHA-256 (RFC 7519); nobody but this service has to understand them.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec
from msgspec import Struct

from durable_streams.subscriptions.errors import TokenInvalid

LIFETIME = 24 * 3600.0
"""Seconds. A wake may be kept alive by its worker for that long; the lease ends it much earlier when nobody does."""


class TokenClaims(Struct, frozen=True):
    """What a token says: ``sub`` is the subscription, ``gen`` the generation, ``exp`` its end in seconds since 1970."""

    sub: str
    gen: int
    exp: int


_decode_claims = msgspec.json.Decoder(TokenClaims).decode


def _base64url(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


_HEADER = _base64url(b'{"alg":"HS256","typ":"JWT"}')


def mint_token(secret: bytes, subscription_id: str, generation: int, now: float) -> str:
    """A token for the holder of a wake."""
    claims = TokenClaims(subscription_id, generation, int(now + LIFETIME))
    signed = b"%b.%b" % (_HEADER, _base64url(msgspec.json.encode(claims)))
    return (b"%b.%b" % (signed, _signature(secret, signed))).decode("ascii")


def read_token(secret: bytes, token: str, subscription_id: str) -> TokenClaims:
    """What a token of this subscription says. Raises ``TokenInvalid``."""
    signed, _, signature = token.encode("utf-8", "replace").rpartition(b".")
    header, _, payload = signed.partition(b".")
    if header != _HEADER or not hmac.compare_digest(signature, _signature(secret, signed)):
        raise TokenInvalid
    claims = _decode_claims(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
    if claims.sub != subscription_id:
        raise TokenInvalid
    return claims


def _signature(secret: bytes, signed: bytes) -> bytes:
    return _base64url(hmac.digest(secret, signed, "sha256"))
