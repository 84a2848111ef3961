"""One timer for all subscriptions: those that wait for nothing cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Alarms:
    """Calls ``ring`` with an id when its time has come, or earlier: who is called looks, and sets the alarm again."""

    def __init__(self, clock: IReactorTime, ring: Callable[[str], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._queue: list[tuple[float, str]] = []
        self._earliest: dict[str, float] = {}
        self._timer: IDelayedCall | None = None

    def set(self, subscription_id: str, at: float) -> None:
        """Ring for an id at a time, in seconds since 1970, or before."""
        earliest = self._earliest.get(subscription_id)
        if earliest is not None and earliest <= at:
            return
        self._earliest[subscription_id] = at
        heappush(self._queue, (at, subscription_id))
        if self._queue[0][0] == at:
            self._start_timer()

    def stop(self) -> None:
        """Ring no more."""
        self._queue.clear()
        self._earliest.clear()
        self._start_timer()

    def _start_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if self._queue:
            self._timer = self._clock.callLater(max(0.0, self._queue[0][0] - self._clock.seconds()), self._ring_due)

    def _ring_due(self) -> None:
        now = self._clock.seconds()
        due: list[str] = []
        while self._queue and self._queue[0][0] <= now:
            at, subscription_id = heappop(self._queue)
            if self._earliest.get(subscription_id) == at:
                del self._earliest[subscription_id]
                due.append(subscription_id)
        self._start_timer()
        for subscription_id in due:
            self._ring(subscription_id)
