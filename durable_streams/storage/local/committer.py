"""Group commit: what was decided in one turn of the reactor becomes durable by one write and one sync."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Protocol

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from durable_streams.measures import Durations
from durable_streams.storage.local.journal import Batch, Journal, Write
from durable_streams.storage.local.segment import RECORD_LENGTH, Payload
from durable_streams.storage.local.settings import LocalSettings

_WEIGHT = 0.1
_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)

RunInThread = Callable[[Write], Deferred[None]]
"""Runs a function in a thread of its own kind; the Deferred fires on the reactor when it has returned or raised."""


class Entry(Protocol):
    """Something that waits for a commit."""

    def committed(self, segment: int) -> None:
        """It is durable, in the numbered segment (or it never was more than a wish to wait)."""

    def refused(self, failure: Failure) -> None:
        """The journal has failed; whether it is durable will show after a restart."""


class Commit(Struct):
    """A batch on its way, the bytes of its records, and who waits for it.

    ``ahead`` fires when its records are written, if that is done before its turn; ``failure`` is what that ran into.
    """

    batch: Batch
    length: int
    entries: list[Entry]
    ahead: Deferred[None] | None = None
    failure: Failure | None = None


class Committer:
    """Collects records and commits them in batches, one after the other.

    While the disk answers fast a batch is synced at once, on the reactor; else by the writer thread, and what comes
    meanwhile waits for the next batch. Much is not left to wait: while a batch is synced, another thread writes the
    records of the next one as they come, and its header, which makes them count, when it is its turn.

    ``failure`` is set by the first write or sync that fails; from then on nothing is written any more, because nobody
    can know what a failed sync has left on the disk. ``after_batch`` is called after every good batch, and once for the
    failure. ``segment`` is the one of the last durable batch. ``room`` is what ``Journal.room`` was when that last
    changed.
    """

    def __init__(
        self,
        journal: Journal,
        clock: IReactorTime,
        write: RunInThread,
        write_ahead: RunInThread,
        delay: Callable[[], float],
        after_batch: Callable[[], None],
        settings: LocalSettings,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._write = write
        self._write_ahead = write_ahead
        self._delay = delay
        self._after_batch = after_batch
        self._inline_seconds = settings.inline_seconds
        self._large_batch = settings.large_batch
        self._payloads: list[Payload] = []
        self._entries: list[Entry] = []
        self._scheduled = False
        self._writing = False
        self._next: Commit | None = None
        self._sync_seconds = 0.0
        self.segment = journal.number
        self.room = journal.room
        self.waiting_bytes = 0
        self.committed_bytes = 0
        self.timing = Durations(_BOUNDS)
        self.failure: Failure | None = None

    @property
    def is_busy(self) -> bool:
        """Whether anything has been submitted that is not durable yet."""
        return bool(self._entries) or self._writing

    def submit(self, payload: Payload, entry: Entry) -> None:
        """Make an encoded event durable, then tell ``entry``."""
        self._payloads.append(payload)
        self.waiting_bytes += len(payload) + RECORD_LENGTH
        self.wait(entry)

    def wait(self, entry: Entry) -> None:
        """Tell ``entry`` when all that was submitted before is durable."""
        self._entries.append(entry)
        if not self._scheduled and self._may_begin:
            self._schedule()

    @property
    def _may_begin(self) -> bool:
        """Whether what waits may become a batch, or a part of the next one, now."""
        if not self._writing:
            return True
        following, length = self._next, self.waiting_bytes
        return length >= self._large_batch and (following is None or self._journal.can_grow(following.batch, length))

    def look_at_room(self) -> None:
        """The journal has got another spare segment, or none."""
        self.room = self._journal.room

    def _schedule(self) -> None:
        self._scheduled = True
        self._clock.callLater(self._delay(), self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if not self._may_begin:
            return
        entries, self._entries = self._entries, []
        payloads, self._payloads = self._payloads, []
        length, self.waiting_bytes = self.waiting_bytes, 0
        if self.failure is not None:
            self._refuse(entries, self.failure)
        elif not payloads:
            self._tell(entries)
        elif self._next is not None:
            self._grow(self._next, payloads, length, entries)
        else:
            commit = Commit(self._journal.place(payloads, length), length, entries)
            self.look_at_room()
            self._commit(commit)

    def _grow(self, commit: Commit, payloads: list[Payload], length: int, entries: list[Entry]) -> None:
        write = self._journal.grow(commit.batch, payloads, length)
        self.look_at_room()
        commit.length += length
        commit.entries += entries
        self._begin_ahead(commit, write)

    def _begin_ahead(self, commit: Commit, write: Write) -> None:
        # One thread writes them in order: the last one to end is the last one that was begun.
        commit.ahead = self._write_ahead(write).addErrback(self._failed_ahead, commit)

    def _failed_ahead(self, failure: Failure, commit: Commit) -> None:
        commit.failure = commit.failure or failure

    def _commit(self, commit: Commit) -> None:
        if self._writing:
            self._next = commit
            self._begin_ahead(commit, commit.batch.write_ahead)
        elif self._sync_seconds < self._inline_seconds and commit.length < self._large_batch:
            self._commit_inline(commit)
        else:
            self._writing = True
            self._ends(commit, self._write(lambda: self._timed(commit.batch.write, commit.length)))

    def _commit_inline(self, commit: Commit) -> None:
        try:
            self._timed(commit.batch.write, commit.length)
        except Exception:
            self._failed(Failure(), commit)
            return
        self._acknowledge(commit)

    def _complete(self, commit: Commit) -> None:
        """It is the turn of a batch that has been written ahead, or is being written."""
        assert commit.ahead is not None
        complete = partial(self._timed, commit.batch.complete, commit.length)
        self._ends(commit, commit.ahead.addCallback(lambda _: commit.failure or self._write(complete)))

    def _ends(self, commit: Commit, done: Deferred[None]) -> None:
        done.addCallbacks(lambda _: self._written(commit), self._failed, errbackArgs=(commit,))

    def _timed(self, write: Write, length: int) -> None:
        began = perf_counter()
        write()
        took = perf_counter() - began
        self._sync_seconds += _WEIGHT * (took - self._sync_seconds)
        self.timing.add(took)
        self.committed_bytes += length

    def _written(self, commit: Commit) -> None:
        following, self._next = self._next, None
        if following is not None:
            self._complete(following)
        else:
            self._writing = False
        self._acknowledge(commit)
        self._go_on()

    def _acknowledge(self, commit: Commit) -> None:
        self.segment = commit.batch.segment
        self._tell(commit.entries)
        if self.failure is None:
            self._after_batch()

    def _go_on(self) -> None:
        if self._entries and not self._scheduled and self._may_begin:
            self._schedule()

    def _tell(self, entries: list[Entry]) -> None:
        segment = self.segment
        for entry in entries:
            entry.committed(segment)

    def _failed(self, failure: Failure, commit: Commit) -> None:
        following, self._next = self._next, None
        self._writing = False
        self.failure = failure
        self._refuse(commit.entries, failure)
        if following is not None:
            self._refuse(following.entries, failure)
        self._after_batch()
        self._go_on()

    def _refuse(self, entries: list[Entry], failure: Failure) -> None:
        for entry in entries:
            entry.refused(failure)
