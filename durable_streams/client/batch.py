"""What a read yields."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Batch(NamedTuple, Generic[T]):
    """The data of one answer or event, and where it ends.

    ``data`` is ``bytes``, ``str``, or a list of messages; it may be empty, when a long-poll's time was up or only the
    state has changed. Reading on from ``offset`` gives what follows this batch; the offset never passes data that was
    not yielded. ``up_to_date`` says that nothing more was there at that moment, ``closed`` that nothing more will
    ever be. ``cursor`` is for caches (Section 10.1).
    """

    data: T
    offset: str
    up_to_date: bool
    closed: bool
    cursor: str | None


RawBatch = Batch[list[bytes]]
"""Undecoded: the bodies or events that the batch consists of."""
