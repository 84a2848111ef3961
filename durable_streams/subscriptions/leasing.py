"""What workers ask for with their wakes: claim, ack, release (Sections 7.1 to 7.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime

from durable_streams.subscriptions import wakes
from durable_streams.subscriptions.acknowledging import acknowledged
from durable_streams.subscriptions.configuration import DeliveryType
from durable_streams.subscriptions.deliveries import Deliveries
from durable_streams.subscriptions.errors import NoPendingWork, OtherDelivery, SubscriptionNotFound, TokenExpired
from durable_streams.subscriptions.events import Event, StreamLinked, SubscriptionProgressed
from durable_streams.subscriptions.key_ring import KeyRing
from durable_streams.subscriptions.ledger import Ledger
from durable_streams.subscriptions.roster import Member, Roster
from durable_streams.subscriptions.state import Progress, Report, StreamState
from durable_streams.subscriptions.tokens import mint_token, read_token


class ClaimedWake(NamedTuple):
    """What a worker gets: ``token`` goes with its acks; ``streams`` are as they were at the claim."""

    wake_id: str
    generation: int
    token: str
    streams: Sequence[StreamState]
    lease_ttl_ms: int


class Leasing:
    """Gives wakes away and takes their acks. Everything is decided at once, and answered when it is durable."""

    def __init__(
        self, roster: Roster, ledger: Ledger, deliveries: Deliveries, keys: KeyRing, clock: IReactorTime
    ) -> None:
        self._roster = roster
        self._ledger = ledger
        self._deliveries = deliveries
        self._keys = keys
        self._clock = clock

    async def claim(self, subscription_id: str, worker: str) -> ClaimedWake:
        """Give the wake in flight to a worker.

        Raises ``SubscriptionNotFound``, ``OtherDelivery``, ``AlreadyClaimed`` or ``NoPendingWork``.
        """
        member = self._member(subscription_id, "pull-wake")
        if member.progress.wake is None:
            if not member.pending:
                raise NoPendingWork(subscription_id)
            self._deliveries.begin(member)
        configuration = member.definition.configuration
        now = self._clock.seconds()
        progress = wakes.claim(member.progress, subscription_id, configuration, worker, now)
        self._record(member, progress)
        assert progress.wake is not None
        claimed = ClaimedWake(
            progress.wake.wake_id,
            progress.generation,
            mint_token(self._keys.token_secret, subscription_id, progress.generation, now),
            self._roster.snapshot(member),
            configuration.lease_ttl_ms,
        )
        await self._ledger.settled()
        return claimed

    async def report(self, subscription_id: str, delivery: DeliveryType, token: str, report: Report) -> bool:
        """Take acks and a sign of life, or the end of a wake; answers whether another wake follows.

        ``delivery`` is the way to which the request belongs: callbacks are for webhooks, acks for claimed wakes. Raises
        ``SubscriptionNotFound``, ``OtherDelivery``, ``TokenInvalid``, ``Fenced``, ``TokenExpired`` or ``AckRefused``.
        """
        member = self._member(subscription_id, delivery)
        self._check(member, token, report)
        moved = acknowledged(member.links, self._roster.tail_of, report.acks)
        progress = wakes.keep_alive(member.progress, member.definition.configuration, self._clock.seconds())
        if report.done:
            progress = wakes.end_wake(progress)
        acks = [StreamLinked(subscription_id, path, link) for path, link in moved.items()]
        self._record(member, progress, acks)
        self._deliveries.deliver_if_due(member)
        next_wake = report.done and bool(member.pending)
        await self._ledger.settled()
        return next_wake

    async def release(self, subscription_id: str, token: str, report: Report) -> None:
        """Take a claimed wake back without acks. Raises as ``report`` does."""
        member = self._member(subscription_id, "pull-wake")
        self._check(member, token, report)
        self._record(member, wakes.end_wake(member.progress))
        self._deliveries.deliver_if_due(member)
        await self._ledger.settled()

    def _member(self, subscription_id: str, delivery: DeliveryType) -> Member:
        """The subscription, without a lease that has run out."""
        member = self._roster.members.get(subscription_id)
        if member is None:
            raise SubscriptionNotFound(subscription_id)
        type = member.definition.configuration.type
        if type != delivery:
            raise OtherDelivery(subscription_id, type)
        self._deliveries.look_at(member)
        return member

    def _check(self, member: Member, token: str, report: Report) -> None:
        subscription_id = member.subscription_id
        claims = read_token(self._keys.token_secret, token, subscription_id)
        wakes.check_current(member.progress, subscription_id, claims.gen, report.generation, report.wake_id)
        if claims.exp <= self._clock.seconds():
            raise TokenExpired

    def _record(self, member: Member, progress: Progress, acks: Sequence[Event] = ()) -> None:
        self._ledger.record([*acks, SubscriptionProgressed(member.subscription_id, progress)])
