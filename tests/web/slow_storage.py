"""Storages that do not answer at once, as those that read from a disk."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from durable_streams.protocol.results import Slice
from durable_streams.storage.memory import MemoryStorage


class SlowReads(MemoryStorage):
    """While ``hold`` is set, reads are answered by ``answer_reads``, with what was there when they were asked."""

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(clock)
        self.hold = False
        self._held: list[tuple[Deferred[Slice], Deferred[Slice]]] = []

    def read(self, path: str, position: int | None, limit: int) -> Deferred[Slice]:
        found = super().read(path, position, limit)
        if not self.hold:
            return found
        answer: Deferred[Slice] = Deferred()
        self._held.append((found, answer))
        return answer

    def answer_reads(self) -> int:
        """Answer the reads that wait now; how many these were."""
        held, self._held = self._held, []
        for found, answer in held:
            found.chainDeferred(answer)
        return len(held)


class BrokenReads(MemoryStorage):
    """Reads fail with an error that nobody foresaw, once ``broken`` is set."""

    broken = False

    def read(self, path: str, position: int | None, limit: int) -> Deferred[Slice]:
        if self.broken:
            raise RuntimeError("the disk has gone")
        return super().read(path, position, limit)
