"""Room in the journal, asked for before a command is decided, so that a full disk refuses and never undoes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from twisted.logger import Logger
from twisted.python.failure import Failure

from durable_streams.errors import StorageUnavailable, StreamError
from durable_streams.storage.local.committer import Committer
from durable_streams.storage.local.journal import Journal, SpareSegment
from durable_streams.storage.local.workers import Offload

_log = Logger()

OVERHEAD = 128 * 1024
"""Room for everything in a record but the body: names, header fields, framing."""
INTERNAL = 64 * 1024
RETRY_AFTER = 5
_MARGIN = OVERHEAD + INTERNAL


class Waiting(NamedTuple):
    """A command that waits for room."""

    length: int
    go: Callable[[], object]
    refuse: Callable[[Failure], None]


class Space:
    """Lets commands pass while the allocated segments can take them; the others wait in line for the next segment."""

    def __init__(self, journal: Journal, committer: Committer, offload: Offload) -> None:
        self._journal = journal
        self._committer = committer
        self._offload = offload
        self._line: deque[Waiting] = deque()
        self._allocating = False
        self.trouble: str | None = None

    def admits(self, length: int) -> bool:
        """Whether a command with a body of ``length`` bytes may be decided now."""
        return not self._line and self.fits(length)

    def admits_internal(self) -> bool:
        """Whether a small event of the storage's own fits; those have the last bytes to themselves."""
        return self._committer.waiting_bytes + INTERNAL <= self._committer.room

    def fits(self, length: int) -> bool:
        """As ``admits``, for one that has stood in line."""
        return self._committer.waiting_bytes + length + _MARGIN <= self._committer.room

    def wait(self, length: int, go: Callable[[], object], refuse: Callable[[Failure], None]) -> None:
        """Call ``go`` when there is room and all before it have passed, or ``refuse`` when there will be none."""
        self._line.append(Waiting(length, go, refuse))
        self._allocate()

    def prepare(self) -> None:
        """See to it that a spare segment is ready."""
        self.pass_on()
        if not self._journal.has_spare:
            self._allocate()

    def _allocate(self) -> None:
        """Have a spare made; one that is too small goes first, unless what is not written yet counts on it."""
        if self._allocating or (self._journal.has_spare and self._committer.is_busy):
            return
        self._allocating = True
        self._journal.drop_spare()
        self._committer.look_at_room()
        length = self._line[0].length + _MARGIN if self._line else 0
        allocated = self._offload(partial(self._journal.allocate, self._journal.number + 1, length))
        allocated.addCallbacks(self._allocated, self._no_space)

    def _allocated(self, spare: SpareSegment) -> None:
        self._allocating = False
        if self.trouble is not None:
            self.trouble = None
            _log.info("there is room for the journal again")
        self._journal.adopt_spare(spare)
        self._committer.look_at_room()
        self.pass_on()

    def pass_on(self) -> None:
        """Let those pass for whom there is room now."""
        while self._line and self.fits(self._line[0].length):
            self._line.popleft().go()
        if self._line:
            self._allocate()

    def _no_space(self, failure: Failure) -> None:
        self._allocating = False
        trouble = f"no space for the journal: {failure.getErrorMessage()}"
        if trouble != self.trouble:
            _log.error("{trouble}; writes are refused until there is, reads go on", trouble=trouble)
        self.trouble = trouble
        self.refuse(StorageUnavailable("There is no space left for the journal", RETRY_AFTER))

    def refuse(self, reason: StreamError) -> None:
        """Send away all who wait."""
        line, self._line = self._line, deque()
        for waiting in line:
            waiting.refuse(Failure(reason))
