"""Group commit: what was decided in one turn of the reactor becomes durable by one write and one sync."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from durable_streams.measures import Durations
from durable_streams.storage.local.journal import Journal, Write
from durable_streams.storage.local.segment import RECORD_LENGTH

INLINE_BYTES = 512 * 1024
_WEIGHT = 0.1
_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)

RunInThread = Callable[[Write], Deferred[None]]
"""Runs a function in the one writer thread; the Deferred fires on the reactor when it has returned or raised."""


class Entry(Protocol):
    """Something that waits for a commit."""

    def committed(self, segment: int) -> None:
        """It is durable, in the numbered segment (or it never was more than a wish to wait)."""

    def refused(self, failure: Failure) -> None:
        """The journal has failed; whether it is durable will show after a restart."""


class Committer:
    """Collects records and commits them in batches, one batch at a time.

    While the disk answers fast a batch is synced at once, on the reactor; else by the writer thread, and what comes
    meanwhile waits for the next batch. ``failure`` is set by the first write or sync that fails; from then on nothing
    is written any more, because nobody can know what a failed sync has left on the disk. ``after_batch`` is called
    after every batch, good or bad. ``room`` is what ``Journal.room`` was when that last changed.
    """

    def __init__(
        self,
        journal: Journal,
        clock: IReactorTime,
        run_in_thread: RunInThread,
        delay: Callable[[], float],
        after_batch: Callable[[], None],
        inline_seconds: float,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._run_in_thread = run_in_thread
        self._delay = delay
        self._after_batch = after_batch
        self._inline_seconds = inline_seconds
        self._payloads: list[bytes] = []
        self._entries: list[Entry] = []
        self._scheduled = False
        self._writing = False
        self._sync_seconds = 0.0
        self.room = journal.room
        self.waiting_bytes = 0
        self.committed_bytes = 0
        self.timing = Durations(_BOUNDS)
        self.failure: Failure | None = None

    @property
    def is_busy(self) -> bool:
        """Whether anything has been submitted that is not durable yet."""
        return bool(self._entries) or self._writing

    def submit(self, payload: bytes, entry: Entry) -> None:
        """Make an encoded event durable, then tell ``entry``."""
        self._payloads.append(payload)
        self.waiting_bytes += len(payload) + RECORD_LENGTH
        self.wait(entry)

    def wait(self, entry: Entry) -> None:
        """Tell ``entry`` when all that was submitted before is durable."""
        self._entries.append(entry)
        if not self._scheduled and not self._writing:
            self._schedule()

    def look_at_room(self) -> None:
        """The journal has got another spare segment, or none."""
        self.room = self._journal.room

    def _schedule(self) -> None:
        self._scheduled = True
        self._clock.callLater(self._delay(), self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        entries, self._entries = self._entries, []
        payloads, self._payloads = self._payloads, []
        length, self.waiting_bytes = self.waiting_bytes, 0
        if self.failure is not None:
            self._refuse(entries, self.failure)
        elif not payloads:
            self._tell(entries)
        else:
            try:
                write = self._journal.place(payloads, length)
            except Exception:
                self._failed(Failure(), entries)
            else:
                self.look_at_room()
                self._commit(write, length, entries)

    def _commit(self, write: Write, length: int, entries: list[Entry]) -> None:
        if self._sync_seconds < self._inline_seconds and length < INLINE_BYTES:
            try:
                self._timed(write, length)
            except Exception:
                self._failed(Failure(), entries)
            else:
                self._tell(entries)
                self._after_batch()
            return
        self._writing = True
        done = self._run_in_thread(lambda: self._timed(write, length))
        done.addCallbacks(lambda _: self._written(entries), self._failed, errbackArgs=(entries,))

    def _timed(self, write: Write, length: int) -> None:
        began = perf_counter()
        write()
        took = perf_counter() - began
        self._sync_seconds += _WEIGHT * (took - self._sync_seconds)
        self.timing.add(took)
        self.committed_bytes += length

    def _written(self, entries: list[Entry]) -> None:
        self._writing = False
        self._tell(entries)
        self._after_batch()
        self._go_on()

    def _go_on(self) -> None:
        if self._entries and not self._scheduled:
            self._schedule()

    def _tell(self, entries: list[Entry]) -> None:
        segment = self._journal.number
        for entry in entries:
            entry.committed(segment)

    def _failed(self, failure: Failure, entries: list[Entry]) -> None:
        self._writing = False
        self.failure = failure
        self._refuse(entries, failure)
        self._after_batch()
        self._go_on()

    def _refuse(self, entries: list[Entry], failure: Failure) -> None:
        for entry in entries:
            entry.refused(failure)
