"""Offsets: the opaque tokens that name positions (Section 8).

Inside the service a *position* is the number of bytes since the stream's beginning. Its token is two fixed-width
decimal halves; the first is reserved and always zero, so tokens sort as strings in the order of their positions.
"""

from __future__ import annotations

import re

from durable_streams.errors import MalformedField

BEGINNING = "-1"
NOW = "now"

EARLIEST = -1
"""In place of a position to read from: wherever the stream begins now."""

_TOKEN = re.compile(r"0{16}_([0-9]{16})", re.ASCII)


def offset_of(position: int) -> str:
    """The token of a position."""
    return f"0000000000000000_{position:016d}"


def encoded_offset_of(position: int) -> bytes:
    """The token of a position, as it stands in a header field."""
    return b"0000000000000000_%016d" % position


def read_position_of(offset: str) -> int | None:
    """Where a read begins: ``EARLIEST`` for ``-1``, None for ``now``, else the position. Raises ``MalformedField``."""
    if offset == BEGINNING:
        return EARLIEST
    return None if offset == NOW else position_of(offset)


def position_of(offset: str, field: str = "offset") -> int:
    """The position that a token names; ``-1`` is the beginning.

    Raises ``MalformedField`` naming ``field`` for anything that this service did not mint, ``now`` included: only a
    reader of the stream knows where that is.
    """
    if offset == BEGINNING:
        return 0
    token = _TOKEN.fullmatch(offset)
    if token is None:
        raise MalformedField(field, "must be an offset returned by this service, or -1 for the beginning")
    return int(token[1])
