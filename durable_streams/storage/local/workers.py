"""Who does the storage's blocking work: threads that write, read and allocate, and the checkpointer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from durable_streams.storage.local.checkpoints import CheckpointProcess

_T = TypeVar("_T")


class Offload(Protocol):
    """Runs a function elsewhere, one at a time and in order; the Deferred fires on the reactor with its outcome."""

    def __call__(self, work: Callable[[], _T], /) -> Deferred[_T]: ...


class Folder(Protocol):
    """Folds sealed segments into the base store."""

    trouble: str | None

    def fold(self, segment: int) -> None:
        """Fold a segment after those asked for before, and say so."""

    def stop(self) -> Deferred[None]:
        """Fold no more."""


class Workers(Protocol):
    """What a local storage has others do, from ``start`` to ``stop``."""

    def start(self) -> None: ...

    def write(self, work: Callable[[], _T], /) -> Deferred[_T]: ...

    def write_ahead(self, work: Callable[[], _T], /) -> Deferred[_T]: ...

    def read(self, work: Callable[[], _T], /) -> Deferred[_T]: ...

    def allocate(self, work: Callable[[], _T], /) -> Deferred[_T]: ...

    def folder(self, directory: Path, folded: Callable[[int], None], free: Callable[[int], None]) -> Folder:
        """What folds; it calls ``folded`` for each segment that is in the base store, and ``free`` when the file of one
        may go.
        """

    def stop(self) -> None: ...


class RealWorkers:
    """Four threads and a process. Segments are allocated by a thread that no cold read can keep waiting."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        names = ("writer", "writer-ahead", "reader", "allocator")
        self._pools = [ThreadPool(0, 1, f"durable-streams-{name}") for name in names]
        self._writer, self._ahead, self._reader, self._allocator = self._pools

    def start(self) -> None:
        for pool in self._pools:
            pool.start()

    def write(self, work: Callable[[], _T], /) -> Deferred[_T]:
        return deferToThreadPool(self._reactor, self._writer, work)

    def write_ahead(self, work: Callable[[], _T], /) -> Deferred[_T]:
        return deferToThreadPool(self._reactor, self._ahead, work)

    def read(self, work: Callable[[], _T], /) -> Deferred[_T]:
        return deferToThreadPool(self._reactor, self._reader, work)

    def allocate(self, work: Callable[[], _T], /) -> Deferred[_T]:
        return deferToThreadPool(self._reactor, self._allocator, work)

    def folder(self, directory: Path, folded: Callable[[int], None], free: Callable[[int], None]) -> Folder:
        reactor = self._reactor
        return CheckpointProcess(directory, cast(IReactorProcess, reactor), cast(IReactorTime, reactor), folded, free)

    def stop(self) -> None:
        for pool in self._pools:
            pool.stop()
