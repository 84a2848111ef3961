"""Bytes that are no longer in memory."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from durable_streams.errors import OffsetTrimmed, StreamError, StreamNotFound
from durable_streams.protocol.results import Slice, StreamDescription
from durable_streams.storage.local.base_failure import unreadable
from durable_streams.storage.local.runs import BaseDamaged, Runs
from durable_streams.storage.local.workers import Offload


class ColdBytes:
    """Reads the base store's runs, by the reader thread unless they have just been read.

    ``describe`` tells what is at a path now.
    """

    def __init__(self, runs: Runs, read: Offload, describe: Callable[[str], Deferred[StreamDescription]]) -> None:
        self._runs = runs
        self._read = read
        self._describe = describe

    def read(self, seen: StreamDescription, stream_id: int, start: int, stop: int) -> Deferred[Slice]:
        """A slice of the stream ``seen``, from the bytes of the stream that has them: itself, or a source of it.

        Fails with ``StreamNotFound``, ``StreamGone`` or ``OffsetTrimmed`` when they have gone meanwhile, and with
        ``StorageFailed``.
        """
        if data := self._runs.kept(stream_id, start, stop):
            return succeed(Slice(seen, start, data))
        found = self._read(lambda: self._runs.read(stream_id, start, stop))
        return found.addCallback(lambda data: self._slice(seen, start, data)).addErrback(self._failed)

    def _slice(self, seen: StreamDescription, start: int, data: bytes) -> Slice | Deferred[Slice]:
        if data:
            return Slice(seen, start, data)
        return self._describe(seen.path).addCallback(self._missing, seen, start)

    @staticmethod
    def _missing(now: StreamDescription, seen: StreamDescription, start: int) -> Slice:
        """There are no bytes where there were some when the read began."""
        if now.stream_id != seen.stream_id:
            raise StreamNotFound(seen.path)
        if now.earliest > start:
            raise OffsetTrimmed(seen.path, start, now.earliest)
        raise BaseDamaged(f"{seen.path}: its bytes from position {start} on are missing")

    @staticmethod
    def _failed(failure: Failure) -> Failure:
        return failure if failure.check(StreamError) else unreadable(failure)
