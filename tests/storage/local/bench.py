"""A local storage on a simulated disk and a clock, for tests that tell what happens step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from durable_streams.protocol.commands import Append
from durable_streams.storage.local.directory import DataDirectory
from durable_streams.storage.local.files import OsFiles
from durable_streams.storage.local.settings import LocalSettings
from durable_streams.storage.local.storage import LocalStorage
from tests.storage.local.lossy_files import LossyFiles
from tests.storage.local.simulated_workers import ClockWorkers

_T = TypeVar("_T")

SEGMENT = 600_000


class SlowWorkers(ClockWorkers):
    """Reads see the base store at once and tell it ``read_delay`` seconds later; folding takes ``fold_delay``, telling
    it as long again; a segment is allocated ``allocate_delay`` seconds after it was asked for.
    """

    def __init__(self, clock: Clock, files: Any) -> None:
        super().__init__(clock, files, lambda: self.fold_delay)
        self.fold_delay = 0.0
        self.read_delay = 0.0
        self.allocate_delay = 0.0

    def read(self, work: Callable[[], _T], /) -> Deferred[_T]:
        return self._told_after(self.read_delay, super().read(work))

    def allocate(self, work: Callable[[], _T], /) -> Deferred[_T]:
        return self._told_after(self.allocate_delay, super().read(work))

    def _told_after(self, seconds: float, found: Deferred[_T]) -> Deferred[_T]:
        if not seconds:
            return found
        later: Deferred[_T] = Deferred()
        self._clock.callLater(seconds, found.chainDeferred, later)
        return later


class Bench:
    """A local storage on a simulated disk, with a clock."""

    def __init__(self, directory: Path, files: Any = None, now: float = 1_700_000_000, **settings: Any) -> None:
        self.clock = Clock()
        self.clock.advance(now)
        self.files = files or LossyFiles()
        self.workers = SlowWorkers(self.clock, self.files)
        options = LocalSettings(**{"segment_bytes": SEGMENT, "inline_seconds": 1e9, **settings})
        self.storage = LocalStorage(directory, self.clock, self.workers, options, lambda _: self.files)

    def outcome(self, answer: Deferred[Any]) -> Any:
        outcomes: list[Any] = []
        answer.addBoth(outcomes.append)
        for _ in range(20):
            self.clock.advance(0.01)
        assert outcomes, "no answer"
        if isinstance(outcomes[0], Failure):
            outcomes[0].raiseException()
        return outcomes[0]

    def open(self) -> str:
        found: str = self.outcome(self.storage.open())
        return found

    def close(self) -> None:
        self.outcome(self.storage.close())

    def end(self) -> None:
        """The process is gone, as by a kill: what it has written is in the page cache, nothing more happens."""
        for call in list(self.clock.getDelayedCalls()):
            call.cancel()
        for folder in self.workers.folders:
            folder.stop()
        self.storage._base.connection.close()
        self.storage._directory.close()

    def append(self, data: bytes = b"x", path: str = "s") -> Any:
        return self.outcome(self.storage.append(Append(path, data)))

    def fill(self, written: bytearray, path: str = "s") -> None:
        """Append until that is refused."""
        for _ in range(400):
            self.append(b"y" * 50_000, path)
            written += b"y" * 50_000

    def roll(self, path: str = "filler") -> None:
        """Append to a stream until the journal has begun another segment."""
        before = self.storage._journal.number
        while self.storage._journal.number == before:
            self.append(b"z" * 50_000, path)

    def content(self, path: str = "s") -> bytes:
        """All bytes of a stream, however many slices they come in."""
        data = b""
        while True:
            found = self.outcome(self.storage.read(path, len(data), 10**8))
            data += found.data
            if not found.data or found.up_to_date:
                return data


def on_disk(directory: Path, **settings: Any) -> Bench:
    """A local storage on the real disk, open."""
    marked = DataDirectory(directory)
    marked.open()
    marked.close()
    bench = Bench(directory, OsFiles(directory / "journal"), **settings)
    bench.open()
    return bench
