"""Moving cursors: forwards, up to the tail, in linked streams only (Sections 7, 7.1 and 7.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from durable_streams.errors import MalformedField
from durable_streams.protocol.offsets import BEGINNING, offset_of, position_of
from durable_streams.subscriptions.errors import AckRefused
from durable_streams.subscriptions.state import Ack, Link, StreamState


def acknowledged(links: Mapping[str, Link], tail_of: Callable[[str], int], acks: Iterable[Ack]) -> dict[str, Link]:
    """The links that the acks move, as they are then; all acks hold or none. Raises ``AckRefused``."""
    moved: dict[str, Link] = {}
    for ack in acks:
        link = moved.get(ack.stream) or links.get(ack.stream)
        if link is None:
            raise AckRefused(ack.stream, ack.offset, "must be of a stream that is linked")
        position = _position_of(ack)
        if position < link.acked:
            raise AckRefused(ack.stream, ack.offset, f"must not lie before the cursor {offset_of(link.acked)}")
        tail = tail_of(ack.stream)
        if position > tail:
            raise AckRefused(ack.stream, ack.offset, f"must not lie behind the tail {offset_of(tail)}")
        if position > link.acked:
            moved[ack.stream] = replace(link, acked=position)
    return moved


def _position_of(ack: Ack) -> int:
    if ack.offset != BEGINNING:
        try:
            return position_of(ack.offset)
        except MalformedField:
            pass
    raise AckRefused(ack.stream, ack.offset, "must be an offset returned by this service")


def acknowledged_snapshot(links: Mapping[str, Link], snapshot: Iterable[StreamState]) -> dict[str, Link]:
    """The links that are moved to the tails of a snapshot, as far as they are still those of the same streams."""
    return {
        seen.path: replace(link, acked=seen.tail)
        for seen in snapshot
        if (link := links.get(seen.path)) and link.stream_id == seen.link.stream_id and link.acked < seen.tail
    }
