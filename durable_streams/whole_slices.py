"""Slices as readers get them: no short parts where more is there, and whole messages of a JSON stream (Section 5.6)."""

from __future__ import annotations

from durable_streams.errors import OffsetInsideMessage, OffsetTrimmed
from durable_streams.interfaces import IStorage
from durable_streams.protocol.content_types import Kind
from durable_streams.protocol.json_messages import SEPARATOR, whole_messages
from durable_streams.protocol.results import Slice
from durable_streams.span import extended


def is_whole(found: Slice, wanted: int) -> bool:
    """Whether a slice, of which ``wanted`` bytes were asked for, may be answered as the storage gave it."""
    is_json = found.stream.kind is Kind.JSON
    if found.up_to_date:
        return not is_json or not found.data or found.start == found.stream.earliest
    # More than half of what is wanted goes out as it is: to join the rest to it costs more than to ask again.
    return 2 * len(found.data) > wanted and not is_json


async def made_whole(storage: IStorage, found: Slice, wanted: int) -> Slice:
    """Go on where the storage stopped early, as at the seam of a fork; give whole messages, at least one.

    Fails with ``OffsetInsideMessage`` where no message begins, else as ``extended`` does.
    """
    try:
        found = await extended(storage, found, wanted)
        if found.stream.kind is not Kind.JSON or not found.data:
            return found
        if found.start != found.stream.earliest:
            await check_begins_a_message(storage, found.stream.path, found.start)
        while not (length := whole_messages(found.data)):
            longer = await extended(storage, found, 2 * len(found.data))
            if longer.end == found.end:
                return found
            found = longer
    except OffsetTrimmed as trimmed:
        raise OffsetTrimmed(trimmed.path, found.start, trimmed.earliest) from None
    return found if length == len(found.data) else Slice(found.stream, found.start, found.data[:length])


async def check_begins_a_message(storage: IStorage, path: str, position: int) -> None:
    """Raises ``OffsetInsideMessage`` unless a message of the JSON stream begins there, which is not its first."""
    before = await storage.read(path, position - 1, 1)
    if before.data != SEPARATOR:
        raise OffsetInsideMessage(path, position)
