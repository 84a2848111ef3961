"""What waits for a commit, and what happens when it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from durable_streams.errors import StorageFailed
from durable_streams.protocol.commands import Append, Command
from durable_streams.protocol.results import AppendResult
from durable_streams.storage.local.hot_stream import HotStream

_T = TypeVar("_T")


def failed(failure: Failure) -> StorageFailed:
    """What callers are told when the journal has failed."""
    return StorageFailed(f"the journal failed: {failure.getErrorMessage()}")


class AppendEntry(Struct):
    """An append: readers see it from its commit on, then followers and its writer hear of it."""

    hot: HotStream
    command: Append
    result: AppendResult
    durable: Callable[[HotStream, int], None]
    performed: Callable[[Command, AppendResult], object]
    done: Deferred[AppendResult]

    def committed(self, segment: int) -> None:
        hot, result = self.hot, self.result
        hot.tail = result.tail
        if result.closed:
            hot.closed = True
        self.durable(hot, segment)
        self.performed(self.command, result)
        self.done.callback(result)

    def refused(self, failure: Failure) -> None:
        self.done.errback(failed(failure))


class EventEntry(Generic[_T]):
    """Any other event; ``after`` is called with the segment when it is durable, ``done`` fires with what that gives."""

    __slots__ = ("_after", "_done")

    def __init__(self, after: Callable[[int], _T], done: Deferred[_T]) -> None:
        self._after = after
        self._done = done

    def committed(self, segment: int) -> None:
        self._done.callback(self._after(segment))

    def refused(self, failure: Failure) -> None:
        self._done.errback(failed(failure))


class Barrier:
    """Fires ``done`` when what is on its way to the disk is durable."""

    __slots__ = ("_done",)

    def __init__(self, done: Deferred[None]) -> None:
        self._done = done

    def committed(self, segment: int) -> None:
        self._done.callback(None)

    def refused(self, failure: Failure) -> None:
        self._done.errback(failed(failure))
