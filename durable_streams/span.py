"""Reading a span of a stream that the storage may give in parts."""

from __future__ import annotations

from durable_streams.errors import StreamNotFound
from durable_streams.interfaces import IStorage
from durable_streams.protocol.results import Slice


async def extended(storage: IStorage, found: Slice, wanted: int) -> Slice:
    """A slice with what follows it, up to ``wanted`` bytes in all or the tail.

    Fails as ``IStorage.read`` does, and with ``StreamNotFound`` when another stream has taken the path meanwhile.
    """
    while len(found.data) < wanted and not found.up_to_date:
        more = await storage.read(found.stream.path, found.end, wanted - len(found.data))
        if more.stream.stream_id != found.stream.stream_id:
            raise StreamNotFound(found.stream.path)
        found = Slice(more.stream, found.start, found.data + more.data)
        if not more.data:
            break
    return found
