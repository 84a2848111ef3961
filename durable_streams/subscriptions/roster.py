"""All subscriptions in memory, and the streams that they follow; changed by events and by what streams do."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from durable_streams.protocol.globs import PatternIndex
from durable_streams.subscriptions.events import (
    DeletionsForgotten,
    Event,
    StreamLinked,
    StreamUnlinked,
    SubscriptionDefined,
    SubscriptionDeleted,
    SubscriptionProgressed,
)
from durable_streams.subscriptions.state import Definition, Link, Progress, StreamState

LARGEST_SNAPSHOT = 1000


class Member:
    """One subscription. Changed only by its roster.

    ``pending`` are the paths whose tail is beyond the cursor, in the order in which they came to be so. They could be
    computed from the links, but there may be very many of those.
    """

    __slots__ = ("definition", "links", "pending", "progress")

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.progress = Progress()
        self.links: dict[str, Link] = {}
        self.pending: dict[str, None] = {}

    @property
    def subscription_id(self) -> str:
        return self.definition.subscription_id


class Followed:
    """A stream that subscriptions are linked to, as far as it is known; without a stream, ``stream_id`` is 0."""

    __slots__ = ("members", "stream_id", "tail")

    def __init__(self) -> None:
        self.stream_id = 0
        self.tail = 0
        self.members: dict[str, Member] = {}


class Roster:
    """Subscriptions by id, by stream and by pattern.

    ``wake_streams`` tells which subscriptions write to a wake stream. ``graves`` tells of those that were
    deleted not long ago.
    """

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.followed: dict[str, Followed] = {}
        self.wake_streams: dict[str, set[str]] = {}
        self.graves: dict[str, SubscriptionDeleted] = {}
        self._patterns: PatternIndex[str] = PatternIndex()

    # --- events

    def apply(self, event: Event) -> None:
        """Change the state as the event says; events about keys do not concern the roster."""
        match event:
            case SubscriptionProgressed():
                self.members[event.subscription_id].progress = event.progress
            case StreamLinked():
                self._link(event)
            case StreamUnlinked():
                self._unlink(self.members[event.subscription_id], event.path)
            case SubscriptionDefined():
                self._define(event.definition)
            case SubscriptionDeleted():
                self._delete(event)
            case DeletionsForgotten():
                self.graves = {
                    grave.subscription_id: grave for grave in self.graves.values() if grave.at >= event.before
                }

    def _define(self, definition: Definition) -> None:
        subscription_id = definition.subscription_id
        known = self.members.get(subscription_id)
        if known is not None:
            known.definition = definition
            return
        self.members[subscription_id] = Member(definition)
        self.graves.pop(subscription_id, None)
        configuration = definition.configuration
        if configuration.pattern is not None:
            self._patterns.add(configuration.pattern, subscription_id)
        if configuration.wake_stream is not None:
            self.wake_streams.setdefault(configuration.wake_stream, set()).add(subscription_id)

    def _delete(self, event: SubscriptionDeleted) -> None:
        self.graves[event.subscription_id] = event
        member = self.members.pop(event.subscription_id, None)
        if member is None:
            return
        for path in list(member.links):
            self._unlink(member, path)
        configuration = member.definition.configuration
        if configuration.pattern is not None:
            self._patterns.discard(configuration.pattern, event.subscription_id)
        if configuration.wake_stream is not None:
            users = self.wake_streams[configuration.wake_stream]
            users.discard(event.subscription_id)
            if not users:
                del self.wake_streams[configuration.wake_stream]

    def _link(self, event: StreamLinked) -> None:
        member = self.members[event.subscription_id]
        member.links[event.path] = event.link
        followed = self.followed.get(event.path)
        if followed is None:
            followed = self.followed[event.path] = Followed()
        followed.members[event.subscription_id] = member
        self._compare(member, event.path, followed)

    def _unlink(self, member: Member, path: str) -> None:
        if member.links.pop(path, None) is None:
            return
        member.pending.pop(path, None)
        followed = self.followed[path]
        del followed.members[member.subscription_id]
        if not followed.members:
            del self.followed[path]

    # --- streams

    def stream_is(self, path: str, stream_id: int, tail: int) -> None:
        """Know the stream at a path that is followed; id 0 and tail 0 stand for no stream."""
        followed = self.followed.get(path)
        if followed is None:
            return
        followed.stream_id = stream_id
        self.tail_is(path, followed, tail)

    def tail_is(self, path: str, followed: Followed, tail: int) -> None:
        """Know where a followed stream ends."""
        followed.tail = tail
        for member in followed.members.values():
            self._compare(member, path, followed)

    def _compare(self, member: Member, path: str, followed: Followed) -> None:
        if followed.tail > member.links[path].acked:
            member.pending[path] = None
        else:
            member.pending.pop(path, None)

    # --- questions

    def matching(self, path: str) -> Collection[str]:
        """Ids of the subscriptions whose pattern takes in the stream at a path; patterns pass over wake streams."""
        return () if path in self.wake_streams else self._patterns.matching(path)

    def last_generation(self, subscription_id: str) -> int:
        """The last generation of a subscription that was deleted, as far as that is still known; else 0."""
        grave = self.graves.get(subscription_id)
        return 0 if grave is None else grave.generation

    def patterns(self) -> set[str]:
        """The patterns of all subscriptions."""
        configurations = [member.definition.configuration for member in self.members.values()]
        return {configuration.pattern for configuration in configurations if configuration.pattern is not None}

    def tail_of(self, path: str) -> int:
        """The tail of a followed stream."""
        return self.followed[path].tail

    def stream_states(self, member: Member) -> Iterator[StreamState]:
        """Every linked stream of a subscription."""
        return (StreamState(path, link, self.tail_of(path)) for path, link in member.links.items())

    def snapshot(self, member: Member) -> list[StreamState]:
        """What a wake shows: every linked stream, or when there are very many the first that have pending events."""
        if len(member.links) <= LARGEST_SNAPSHOT:
            return list(self.stream_states(member))
        paths = [path for path, _ in zip(member.pending, range(LARGEST_SNAPSHOT), strict=False)]
        return [StreamState(path, member.links[path], self.tail_of(path)) for path in paths]
