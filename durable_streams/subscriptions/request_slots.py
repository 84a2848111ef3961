"""How many requests may be under way at a time, in all and to one host."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakValueDictionary

from twisted.internet.defer import Deferred, DeferredSemaphore


class RequestSlots:
    """Runs work when there is room for it, in the order of the calls for each host."""

    def __init__(self, most: int, most_per_host: int) -> None:
        self._all = DeferredSemaphore(most)
        self._most_per_host = most_per_host
        self._hosts: WeakValueDictionary[str, DeferredSemaphore] = WeakValueDictionary()

    def run(self, host: str, work: Callable[[], Deferred[None]]) -> Deferred[None]:
        """Do the work, at once or later; the Deferred fires with its outcome and may be cancelled."""
        slots = self._hosts.get(host)
        if slots is None:
            slots = self._hosts[host] = DeferredSemaphore(self._most_per_host)
        return slots.run(self._all.run, work)
