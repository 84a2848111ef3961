"""Bringing wakes to workers, and taking them back when their time is over (Section 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from durable_streams.errors import StorageFailed
from durable_streams.subscriptions import wakes
from durable_streams.subscriptions.acknowledging import acknowledged_snapshot
from durable_streams.subscriptions.alarms import Alarms
from durable_streams.subscriptions.chance import Chance
from durable_streams.subscriptions.configuration import DeliveryType
from durable_streams.subscriptions.couriers import Courier
from durable_streams.subscriptions.events import Event, StreamLinked, SubscriptionProgressed
from durable_streams.subscriptions.ledger import Ledger
from durable_streams.subscriptions.roster import Member, Roster
from durable_streams.subscriptions.state import Progress, StreamState
from durable_streams.subscriptions.webhook import Answer

_log = Logger()


class Deliveries:
    """Attempts to deliver wakes, each in three steps: the attempt is kept, it is made, its outcome is kept."""

    def __init__(
        self,
        roster: Roster,
        ledger: Ledger,
        alarms: Alarms,
        couriers: Mapping[DeliveryType, Courier],
        chance: Chance,
        clock: IReactorTime,
    ) -> None:
        self._roster = roster
        self._ledger = ledger
        self._alarms = alarms
        self._couriers = couriers
        self._chance = chance
        self._clock = clock
        self._running = False
        self._waiting: set[str] = set()
        self._attempts: set[Deferred[None]] = set()

    def start(self) -> None:
        """Deliver from now on, beginning with what the last process has left.

        A wake that no worker has taken is written once more: its event may have been read just before the end.
        """
        self._running = True
        for member in list(self._roster.members.values()):
            if wakes.outcome_is_unknown(member.progress) or wakes.nobody_has(member.progress):
                self._record(member, wakes.retry_now(member.progress, self._clock.seconds()))
            self.look_at(member)

    def stop(self) -> None:
        """Deliver no more; what is under way is begun again by the next process."""
        self._running = False
        self._alarms.stop()
        for attempt in list(self._attempts):
            attempt.cancel()

    # --- deciding

    def ring(self, subscription_id: str) -> None:
        """Time alone may have changed something."""
        member = self._roster.members.get(subscription_id)
        if member is not None and self._running:
            self.look_at(member)

    def look_at(self, member: Member) -> None:
        """End what is over, then deliver what is due."""
        now = self._clock.seconds()
        progress = member.progress
        if wakes.lease_has_expired(progress, now):
            progress = wakes.expire_lease(progress, now, self._chance.jitter())
        if not member.pending:
            progress = wakes.without_pending(progress, now)
        self._record(member, progress)
        self.deliver_if_due(member)
        following = wakes.next_event_at(member.progress)
        if following is not None and following > now:
            self._alarms.set(member.subscription_id, following)

    def deliver_if_due(self, member: Member) -> None:
        """Begin an attempt when there is pending work and nothing in its way."""
        subscription_id = member.subscription_id
        if subscription_id in self._waiting or not self._is_due(member):
            return
        courier = self._couriers[member.definition.configuration.type]
        self._waiting.add(subscription_id)
        attempt = courier.when_free(
            member.definition, lambda: Deferred.fromCoroutine(self._attempt(subscription_id, courier))
        )
        self._attempts.add(attempt)
        attempt.addBoth(self._ended, attempt)

    def deliver_again(self, member: Member) -> None:
        """Repeat a wake that no worker has taken, for the wake stream is a new one."""
        if self._running and wakes.nobody_has(member.progress):
            self._record(member, wakes.retry_now(member.progress, self._clock.seconds()))
            self.deliver_if_due(member)

    def _is_due(self, member: Member) -> bool:
        if not self._running or not member.pending or self._ledger.failure is not None:
            return False
        return wakes.attempt_is_due(member.progress, self._clock.seconds())

    # --- one attempt

    async def _attempt(self, subscription_id: str, courier: Courier) -> None:
        self._waiting.discard(subscription_id)
        member = self._roster.members.get(subscription_id)
        if member is None or not self._is_due(member):
            return
        wake_id = self.begin(member)
        await self._ledger.settled()
        if not self._is_in_flight(member, wake_id):
            return
        snapshot = self._roster.snapshot(member)
        try:
            answer = await courier.carry(member.definition, member.progress, snapshot)
        except Exception:  # a receiver can make anything happen
            self._failed(member, wake_id, Failure())
        else:
            self._succeeded(member, wake_id, snapshot, answer)

    def begin(self, member: Member) -> str:
        """Record an attempt to deliver pending work; the answer is the wake's id."""
        progress = wakes.begin_attempt(
            member.progress,
            member.definition.configuration,
            self._chance.wake_id(),
            next(iter(member.pending)),
            self._clock.seconds(),
        )
        self._record(member, progress)
        assert progress.wake is not None
        return progress.wake.wake_id

    def _is_in_flight(self, member: Member, wake_id: str) -> bool:
        wake = member.progress.wake
        is_known = self._roster.members.get(member.subscription_id) is member
        return is_known and self._running and wake is not None and wake.wake_id == wake_id

    def _succeeded(self, member: Member, wake_id: str, snapshot: Sequence[StreamState], answer: Answer) -> None:
        if not self._is_in_flight(member, wake_id):
            return
        progress = wakes.delivery_succeeded(member.progress)
        if answer is not Answer.DONE:
            self._record(member, progress)
            return
        links = acknowledged_snapshot(member.links, snapshot)
        acks = [StreamLinked(member.subscription_id, path, link) for path, link in links.items()]
        self._record(member, wakes.end_wake(progress), acks)
        self.deliver_if_due(member)

    def _failed(self, member: Member, wake_id: str, failure: Failure) -> None:
        if not self._is_in_flight(member, wake_id):
            return
        now = self._clock.seconds()
        progress = wakes.delivery_failed(member.progress, now, self._chance.jitter())
        self._record(member, progress)
        if progress.next_attempt_at is not None:
            _log.warn(
                "a wake of subscription {subscription_id} could not be delivered ({reason}); next attempt in "
                "{seconds:.1f} s",
                subscription_id=member.subscription_id,
                reason=failure.getErrorMessage() or failure.type.__name__,
                seconds=progress.next_attempt_at - now,
            )

    def _record(self, member: Member, progress: Progress, acks: Sequence[Event] = ()) -> None:
        if progress != member.progress:
            acks = [*acks, SubscriptionProgressed(member.subscription_id, progress)]
        self._ledger.record(acks)

    def _ended(self, outcome: Failure | None, attempt: Deferred[None]) -> None:
        self._attempts.discard(attempt)
        if isinstance(outcome, Failure) and not outcome.check(CancelledError, StorageFailed):
            _log.failure("a wake could not be delivered", outcome)
