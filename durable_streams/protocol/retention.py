"""Retention: how much of a stream is kept, and where its messages end. Not part of the specification.

A limit drops whole messages from the front: JSON messages of a JSON stream, appends of any other. What a fork has
inherited is older than all its own, so it stays until the fork's own policy drops the first message of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from durable_streams.errors import MalformedField
from durable_streams.protocol.content_types import Kind
from durable_streams.protocol.integers import LARGEST
from durable_streams.protocol.json_messages import SEPARATOR
from durable_streams.protocol.rising_numbers import RisingNumbers

TICKS = 1 << 22
"""Into how many parts a second is divided for the times of messages: as finely as a clock of today counts them."""

LIMIT_FIELDS = ("Stream-Retention-Max-Age", "Stream-Retention-Max-Messages", "Stream-Retention-Max-Bytes")
"""The header fields of the limits, in the order of ``Retention.limits``."""

_end_of_message = re.compile(SEPARATOR).finditer


class Retention(Struct, frozen=True, array_like=True):
    """What a stream keeps at most; the strictest limit wins, and None is no limit.

    A message is dropped when it is ``max_age`` seconds old, when ``max_messages`` newer ones are there, and when it and
    the newer ones have more than ``max_bytes`` bytes. The last two always leave the newest message. ``is_default`` says
    that the service chose it, not who created the stream. Raises ``MalformedField``.
    """

    max_age: int | None = None
    max_messages: int | None = None
    max_bytes: int | None = None
    is_default: bool = False

    def __post_init__(self) -> None:
        for field, limit in zip(LIMIT_FIELDS, self.limits, strict=True):
            if limit is not None and not 0 < limit <= LARGEST:
                raise MalformedField(field, "must be a whole number above 0")

    @property
    def limits(self) -> tuple[int | None, int | None, int | None]:
        """The limits alone."""
        return (self.max_age, self.max_messages, self.max_bytes)


NO_LIMITS = Retention()
"""Keeps everything."""

Chunk = tuple[bytes, bytes | None]
"""Of some messages that follow each other: where they end, and when they came if there is a limit of age; packed."""


class Boundaries:
    """Where the kept messages of a stream with a policy end, and when they came: every limit is held to the message.

    ``start`` is where the first kept message of the stream's own begins. Everything follows from the events alone.
    """

    __slots__ = ("_by_message", "_ends", "_first", "_max_age", "_times", "_unchanged", "policy", "start")

    def __init__(self, policy: Retention, kind: Kind, start: int) -> None:
        self.policy = policy
        self.start = start
        self._by_message = kind is Kind.JSON and (policy.max_messages is not None or policy.max_bytes is not None)
        self._max_age = (policy.max_age or 0) * TICKS
        self._ends = RisingNumbers()
        self._times = None if policy.max_age is None else RisingNumbers()
        self._first = 0
        self._unchanged = 0

    @property
    def messages(self) -> int:
        """How many are kept. Where only age counts, the messages of an append are one."""
        return self._ends.count - self._first

    @property
    def end(self) -> int:
        """Where the newest message ends."""
        return self._ends.last if self.messages else self.start

    @property
    def size(self) -> int:
        """The bytes of memory that grow with the number of messages."""
        return self._ends.size + (0 if self._times is None else self._times.size)

    # --- noting

    def append(self, start: int, data: bytes, at: float) -> None:
        """Note the messages of an append, then drop what is beyond a limit."""
        ends = self._ends
        if self._by_message and data.find(SEPARATOR) < len(data) - 1:
            ends.extend([start + match.end() for match in _end_of_message(data)])
        else:
            ends.append(start + len(data))
        moment = 0 if self._times is None else self._note_time(self._times, at)
        kept = self._first_kept(moment)
        if kept > self._first:
            self._drop(kept, ends[kept - 1])
        # Only now, because what was dropped needs no packing.
        ends.pack()
        if self._times is not None:
            self._times.pack()

    def _note_time(self, times: RisingNumbers, at: float) -> int:
        """Note when the messages came whose ends were noted; the answer is that time, in ticks."""
        # The order of the times must be that of the messages, whatever the clock does.
        moment = max(round(at * TICKS), times.last)
        count = self._ends.count - times.count
        if count == 1:
            times.append(moment)
        else:
            times.extend([moment] * count)
        return moment

    # --- dropping

    def earliest_at(self, now: float) -> int:
        """Where what is kept of the stream's own begins at that time."""
        kept = self._first_kept(0 if self._times is None else round(now * TICKS))
        return self._ends[kept - 1] if kept > self._first else self.start

    def _first_kept(self, moment: int) -> int:
        """The number of the first message that is kept at a time in ticks, counted from the stream's first own."""
        policy, ends, first = self.policy, self._ends, self._first
        count = ends.count
        if first == count:
            return first
        if policy.max_messages is not None and count - policy.max_messages > first:
            first = count - policy.max_messages
        if policy.max_bytes is not None and (lowest := ends.last - policy.max_bytes) > self.start:
            beyond = ends.count_up_to(lowest - 1) + 1
            if beyond > first:
                first = min(beyond, count - 1)
        if self._times is not None and (old := self._times.count_up_to(moment - self._max_age)) > first:
            first = old
        return first

    def drop_before(self, position: int) -> None:
        """Forget the messages that end at or before ``position``."""
        if position > self.start:
            self._drop(max(self._first, self._ends.count_up_to(position)), position)

    def _drop(self, kept: int, position: int) -> None:
        self._first = kept
        self.start = position
        # The newest stays known: what comes next is not to be older than it.
        known = min(kept, self._ends.count - 1)
        self._ends.forget_before(known)
        if self._times is not None:
            self._times.forget_before(known)

    @property
    def due(self) -> float | None:
        """When the first kept message is too old; None is never."""
        if self._times is None or not self.messages:
            return None
        return (self._times[self._first] + self._max_age) / TICKS

    # --- keeping them elsewhere

    @property
    def first_chunk(self) -> int:
        """The number of the first chunk that is still known."""
        return self._ends.first_chunk

    def changed_chunks(self) -> Iterator[tuple[int, Chunk]]:
        """The known chunks, with their numbers, that are not as they were when they were restored."""
        ends, times = self._ends, self._times
        first = max(ends.first_chunk, self._unchanged // ends.CHUNK)
        if ends.count > self._unchanged:
            for number in range(first, (ends.count - 1) // ends.CHUNK + 1):
                yield number, (ends.chunk(number), None if times is None else times.chunk(number))

    def restore(self, first_chunk: int, chunks: Sequence[Chunk]) -> None:
        """Take in what was kept elsewhere: chunks that follow each other, up to the newest.

        Raises ``ValueError`` for what can be none.
        """
        self._ends.restore(first_chunk, [ends for ends, _ in chunks])
        if self._times is not None:
            self._times.restore(first_chunk, [times for _, times in chunks if times is not None])
            if self._times.count != self._ends.count:
                raise ValueError(f"{self._ends.count} messages came at {self._times.count} times")
        self._first = self._ends.count_up_to(self.start)
        self._unchanged = self._ends.count
