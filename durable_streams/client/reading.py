"""A read of a stream, from an offset to the tail, or on and on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from inspect import isawaitable
from types import TracebackType
from typing import Any, Generic, Literal, Protocol, Self, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from durable_streams.client.batch import Batch, RawBatch
from durable_streams.client.decoding import Decoder, Undecodable
from durable_streams.client.errors import OffsetTrimmed, ParseError
from durable_streams.client.offset_keeping import OffsetKeeping
from durable_streams.client.place import Place

T = TypeVar("T")


class Source(Protocol):
    """One way of getting batches: catch-up, long-poll or SSE."""

    async def next(self) -> RawBatch | None:
        """The next batch; None when this source has no more."""

    def stop(self) -> None:
        """Close the connection if there is one."""


NextSource = Callable[[Place], Source | None]
"""Chooses how to go on when a source has no more; None is the end."""

OnGap = Literal["raise", "jump"] | Callable[[OffsetTrimmed], object]
"""What to do when retention has dropped what would come next: fail, or go on with what is left. A callable is told of
the gap, then the reading goes on; whatever it raises ends the reading."""


class Reading(Generic[T]):
    """Batches of a stream, asked for one by one: what is not asked for stays in the socket, which is then paused.

    Iterate over it, or over ``each()``; or hand a callback to ``deliver``; or ``collect`` everything. One of these,
    once. Leaving a loop, cancelling a Deferred and ``close`` all end the connection at once.
    """

    def __init__(
        self,
        place: Place,
        decoder: Decoder[T],
        next_source: NextSource,
        keeping: OffsetKeeping,
        on_gap: OnGap = "raise",
    ) -> None:
        self._place = place
        self._decoder = decoder
        self._next_source = next_source
        self._keeping = keeping
        self._on_gap = on_gap
        self._source: Source | None = None
        self._begun = False
        self._closed = False
        self._pending: Deferred[Batch[T] | None] | None = None
        self._offset = place.offset

    @property
    def offset(self) -> str:
        """Where to read on: the end of the last batch, or where the reading begins."""
        return self._offset

    @property
    def content_type(self) -> str | None:
        """The stream's content type, as soon as an answer has told it; SSE does not tell."""
        return self._place.content_type

    def next_batch(self) -> Deferred[Batch[T] | None]:
        """The next batch, or None at the end. Asking for it says that the one before has been dealt with.

        Fails with ``ClientError``; what was yielded before remains valid.
        """
        self._pending = Deferred.fromCoroutine(self._next_batch())
        return self._pending

    def close(self) -> None:
        """Stop reading and close the connection. A pending ``next_batch`` is cancelled. May be called again."""
        self._closed = True
        pending, self._pending = self._pending, None
        if pending is not None and not pending.called:
            pending.cancel()
        if self._source is not None:
            self._source.stop()

    def keep_offset(self) -> Deferred[None]:
        """Save the offset of the last batch now, for a loop that is about to be left after having dealt with it."""
        return Deferred.fromCoroutine(self._keeping.keep())

    async def __aiter__(self) -> AsyncIterator[Batch[T]]:
        """The batches. Leaving the loop closes the reading."""
        try:
            while (batch := await self._next_or_closed()) is not None:
                yield batch
        finally:
            self.close()

    async def each(self) -> AsyncIterator[Any]:
        """Single messages of a JSON stream; pieces of bytes or text that are not empty otherwise."""
        try:
            while (batch := await self._next_or_closed()) is not None:
                for item in self._decoder.items(batch.data):
                    yield item
        finally:
            self.close()

    def deliver(self, consume: Callable[[Batch[T]], object]) -> Deferred[None]:
        """Call ``consume`` with each batch; when it returns a Deferred, the next one waits for it.

        Fires at the end; fails with ``ClientError``, or with what ``consume`` raised. Cancelling it closes the reading.
        """
        return Deferred.fromCoroutine(self._deliver(consume))

    def collect(self) -> Deferred[T]:
        """All data from here to the end as one: ``bytes``, ``str``, or a list of messages."""
        return Deferred.fromCoroutine(self._collect())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside

    async def _next_or_closed(self) -> Batch[T] | None:
        try:
            return await self.next_batch()
        except CancelledError:
            if self._closed:
                return None
            raise

    async def _next_batch(self) -> Batch[T] | None:
        if not self._begun:
            self._begun = True
            await self._keeping.begin(self._place)
            self._offset = self._place.offset
            self._source = self._next_source(self._place)
        else:
            await self._keeping.keep()
        raw = None
        while raw is None:
            if self._source is None or self._closed:
                return None
            try:
                raw = await self._source.next()
            except OffsetTrimmed as gap:
                self._jump(gap)
                continue
            if raw is None:
                self._source = self._next_source(self._place)
        return self._decoded(raw)

    def _jump(self, gap: OffsetTrimmed) -> None:
        """Go on where the stream begins now, if that will do. Raises the error itself otherwise."""
        if self._on_gap == "raise":
            raise gap
        if callable(self._on_gap):
            self._on_gap(gap)
        self._place.jump(gap.earliest_offset)
        self._decoder.skip()
        self._offset = gap.earliest_offset

    def _decoded(self, raw: RawBatch) -> Batch[T]:
        try:
            batch = self._decoder.decode(raw, self._offset)
        except Undecodable as error:
            self.close()
            raise ParseError(self._place.url, str(error)) from None
        self._offset = batch.offset
        self._keeping.yielded(batch.offset)
        return batch

    async def _deliver(self, consume: Callable[[Batch[T]], object]) -> None:
        async for batch in self:
            result = consume(batch)
            if isawaitable(result):
                await result

    async def _collect(self) -> T:
        parts: list[T] = []
        async for batch in self:
            parts.append(batch.data)
        return self._decoder.join(parts)


def in_turn(makers: Sequence[Callable[[Place], Source | None]]) -> NextSource:
    """One source after the other, until the stream has ended or there are no more; a maker may have none to give."""
    waiting = iter(makers)

    def next_source(place: Place) -> Source | None:
        if place.closed:
            return None
        for make in waiting:
            source = make(place)
            if source is not None:
                return source
        return None

    return next_source
