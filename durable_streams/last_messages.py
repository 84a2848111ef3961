"""Where the last messages of a JSON stream begin."""

from __future__ import annotations

from durable_streams.interfaces import IStorage
from durable_streams.protocol.json_messages import beginning_of_last
from durable_streams.protocol.results import Slice, StreamDescription
from durable_streams.span import extended

_STEP = 64 * 1024
_LONGEST_STEP = 1024 * 1024


async def position_of_last(storage: IStorage, stream: StreamDescription, count: int) -> int:
    """The position of the last ``count`` messages, or of the first one when there are fewer.

    Reads back from the tail in growing steps, so it costs what those messages cost, however long the stream is. Fails
    as ``IStorage.read`` does, and with ``StreamNotFound`` when another stream has taken the path meanwhile.
    """
    end, step, behind = stream.tail, _STEP, 0
    while end > stream.earliest:
        start = max(stream.earliest, end - step)
        part = await extended(storage, Slice(stream, start, b""), end - start)
        found, behind = beginning_of_last(part.data, count, behind)
        if found is not None:
            return start + found
        end, step = start, min(2 * step, _LONGEST_STEP)
    return stream.earliest
