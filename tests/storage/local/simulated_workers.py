"""Workers of a local storage without threads or processes, on a clock that a test holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from durable_streams.storage.local.base import BaseStore, connect
from durable_streams.storage.local.files import Files
from durable_streams.storage.local.folding import Folding
from durable_streams.storage.local.journal import read_segment

_T = TypeVar("_T")


def fold(directory: Path, files: Files, segment: int) -> None:
    """Fold one segment, as the checkpointer of a service that was killed may still do."""
    connection = connect(directory)
    Folding(BaseStore(connection)).fold(segment, list(read_segment(files, segment)))
    connection.close()


class ClockFolder:
    """Folds in this process: each segment some time after it was asked for, and tells some time after that."""

    trouble: str | None = None

    def __init__(
        self, clock: Clock, directory: Path, files: Files, folded: Callable[[int], None], delay: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._connection = connect(directory)
        self._folding = Folding(BaseStore(self._connection))
        self._files = files
        self._folded = folded
        self._delay = delay
        self.waiting: list[int] = []
        self._stopped = False

    def fold(self, segment: int) -> None:
        self.waiting.append(segment)
        if len(self.waiting) == 1:
            self._clock.callLater(self._delay(), self._fold_next)

    def _fold_next(self) -> None:
        if self._stopped:
            return
        segment = self.waiting[0]
        self._folding.fold(segment, list(read_segment(self._files, segment)))
        while self._folding.collect_garbage():
            pass
        self._clock.callLater(self._delay(), self._tell, segment)

    def _tell(self, segment: int) -> None:
        if self._stopped:
            return
        self.waiting.remove(segment)
        self._folded(segment)
        if self.waiting:
            self._clock.callLater(self._delay(), self._fold_next)

    def stop(self) -> Deferred[None]:
        self._stopped = True
        self._connection.close()
        return succeed(None)


def _run(work: Callable[[], _T], done: Deferred[_T]) -> None:
    """Fire ``done`` with what ``work`` gives; a simulated crash passes through."""
    try:
        result = work()
    except Exception:
        done.errback()
    else:
        done.callback(result)


class ClockWorkers:
    """Reads at once; allocates as time passes; writes after ``delay()``; folds by a ``ClockFolder``."""

    def __init__(self, clock: Clock, files: Files, delay: Callable[[], float] = lambda: 0.0) -> None:
        self._clock = clock
        self._files = files
        self._delay = delay
        self.folders: list[ClockFolder] = []

    def start(self) -> None:
        """There is nothing to start."""

    def write(self, work: Callable[[], _T], /) -> Deferred[_T]:
        done: Deferred[_T] = Deferred()

        self._clock.callLater(self._delay(), _run, work, done)
        return done

    def read(self, work: Callable[[], _T], /) -> Deferred[_T]:
        done: Deferred[_T] = Deferred()
        _run(work, done)
        return done

    def allocate(self, work: Callable[[], _T], /) -> Deferred[_T]:
        done: Deferred[_T] = Deferred()
        # Not at once: who asks may be called by a Deferred, which would keep a simulated crash to itself.
        self._clock.callLater(0, _run, work, done)
        return done

    def folder(self, directory: Path, folded: Callable[[int], None]) -> ClockFolder:
        folder = ClockFolder(self._clock, directory, self._files, folded, self._delay)
        self.folders.append(folder)
        return folder

    def stop(self) -> None:
        """There is nothing to stop."""
