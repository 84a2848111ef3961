"""Something that happens once, for which many may wait."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure


class Milestone:
    """Ahead, then reached or failed for good."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[None]] = []
        self._reached = False
        self.failure: Failure | None = None

    @property
    def is_ahead(self) -> bool:
        return not self._reached and self.failure is None

    def wait(self) -> Deferred[None]:
        """Fires when it is reached, fails when it cannot be. May be cancelled."""
        if self.failure is not None:
            return fail(self.failure)
        if self._reached:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def reach(self) -> None:
        """It has happened."""
        self._reached = True
        for waiting in self._take():
            waiting.callback(None)

    def fail(self, failure: Failure) -> None:
        """It will never happen."""
        self.failure = failure
        for waiting in self._take():
            waiting.errback(failure)

    def _take(self) -> list[Deferred[None]]:
        waiting, self._waiting = self._waiting, []
        return waiting
