"""Subscriptions in memory, for streams in memory."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from durable_streams.subscriptions.events import Event
from durable_streams.subscriptions.interfaces import ISubscriptionStore


@implementer(ISubscriptionStore)
class MemorySubscriptionStore:
    """Keeps nothing: the service has it all in memory anyway, and its streams end with the process too."""

    durability = "in memory only: nothing survives the end of the process"

    def open(self) -> Deferred[Sequence[Event]]:
        return succeed(())

    def save(self, events: Sequence[Event]) -> Deferred[None]:
        return succeed(None)

    def close(self) -> Deferred[None]:
        return succeed(None)
