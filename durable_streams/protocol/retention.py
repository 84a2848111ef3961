"""Retention: how much of a stream is kept, and where its messages end. Not part of the specification.

A limit drops whole messages from the front: JSON messages of a JSON stream, appends of any other. What a fork has
inherited is older than all its own, so it stays until the fork's own policy drops the first message of its own.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from math import floor

from msgspec import Struct

from durable_streams.errors import MalformedField
from durable_streams.protocol.content_types import Kind
from durable_streams.protocol.integers import LARGEST
from durable_streams.protocol.json_messages import SEPARATOR

FINENESS = 65_536
"""Into how many steps a limit is divided: what matters for memory, and for how exactly a large limit is held."""

CHUNK = 256
"""Groups that are kept together elsewhere, and forgotten together."""

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

Groups = tuple["array[int]", "array[float]", "array[int]"]
"""Of each group: the position where it ends, the time of its newest message, the number of its messages."""


class Boundaries:
    """Where the kept messages of a stream with a policy end, and when they came.

    Messages are noted in groups: of one message, unless a limit is so large that a 65,536th of it spans several. So
    the memory for a stream is bounded, and limits up to 65,536 messages (or seconds, or bytes) are held exactly; above
    that, age and count are held by a 65,536th too late, bytes by as much too early, always where a message ends.

    ``start`` is where the first kept message of the stream's own begins. Everything follows from the events alone.
    """

    __slots__ = (
        "_by_message",
        "_counts",
        "_ends",
        "_forgotten",
        "_head",
        "_step_age",
        "_step_bytes",
        "_step_messages",
        "_times",
        "_unchanged",
        "messages",
        "policy",
        "start",
    )

    def __init__(self, policy: Retention, kind: Kind, start: int) -> None:
        self.policy = policy
        self.start = start
        self.messages = 0
        self._by_message = kind is Kind.JSON and (policy.max_messages is not None or policy.max_bytes is not None)
        self._step_messages = _step(policy.max_messages)
        self._step_bytes = _step(policy.max_bytes)
        self._step_age = 0.0 if policy.max_age is None else policy.max_age / FINENESS
        self._ends = array("Q")
        self._times = array("d")
        self._counts = array("I")
        self._head = 0
        self._forgotten = 0
        self._unchanged = 0

    def __len__(self) -> int:
        return len(self._ends) - self._head

    @property
    def end(self) -> int:
        """Where the newest message ends."""
        return self._ends[-1] if len(self) else self.start

    # --- noting

    def append(self, start: int, data: bytes, at: float) -> None:
        """Note the messages of an append, then drop what is beyond a limit."""
        # The order of the times must be that of the messages, whatever the clock does.
        moment = max(at, self._times[-1]) if self._times else at
        if self._by_message:
            for match in _end_of_message(data):
                self._note(start + match.end(), moment)
        else:
            self._note(start + len(data), moment)
        self.drop_before(self.earliest_at(moment))

    def _note(self, end: int, at: float) -> None:
        self.messages += 1
        if self._extends_last(end, at):
            self._unchanged = min(self._unchanged, self._forgotten + len(self._ends) - 1)
            self._ends[-1] = end
            self._times[-1] = at
            self._counts[-1] += 1
        else:
            self._ends.append(end)
            self._times.append(at)
            self._counts.append(1)

    def _extends_last(self, end: int, at: float) -> bool:
        """Whether a message belongs to the last group: it must not make it larger than a step of any limit."""
        count = len(self._ends) - self._head
        if not count:
            return False
        if self._counts[-1] >= self._step_messages:
            return False
        if end - (self._ends[-2] if count > 1 else self.start) > self._step_bytes:
            return False
        step = self._step_age
        return not step or floor(at / step) == floor(self._times[-1] / step)

    # --- dropping

    def earliest_at(self, now: float) -> int:
        """Where what is kept of the stream's own begins at that time."""
        kept = self._first_kept(now)
        return self._ends[kept - 1] if kept > self._head else self.start

    def _first_kept(self, now: float) -> int:
        policy, ends, first = self.policy, self._ends, self._head
        if policy.max_age is not None:
            first = bisect_right(self._times, now - policy.max_age, first)
        newest = len(ends) - 1
        if policy.max_bytes is not None and newest > first and ends[-1] - self.start > policy.max_bytes:
            first = min(newest, max(first, bisect_left(ends, ends[-1] - policy.max_bytes, self._head) + 1))
        if policy.max_messages is not None and self.messages > policy.max_messages:
            first = max(first, self._first_of_newest(policy.max_messages))
        return first

    def _first_of_newest(self, count: int) -> int:
        """The first group of those that have the newest ``count`` messages."""
        index, beyond = self._head, self.messages - count
        while self._counts[index] <= beyond:
            beyond -= self._counts[index]
            index += 1
        return index

    def drop_before(self, position: int) -> None:
        """Forget the messages that end at or before ``position``."""
        if position <= self.start:
            return
        kept = bisect_right(self._ends, position, self._head)
        self.messages -= sum(self._counts[self._head : kept])
        self.start = position
        self._head = kept
        if kept >= CHUNK and 2 * kept >= len(self._ends):
            self._forget(kept - kept % CHUNK)

    def _forget(self, count: int) -> None:
        del self._ends[:count], self._times[:count], self._counts[:count]
        self._forgotten += count
        self._head -= count

    @property
    def due(self) -> float | None:
        """When the first kept message is too old; None is never."""
        if self.policy.max_age is None or not len(self):
            return None
        return self._times[self._head] + self.policy.max_age

    # --- keeping them elsewhere

    @property
    def first_chunk(self) -> int:
        """The number of the chunk with the first kept group."""
        return (self._forgotten + self._head) // CHUNK

    def changed_chunks(self) -> Iterator[tuple[int, Groups]]:
        """The kept chunks, with their numbers, that are not as they were when they were restored."""
        number = max(self.first_chunk, self._unchanged // CHUNK)
        while (low := number * CHUNK - self._forgotten) < len(self._ends):
            part = slice(low, low + CHUNK)
            yield number, (self._ends[part], self._times[part], self._counts[part])
            number += 1

    def restore(self, first_chunk: int, groups: Groups) -> None:
        """Take in what was kept elsewhere: chunks that follow each other, joined."""
        self._ends, self._times, self._counts = ends, _, counts = groups
        self._forgotten = first = first_chunk * CHUNK
        self._head = bisect_right(ends, self.start)
        self.messages = sum(counts[self._head :])
        self._unchanged = first + len(ends)


def _step(limit: int | None) -> int:
    return LARGEST if limit is None else max(1, limit // FINENESS)
