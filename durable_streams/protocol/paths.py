"""The names of streams: what stands after the stream root in a URL, opaque but in one canonical spelling.

Two spellings of one URL (RFC 3986, 6.2.2) name one stream: ``%7e`` and ``~``, ``é`` and ``%C3%A9``. Everything else
stays apart: ``a/b`` and ``a%2Fb``, ``a`` and ``a/``, ``a//b`` and ``a/b``; dots have no meaning.
"""

from __future__ import annotations

import re
from functools import lru_cache

_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/"
_PART = re.compile(rb"%([0-9A-Fa-f]{2})|([A-Za-z0-9\-._~!$&'()*+,;=:@/])|(.)", re.ASCII | re.DOTALL)
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def canonical_path(raw: bytes) -> str:
    """The canonical, ASCII spelling of a stream's path as it stood in a URL."""
    if not raw.translate(None, _PLAIN):
        return raw.decode("ascii")
    return _PART.sub(_canonical_part, raw).decode("ascii")


@lru_cache(4096)
def path_named(name: str) -> str:
    """The canonical path of a name that an application chose; a literal ``%`` must be written ``%25``."""
    return canonical_path(name.encode("utf-8", "surrogateescape"))


def _canonical_part(part: re.Match[bytes]) -> bytes:
    escaped, plain, other = part.groups()
    if plain is not None:
        return plain
    byte = int(escaped, 16) if escaped is not None else other[0]
    if escaped is not None and byte in _UNRESERVED:
        return bytes((byte,))
    return b"%%%02X" % byte
