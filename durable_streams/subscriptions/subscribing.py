"""What the owners of subscriptions ask for: create, read, delete, add and remove streams (Sections 6.2 to 6.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime

from durable_streams.protocol.results import StreamDescription
from durable_streams.subscriptions import membership
from durable_streams.subscriptions.configuration import (
    Configuration,
    check_wakes_not_itself,
    explicit_streams,
)
from durable_streams.subscriptions.deliveries import Deliveries
from durable_streams.subscriptions.discovery import Discovery, matcher
from durable_streams.subscriptions.errors import SubscriptionExists, SubscriptionNotFound
from durable_streams.subscriptions.events import (
    Event,
    StreamLinked,
    SubscriptionDefined,
    SubscriptionDeleted,
    SubscriptionProgressed,
)
from durable_streams.subscriptions.following import Following
from durable_streams.subscriptions.ledger import Ledger
from durable_streams.subscriptions.membership import NOTHING, Found
from durable_streams.subscriptions.roster import Member, Roster
from durable_streams.subscriptions.state import Definition, Link, Progress
from durable_streams.subscriptions.watch import Watch
from durable_streams.subscriptions.webhook import Webhooks


class SubscriptionDescription(NamedTuple):
    """A subscription as its owner sees it; ``links`` by path."""

    definition: Definition
    progress: Progress
    links: Mapping[str, Link]


class CreatedSubscription(NamedTuple):
    """A subscription as it is now, and whether this request made it."""

    subscription: SubscriptionDescription
    created: bool


class Subscribing:
    """Makes and unmakes subscriptions and their links."""

    def __init__(
        self,
        roster: Roster,
        ledger: Ledger,
        deliveries: Deliveries,
        discovery: Discovery,
        following: Following,
        webhooks: Webhooks,
        clock: IReactorTime,
    ) -> None:
        self._roster = roster
        self._ledger = ledger
        self._deliveries = deliveries
        self._discovery = discovery
        self._following = following
        self._webhooks = webhooks
        self._clock = clock

    async def create(self, definition: Definition) -> CreatedSubscription:
        """Create a subscription, or confirm that it is there with the same configuration (Section 6.2).

        Raises ``SubscriptionExists`` or ``WebhookUrlRejected``. Not to be called twice at a time for one id.
        """
        member = self._roster.members.get(definition.subscription_id)
        if member is not None:
            return await self._confirm(member, definition)
        configuration = definition.configuration
        if configuration.webhook_url is not None:
            await self._webhooks.check(configuration.webhook_url)
        with self._discovery.watching() as watch:
            answers = await self._discovery.matching(configuration.pattern)
            answers |= await self._discovery.look_up(configuration.streams)
            member = self._found(definition, watch, answers)
        self._deliveries.deliver_if_due(member)
        await self._ledger.settled()
        return CreatedSubscription(_description(member), True)

    async def _confirm(self, member: Member, definition: Definition) -> CreatedSubscription:
        known = member.definition
        if known.configuration.hash != definition.configuration.hash:
            raise SubscriptionExists(definition.subscription_id)
        if known.root != definition.root:
            moved = Definition(known.subscription_id, known.configuration, definition.root, known.created_at)
            self._ledger.record([SubscriptionDefined(moved)])
        await self._ledger.settled()
        return CreatedSubscription(_description(member), False)

    def _found(self, definition: Definition, watch: Watch, answers: Mapping[str, StreamDescription]) -> Member:
        """Record a new subscription with all its links in one, so that a crash cannot leave some of them out."""
        configuration = definition.configuration
        matched = self._matched(configuration, watch, answers)
        named = {path: watch.current(path, answers.get(path)) for path in configuration.streams}
        self._ledger.record(self._founding(definition, membership.first_links(configuration, matched, named)))
        for path, found in {**matched, **named}.items():
            self._roster.stream_is(path, found.stream_id, found.tail)
        return self._roster.members[definition.subscription_id]

    def _matched(
        self, configuration: Configuration, watch: Watch, answers: Mapping[str, StreamDescription]
    ) -> dict[str, Found]:
        if configuration.pattern is None:
            return {}
        matches = matcher(configuration.pattern)
        passed_over = {configuration.wake_stream, *self._roster.wake_streams}
        paths = [path for path in {**answers, **watch.created} if path not in passed_over and matches(path)]
        found = {path: watch.current(path, answers.get(path)) for path in paths}
        return {path: stream for path, stream in found.items() if stream is not NOTHING}

    def _founding(self, definition: Definition, links: Mapping[str, Link]) -> Iterator[Event]:
        subscription_id = definition.subscription_id
        wake_stream = definition.configuration.wake_stream
        if wake_stream is not None:
            yield from membership.became_wake_stream(self._roster, wake_stream)
        yield SubscriptionDefined(definition)
        yield SubscriptionProgressed(subscription_id, Progress(self._roster.last_generation(subscription_id)))
        for path, link in links.items():
            yield StreamLinked(subscription_id, path, link)

    async def describe(self, subscription_id: str) -> SubscriptionDescription:
        """A subscription as it is now. Raises ``SubscriptionNotFound``."""
        description = _description(self._member(subscription_id))
        await self._ledger.settled()
        return description

    async def delete(self, subscription_id: str) -> None:
        """Delete a subscription, if it is there; no token of it is worth anything from now on."""
        member = self._roster.members.get(subscription_id)
        if member is not None:
            event = SubscriptionDeleted(subscription_id, member.progress.generation, self._clock.seconds())
            self._ledger.record([event])
            wake_stream = member.definition.configuration.wake_stream
            if wake_stream is not None and wake_stream not in self._roster.wake_streams:
                await self._admit_again(wake_stream)
        await self._ledger.settled()

    async def _admit_again(self, path: str) -> None:
        """Patterns match a stream again that is no wake stream any more; what was written to it is history."""
        with self._discovery.watching() as watch:
            answers = await self._discovery.look_up((path,))
            found = watch.current(path, answers.get(path))
        if found is not NOTHING:
            self._following.stream_is_there(path, found)

    async def add_streams(self, subscription_id: str, names: Iterable[str]) -> None:
        """Link streams explicitly, at their tails where they are not linked yet (Section 6.4).

        Raises ``SubscriptionNotFound`` or ``MalformedField``.
        """
        member = self._member(subscription_id)
        paths = explicit_streams(names)
        check_wakes_not_itself(member.definition.configuration, paths)
        with self._discovery.watching() as watch:
            answers = await self._discovery.look_up(paths)
            member = self._member(subscription_id)
            named = {path: watch.current(path, answers.get(path)) for path in paths}
        self._ledger.record(membership.streams_named(member, named))
        for path, found in named.items():
            self._roster.stream_is(path, found.stream_id, found.tail)
        await self._ledger.settled()

    async def remove_stream(self, subscription_id: str, path: str) -> None:
        """Remove an explicit link, if it is there (Section 6.4). Raises ``SubscriptionNotFound``."""
        member = self._member(subscription_id)
        self._ledger.record(membership.stream_unnamed(member, path))
        self._deliveries.look_at(member)
        await self._ledger.settled()

    def _member(self, subscription_id: str) -> Member:
        member = self._roster.members.get(subscription_id)
        if member is None:
            raise SubscriptionNotFound(subscription_id)
        return member


def _description(member: Member) -> SubscriptionDescription:
    return SubscriptionDescription(member.definition, member.progress, dict(member.links))
