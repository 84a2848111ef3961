"""What a receiver does to verify a webhook, written from the specification alone."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_FIELD = re.compile(r"t=(\d+),kid=([^,]+),ed25519=([A-Za-z0-9_-]+)")


def is_signed_by(key: dict[str, str], signature: str, body: bytes) -> bool:
    """Whether a Webhook-Signature field fits a body and a JSON Web Key (Section 7.1)."""
    parts = _FIELD.fullmatch(signature)
    if parts is None or parts[2] != key["kid"]:
        return False
    public = Ed25519PublicKey.from_public_bytes(_decoded(key["x"]))
    try:
        public.verify(_decoded(parts[3]), parts[1].encode() + b"." + body)
    except InvalidSignature:
        return False
    return True


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
