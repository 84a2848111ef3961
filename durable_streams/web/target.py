"""Which stream a URL names."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from durable_streams.protocol.paths import canonical_path
from durable_streams.web.control.address import is_reserved


class Target(Struct, frozen=True):
    """``root`` is the raw URL path under which all streams are, with its final slash; ``path`` the stream below it.

    ``reserved`` says that it is no stream, but a control path.
    """

    root: bytes
    path: str
    reserved: bool


def target_of(raw_path: bytes, root: bytes) -> Target:
    """The target of a URL path that begins with ``root``."""
    path = canonical_path(raw_path[len(root) :])
    return Target(root, path, is_reserved(path))


remembered_target_of = lru_cache(4096)(target_of)
"""As ``target_of``, for what is asked more than once."""
