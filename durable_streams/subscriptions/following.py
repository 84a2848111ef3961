"""What streams do, as subscriptions see it: the observer of a stream service, and its catching up after a start."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from durable_streams.interfaces import IStreamObserver
from durable_streams.protocol.commands import Create
from durable_streams.protocol.content_types import Kind
from durable_streams.protocol.globs import literal_prefix
from durable_streams.protocol.json_messages import stored_form
from durable_streams.protocol.results import AppendResult, StreamDescription
from durable_streams.subscriptions import membership
from durable_streams.subscriptions.deliveries import Deliveries
from durable_streams.subscriptions.discovery import Discovery, listings
from durable_streams.subscriptions.ledger import Ledger
from durable_streams.subscriptions.membership import Found
from durable_streams.subscriptions.roster import Roster

_log = Logger()


@implementer(IStreamObserver)
class Following:
    """Keeps links and tails in step with the streams.

    An append to a stream that nobody is linked to costs one look into a dictionary: streams are matched with patterns
    when they are created, and when subscriptions are.
    """

    def __init__(self, roster: Roster, ledger: Ledger, deliveries: Deliveries, discovery: Discovery) -> None:
        self._roster = roster
        self._ledger = ledger
        self._deliveries = deliveries
        self._discovery = discovery

    # --- IStreamObserver

    def stream_created(self, command: Create, stream: StreamDescription) -> None:
        if not (self._roster.members or self._discovery.is_under_way):
            return
        path, found = stream.path, Found(stream.stream_id, _beginning_of(command, stream), stream.tail)
        self._discovery.stream_created(path, found)
        self.stream_is_there(path, found)
        for subscription_id in self._roster.wake_streams.get(path, ()):
            self._deliveries.deliver_again(self._roster.members[subscription_id])

    def stream_appended(self, path: str, result: AppendResult) -> None:
        if self._discovery.is_under_way:
            self._discovery.stream_appended(path, result.tail)
        followed = self._roster.followed.get(path)
        if followed is None:
            return
        self._roster.tail_is(path, followed, result.tail)
        for member in list(followed.members.values()):
            self._deliveries.deliver_if_due(member)

    def stream_deleted(self, path: str) -> None:
        self._discovery.stream_removed(path)
        followed = self._roster.followed.get(path)
        if followed is None:
            return
        members = list(followed.members.values())
        self._ledger.record(membership.stream_vanished(self._roster, path))
        self._roster.stream_is(path, 0, 0)
        for member in members:
            self._deliveries.look_at(member)

    def stream_expired(self, path: str) -> None:
        if path in self._roster.followed or self._discovery.is_under_way:
            Deferred.fromCoroutine(self._look_for_expired(path)).addErrback(
                lambda failure: _log.failure("an expired stream could not be looked up", failure)
            )

    async def _look_for_expired(self, path: str) -> None:
        if await self._discovery.find(path) is None:
            self.stream_deleted(path)

    # --- for new links, and after a start

    def stream_is_there(self, path: str, found: Found) -> None:
        """Link the stream at a path to whom it concerns, from its cursor on where it is new."""
        self._ledger.record(membership.stream_appeared(self._roster, path, found))
        self._roster.stream_is(path, found.stream_id, found.tail)
        followed = self._roster.followed.get(path)
        for member in list(followed.members.values()) if followed is not None else ():
            self._deliveries.deliver_if_due(member)

    async def catch_up(self) -> None:
        """Find out what happened to streams while nobody followed, or between their change and a crash.

        A stream that matches and was never linked is new, so its link begins at its beginning.
        """
        seen: set[str] = set()
        with self._discovery.watching() as watch:
            for prefix in listings(literal_prefix(pattern) for pattern in self._roster.patterns()):
                async for stream in self._discovery.listed(prefix):
                    seen.add(stream.path)
                    if not watch.touched(stream.path):
                        self.stream_is_there(stream.path, watch.current(stream.path, stream)._replace(cursor=0))
            for path in [path for path in self._roster.followed if path not in seen]:
                answer = await self._discovery.find(path)
                if watch.touched(path):
                    continue
                if answer is None:
                    self.stream_deleted(path)
                else:
                    self.stream_is_there(path, watch.current(path, answer)._replace(cursor=0))


def _beginning_of(command: Create, stream: StreamDescription) -> int:
    """The position of the first byte of its own."""
    if command.fork is None:
        return 0
    is_json = stream.kind is Kind.JSON and command.body
    return stream.tail - len(stored_form(command.body) if is_json else command.body)
