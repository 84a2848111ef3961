"""The subscriptions of a stream service (Sections 6 and 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from weakref import WeakValueDictionary

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from durable_streams.errors import StorageUnavailable
from durable_streams.protocol.paths import path_named
from durable_streams.service import StreamService
from durable_streams.subscriptions import tokens
from durable_streams.subscriptions.alarms import Alarms
from durable_streams.subscriptions.chance import Chance
from durable_streams.subscriptions.configuration import Configuration, check_id
from durable_streams.subscriptions.couriers import WakeStreamCourier, WebhookCourier
from durable_streams.subscriptions.deliveries import Deliveries
from durable_streams.subscriptions.discovery import Discovery
from durable_streams.subscriptions.events import DeletionsForgotten
from durable_streams.subscriptions.following import Following
from durable_streams.subscriptions.interfaces import ISubscriptionStore
from durable_streams.subscriptions.key_ring import KeyRing, PublicKey
from durable_streams.subscriptions.leasing import ClaimedWake, Leasing
from durable_streams.subscriptions.ledger import Ledger
from durable_streams.subscriptions.milestone import Milestone
from durable_streams.subscriptions.roster import Roster
from durable_streams.subscriptions.settings import SubscriptionSettings
from durable_streams.subscriptions.state import Definition, Report
from durable_streams.subscriptions.subscribing import CreatedSubscription, Subscribing, SubscriptionDescription
from durable_streams.subscriptions.webhook import Webhooks

GRAVE_LIFETIME = 2 * tokens.LIFETIME
"""Seconds after which the last generation of a deleted subscription is forgotten; its tokens have ended by then."""

_CARE_INTERVAL = 3600.0

_log = Logger()


class SubscriptionService(Service):
    """Keeps subscriptions and wakes their workers.

    Start it after the stream service, stop it before. Every request waits until the store is read and the streams have
    been caught up with; it is answered when its effect is durable. Cancelling stops the waiting, not what has been
    decided. Besides the errors named below, any may fail with ``StorageFailed``.
    """

    name = "durable-streams-subscriptions"  # type: ignore[assignment]  # Twisted annotates its default, None

    def __init__(
        self,
        streams: StreamService,
        store: ISubscriptionStore,
        webhooks: Webhooks,
        settings: SubscriptionSettings | None = None,
        chance: Chance | None = None,
    ) -> None:
        self.settings = settings or SubscriptionSettings()
        self._streams = streams
        self._store = store
        self._clock = clock = streams.clock
        chance = chance or Chance()
        self._roster = roster = Roster()
        self._keys = KeyRing(chance.secret)
        self._alarms = Alarms(clock, self._ring)
        self._ledger = ledger = Ledger(roster, self._keys, store, self._alarms)
        self._discovery = Discovery(streams)
        self._deliveries = Deliveries(
            roster,
            ledger,
            self._alarms,
            {
                "webhook": WebhookCourier(webhooks, self._keys, clock, self.settings),
                "pull-wake": WakeStreamCourier(streams, clock),
            },
            chance,
            clock,
        )
        self._following = Following(roster, ledger, self._deliveries, self._discovery)
        self._leasing = Leasing(roster, ledger, self._deliveries, self._keys, clock)
        self._subscribing = Subscribing(
            roster, ledger, self._deliveries, self._discovery, self._following, webhooks, clock
        )
        self._locks: WeakValueDictionary[str, DeferredLock] = WeakValueDictionary()
        self._open = Milestone()
        self._caught_up = Milestone()
        self._starting: Deferred[None] | None = None
        self._end_observing: Callable[[], None] | None = None
        self._care = LoopingCall(self._take_care)
        self._care.clock = clock

    # --- life

    def startService(self) -> None:
        """Read the store and catch up with the streams, then deliver. See ``when_open``."""
        super().startService()
        self._end_observing = self._streams.observe(self._following)
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._failed_to_start)

    async def _start(self) -> None:
        await self._streams.when_open()
        await self._ledger.open()
        self._care.start(_CARE_INTERVAL)
        self._open.reach()
        await self._following.catch_up()
        self._caught_up.reach()
        self._deliveries.start()
        _log.info("subscriptions are {durability}", durability=self._store.durability)

    def _failed_to_start(self, failure: Failure) -> None:
        if self.running:
            _log.critical("subscriptions cannot be served: {reason}", reason=failure.getErrorMessage())
        for milestone in (self._open, self._caught_up):
            if milestone.is_ahead:
                milestone.fail(failure if self.running else Failure(StorageUnavailable("The service is stopping", 1)))

    def when_open(self) -> Deferred[None]:
        """Fires once the store is read; fails with what made that impossible. May be called again."""
        return self._open.wait()

    def stopService(self) -> Deferred[None]:
        """Deliver no more, then close the store."""
        super().stopService()
        if self._end_observing is not None:
            self._end_observing()
        self._deliveries.stop()
        if self._starting is not None:
            self._starting.cancel()
        if not self._care.running:
            return succeed(None)
        self._care.stop()
        return self._store.close()

    def failure(self) -> str | None:
        """Why subscriptions are not served, or None."""
        if self._open.is_ahead:
            return "the subscriptions are not open"
        failure = self._ledger.failure or self._caught_up.failure
        return None if failure is None else f"subscriptions: {failure.getErrorMessage()}"

    def _ring(self, subscription_id: str) -> None:
        self._deliveries.ring(subscription_id)

    def _take_care(self) -> None:
        now = self._clock.seconds()
        self._ledger.record(self._keys.changes_due(now, self.settings.signing_key_lifetime))
        if any(grave.at < now - GRAVE_LIFETIME for grave in self._roster.graves.values()):
            self._ledger.record([DeletionsForgotten(now - GRAVE_LIFETIME)])

    # --- for owners

    async def create(self, subscription_id: str, configuration: Configuration, root: str) -> CreatedSubscription:
        """Create a subscription, or confirm that it is there as described (Section 6.2).

        ``root`` is the URL of the stream root, with its final slash, for the callbacks of webhooks. Raises
        ``MalformedField``, ``SubscriptionExists`` or ``WebhookUrlRejected``.
        """
        check_id(subscription_id)
        await self._caught_up.wait()
        definition = Definition(subscription_id, configuration, root, self._clock.seconds())
        lock = self._locks.setdefault(subscription_id, DeferredLock())
        return await lock.run(lambda: Deferred.fromCoroutine(self._subscribing.create(definition)))

    async def describe(self, subscription_id: str) -> SubscriptionDescription:
        """A subscription and its cursors (Section 6.3). Raises ``SubscriptionNotFound``."""
        await self._caught_up.wait()
        return await self._subscribing.describe(subscription_id)

    async def delete(self, subscription_id: str) -> None:
        """Delete a subscription, if it is there (Section 6.3)."""
        await self._caught_up.wait()
        await self._subscribing.delete(subscription_id)

    async def add_streams(self, subscription_id: str, names: Iterable[str]) -> None:
        """Link streams explicitly (Section 6.4). Raises ``SubscriptionNotFound`` or ``MalformedField``."""
        await self._caught_up.wait()
        await self._subscribing.add_streams(subscription_id, names)

    async def remove_stream(self, subscription_id: str, name: str) -> None:
        """Remove an explicit link, if it is there (Section 6.4). Raises ``SubscriptionNotFound``."""
        await self._caught_up.wait()
        await self._subscribing.remove_stream(subscription_id, path_named(name))

    # --- for workers

    async def claim(self, subscription_id: str, worker: str) -> ClaimedWake:
        """Claim the wake in flight (Section 7.2).

        Raises ``SubscriptionNotFound``, ``OtherDelivery``, ``AlreadyClaimed`` or ``NoPendingWork``.
        """
        await self._caught_up.wait()
        return await self._leasing.claim(subscription_id, worker)

    async def callback(self, subscription_id: str, token: str, report: Report) -> bool:
        """A webhook receiver's acks and sign of life; answers whether another wake follows (Section 7.1).

        Raises ``SubscriptionNotFound``, ``OtherDelivery``, ``TokenInvalid``, ``Fenced``, ``TokenExpired`` or
        ``AckRefused``.
        """
        await self._caught_up.wait()
        return await self._leasing.report(subscription_id, "webhook", token, report)

    async def ack(self, subscription_id: str, token: str, report: Report) -> bool:
        """As ``callback``, of a worker that has claimed its wake (Section 7.2)."""
        await self._caught_up.wait()
        return await self._leasing.report(subscription_id, "pull-wake", token, report)

    async def release(self, subscription_id: str, token: str, report: Report) -> None:
        """Give a claimed wake back; the report's acks do not count (Section 7.2). Raises as ``callback`` does."""
        await self._caught_up.wait()
        await self._leasing.release(subscription_id, token, report)

    # --- for receivers

    @property
    def signing_key_id(self) -> str:
        """The ``kid`` of the key that signs webhooks now."""
        return self._keys.signing_key(self._clock.seconds()).kid

    async def published_keys(self) -> list[PublicKey]:
        """The public keys with which receivers verify signatures, as JSON Web Keys (Section 6.5)."""
        await self._caught_up.wait()
        keys = self._keys.published()
        await self._ledger.settled()
        return keys

    async def rotate_signing_key(self) -> None:
        """Replace the signing key before its time.

        The new one is published at once and used ten minutes later; the old one stays published for an hour after.
        """
        await self._caught_up.wait()
        self._ledger.record(self._keys.rotation(self._clock.seconds()))
        await self._ledger.settled()
