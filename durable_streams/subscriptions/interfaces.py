"""The seams of subscriptions: where they are kept, and how a wake reaches a worker."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from durable_streams.subscriptions.events import Event


class ISubscriptionStore(Interface):
    """Keeps what events have made of subscriptions and keys."""

    durability: str = Attribute("One short sentence for people: what survives what.")

    def open() -> Deferred[Sequence[Event]]:
        """Make ready. Called once, before any other member.

        Fires with events that make the kept state anew, a definition before its progress and its links. Fails with
        ``StorageFailed`` when it cannot be read.
        """

    def save(events: Sequence[Event]) -> Deferred[None]:
        """Keep the effect of events, all or none of them, after those of earlier calls.

        Fires when it is as durable as ``durability`` says; an empty sequence waits for the earlier calls. Fails with
        ``StorageFailed``, and so does every later call.
        """

    def close() -> Deferred[None]:
        """Finish what was accepted and release everything. Called once, after the last ``save``."""
