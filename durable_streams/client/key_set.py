"""A server's public signing keys, fetched when they are needed and kept for as long as the server allows (6.5)."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct
from twisted.internet.defer import Deferred

from durable_streams.client.errors import ClientError, ParseError
from durable_streams.client.request import Request, StreamRequests

DEFAULT_LIFETIME = 300.0
LONGEST_LIFETIME = 3600.0
BETWEEN_FETCHES = 10.0
"""Seconds. Signatures with made-up key ids must not make a receiver flood the server."""

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=([0-9]{1,9})", re.ASCII)


class _Key(Struct):
    kty: str = ""
    crv: str = ""
    kid: str = ""
    x: str = ""
    use: str = "sig"


class _KeySet(Struct):
    keys: list[_Key]


_key_set_of = msgspec.json.Decoder(_KeySet).decode


class KeySet:
    """The keys at a URL. One request at a time, whoever asks meanwhile waits for it."""

    def __init__(self, requests: StreamRequests) -> None:
        self._requests = requests
        self._clock = requests.clock
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._fresh_until = 0.0
        self._next_fetch = 0.0
        self._fetching: list[Deferred[None]] | None = None

    async def key(self, kid: str) -> Ed25519PublicKey | None:
        """The key called ``kid``, or None when the server has none.

        Raises ``ClientError`` when a key that is not known cannot be asked for. A known key is good even then.
        """
        known = self._keys.get(kid)
        now = self._clock.seconds()
        if known is not None and now < self._fresh_until:
            return known
        if now >= self._next_fetch or self._fetching is not None:
            try:
                await self._fetched()
            except ClientError:
                if known is None:
                    raise
                return known
        return self._keys.get(kid)

    async def _fetched(self) -> None:
        if self._fetching is not None:
            waiting: Deferred[None] = Deferred()
            self._fetching.append(waiting)
            return await waiting
        self._fetching = []
        try:
            await self._fetch()
        except Exception as error:
            for waiting in self._done():
                waiting.errback(error)
            raise
        for waiting in self._done():
            waiting.callback(None)

    def _done(self) -> list[Deferred[None]]:
        waiting, self._fetching = self._fetching or [], None
        self._next_fetch = self._clock.seconds() + BETWEEN_FETCHES
        return waiting

    async def _fetch(self) -> None:
        requests = self._requests
        answer = await requests.perform(Request("GET", requests.timeouts.answer))
        try:
            found = _key_set_of(answer.body).keys
            self._keys = {key.kid: _public_key(key) for key in found if _signs(key)}
        except (msgspec.DecodeError, UnicodeDecodeError, NotBase64, ValueError) as error:
            raise ParseError(requests.url, f"not a key set: {error}") from None
        lifetime = _lifetime(answer.headers.get("Cache-Control") or "")
        self._fresh_until = self._clock.seconds() + lifetime


def _signs(key: _Key) -> bool:
    """Whether a key is one for these signatures: a set may have others too."""
    return (key.kty, key.crv, key.use) == ("OKP", "Ed25519", "sig")


def _public_key(key: _Key) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(urlsafe_b64decode(key.x + "=" * (-len(key.x) % 4)))


def _lifetime(cache_control: str) -> float:
    found = _MAX_AGE.search(cache_control.lower())
    return min(float(found[1]), LONGEST_LIFETIME) if found else DEFAULT_LIFETIME
