"""Which stream a request is for."""

from __future__ import annotations

from typing import NamedTuple

from durable_streams.protocol.paths import canonical_path


class Target(NamedTuple):
    """``root`` is the raw URL path under which all streams are, with its final slash; ``path`` the stream below it."""

    root: bytes
    path: str


def target_of(raw_path: bytes, root: bytes) -> Target:
    """The target of a URL path that begins with ``root``."""
    return Target(root, canonical_path(raw_path[len(root) :]))
