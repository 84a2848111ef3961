"""Workers of a local storage without threads or processes, on a clock that a test holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from durable_streams.storage.local.base import BaseStore, connect
from durable_streams.storage.local.files import Files
from durable_streams.storage.local.folding import LARGE, Folding
from durable_streams.storage.local.sealed_segment import read_segment

_T = TypeVar("_T")


def fold(directory: Path, files: Files, segment: int, large: int = LARGE) -> None:
    """Fold one segment, as the checkpointer of a service that was killed may still do."""
    connection = connect(directory)
    Folding(BaseStore(connection, files), lambda number: None, print).fold(read_segment(files, segment, large))
    connection.close()


class Killed(Exception):
    """The checkpointer alone is gone, and is started again."""


class MortalConnection:
    """A connection to the base store that may be gone before it commits."""

    def __init__(self, connection: Connection, may_die: Callable[[], None]) -> None:
        self._connection = connection
        self._may_die = may_die

    def execute(self, statement: str, parameters: Any = ()) -> Any:
        if statement == "commit":
            self._may_die()
        return self._connection.execute(statement, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class ClockFolder:
    """Folds in this process: each segment some time after it was asked for, and tells some time after that.

    ``dies`` tells, each time that a real checkpointer could be killed with an effect, whether it is.
    """

    trouble: str | None = None

    def __init__(
        self,
        clock: Clock,
        directory: Path,
        files: Files,
        folded: Callable[[int], None],
        free: Callable[[int], None],
        delay: Callable[[], float],
        dies: Callable[[], bool],
        large: int,
    ) -> None:
        self._clock = clock
        self._connection = connect(directory)
        self._free = free
        self._dies = dies
        self._large = large
        self._folding = Folding(
            BaseStore(cast(Connection, MortalConnection(self._connection, self._may_die)), files), self._let_go, print
        )
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
        try:
            self._folding.fold(read_segment(self._files, segment, self._large))
            self._may_die()
        except Killed:
            self._clock.callLater(self._delay(), self._fold_next)
        else:
            self._clock.callLater(self._delay(), self._tell, segment)

    def _tell(self, segment: int) -> None:
        if self._stopped:
            return
        self.waiting.remove(segment)
        self._folded(segment)
        # The next one finds what was not done.
        with suppress(Killed):
            self._may_die()
            self._folding.free_files(segment)
            while self._folding.collect_garbage():
                self._may_die()
        if self.waiting:
            self._clock.callLater(self._delay(), self._fold_next)

    def _let_go(self, segment: int) -> None:
        self._may_die()
        self._free(segment)
        self._may_die()

    def _may_die(self) -> None:
        if self._dies():
            raise Killed

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

    def __init__(
        self,
        clock: Clock,
        files: Files,
        delay: Callable[[], float] = lambda: 0.0,
        dies: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clock = clock
        self._files = files
        self._delay = delay
        self._dies = dies
        self.large = LARGE
        self._ahead: deque[Callable[[], None]] = deque()
        self.folders: list[ClockFolder] = []

    def start(self) -> None:
        """There is nothing to start."""

    def write(self, work: Callable[[], _T], /) -> Deferred[_T]:
        done: Deferred[_T] = Deferred()

        self._clock.callLater(self._delay(), _run, work, done)
        return done

    def write_ahead(self, work: Callable[[], _T], /) -> Deferred[_T]:
        done: Deferred[_T] = Deferred()
        self._ahead.append(lambda: _run(work, done))
        # In order, whatever the delays.
        self._clock.callLater(self._delay(), lambda: self._ahead.popleft()())
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

    def folder(self, directory: Path, folded: Callable[[int], None], free: Callable[[int], None]) -> ClockFolder:
        folder = ClockFolder(self._clock, directory, self._files, folded, free, self._delay, self._dies, self.large)
        self.folders.append(folder)
        return folder

    def stop(self) -> None:
        """There is nothing to stop."""
