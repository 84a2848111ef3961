"""Where the last messages of a JSON stream begin."""

from __future__ import annotations

from durable_streams.interfaces import IStorage
from durable_streams.protocol.json_messages import beginning_of_last
from durable_streams.protocol.results import StreamDescription

_STEP = 64 * 1024
_LONGEST_STEP = 1024 * 1024


async def position_of_last(storage: IStorage, stream: StreamDescription, count: int) -> int:
    """The position of the last ``count`` messages, or of the first one when there are fewer.

    Reads back from the tail in growing steps, so it costs what those messages cost, however long the stream is. Fails
    as ``IStorage.read`` does.
    """
    end, step, behind = stream.tail, _STEP, 0
    while end > stream.earliest:
        start = max(stream.earliest, end - step)
        data = await _bytes(storage, stream, start, end)
        found, behind = beginning_of_last(data, count, behind)
        if found is not None:
            return start + found
        end, step = start, min(2 * step, _LONGEST_STEP)
    return stream.earliest


async def _bytes(storage: IStorage, stream: StreamDescription, start: int, end: int) -> bytes:
    """All bytes of a range; the storage may give them in parts."""
    parts = []
    while start < end:
        part = await storage.read(stream.path, start, end - start)
        if not part.data:
            break
        parts.append(part.data)
        start = part.end
    return b"".join(parts)
