"""Where a read begins (Section 5.6)."""

from __future__ import annotations

from durable_streams.errors import OffsetBeyondTail, OffsetTrimmed
from durable_streams.protocol.offsets import EARLIEST
from durable_streams.protocol.results import StreamDescription


def start_of(stream: StreamDescription, position: int | None) -> int:
    """The position at which a read of a stream begins; None is the tail, ``EARLIEST`` whatever is left.

    Raises ``OffsetBeyondTail`` or ``OffsetTrimmed``. Who is exactly at the earliest position has lost nothing.
    """
    if position is None:
        return stream.tail
    if position == EARLIEST:
        return stream.earliest
    if position > stream.tail:
        raise OffsetBeyondTail(stream.path, position, stream.tail)
    if position < stream.earliest:
        raise OffsetTrimmed(stream.path, position, stream.earliest)
    return position
