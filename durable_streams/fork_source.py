"""What a fork names in a JSON source: only its bytes tell where messages begin and end (Section 4.2)."""

from __future__ import annotations

from msgspec.structs import replace

from durable_streams.errors import ForkInsideMessage, OffsetInsideMessage, StreamError
from durable_streams.interfaces import IStorage
from durable_streams.protocol.commands import Create, ForkRequest, ResolvedSubOffset
from durable_streams.protocol.content_types import Kind
from durable_streams.protocol.json_messages import SEPARATOR, end_of_message
from durable_streams.protocol.results import StreamDescription
from durable_streams.whole_slices import check_begins_a_message, made_whole


async def with_resolved_fork(storage: IStorage, command: Create, fork: ForkRequest, step: int) -> Create:
    """The command with ``fork.resolved`` filled in, where the source is one of JSON and has what is asked for.

    The source is read by ``step`` bytes. Raises ``ForkInsideMessage``; what else is wrong is left to ``decide_create``.
    """
    try:
        source = await storage.describe(fork.source)
    except StreamError:
        return command
    if source.kind is not Kind.JSON:
        return command
    start = source.tail if fork.position is None else fork.position
    try:
        if source.earliest < start < source.tail:
            await check_begins_a_message(storage, fork.source, start)
        length = await _length_of_messages(storage, source, start, fork.sub_offset, step)
    except OffsetInsideMessage:
        raise ForkInsideMessage(fork.source, start) from None
    if length is None:
        return command
    return replace(command, fork=replace(fork, resolved=ResolvedSubOffset(source.stream_id, length)))


async def _length_of_messages(
    storage: IStorage, source: StreamDescription, start: int, count: int, step: int
) -> int | None:
    """The bytes of the ``count`` messages from ``start`` on; None when there are fewer."""
    position, missing = start, count
    while missing and position < source.tail:
        part = await made_whole(storage, await storage.read(source.path, position, step), step)
        length = end_of_message(part.data, missing)
        position = part.end if length is None else position + length
        missing -= part.data.count(SEPARATOR) if length is None else missing
    return None if missing else position - start
