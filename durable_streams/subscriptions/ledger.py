"""Where events take effect: at once in memory, then in the store."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from durable_streams.subscriptions.alarms import Alarms
from durable_streams.subscriptions.events import Event, KeyAdded, KeyDropped, SubscriptionProgressed
from durable_streams.subscriptions.interfaces import ISubscriptionStore
from durable_streams.subscriptions.key_ring import KeyRing
from durable_streams.subscriptions.roster import Roster
from durable_streams.subscriptions.wakes import next_event_at

_log = Logger()


class Ledger:
    """Applies events and has them kept.

    What is decided next stands on all that was recorded; but nobody outside may see an effect before ``settled``.
    """

    def __init__(self, roster: Roster, keys: KeyRing, store: ISubscriptionStore, alarms: Alarms) -> None:
        self._roster = roster
        self._keys = keys
        self._store = store
        self._alarms = alarms
        self.failure: Failure | None = None

    async def open(self) -> None:
        """Make the state from what the store kept."""
        for event in await self._store.open():
            self._apply(event)

    def record(self, events: Iterable[Event]) -> None:
        """Let events take effect, all of them or none when the process ends meanwhile."""
        lasting = list(events)
        for event in lasting:
            self._apply(event)
        if lasting:
            self._store.save(lasting).addErrback(self._failed)

    def settled(self) -> Deferred[None]:
        """Fires when all that was recorded before is durable. Fails with ``StorageFailed``."""
        if self.failure is not None:
            return fail(self.failure)
        return self._store.save(())

    def _apply(self, event: Event) -> None:
        if isinstance(event, KeyAdded | KeyDropped):
            self._keys.apply(event)
            return
        self._roster.apply(event)
        if isinstance(event, SubscriptionProgressed):
            at = next_event_at(event.progress)
            if at is not None:
                self._alarms.set(event.subscription_id, at)

    def _failed(self, failure: Failure) -> None:
        if self.failure is None:
            _log.critical(
                "subscriptions cannot be kept: {reason}; nothing more is delivered, streams go on. Restart the service "
                "when the disk is sound again.",
                reason=failure.getErrorMessage(),
            )
        self.failure = failure
        self._alarms.stop()
