"""Working through one wake: read what is pending, hand it over, ack, stay alive, end (Sections 7.1 to 7.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto
from inspect import isawaitable
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from durable_streams.client.decoding import BytesDecoder, Decoder, JsonDecoder, TextDecoder
from durable_streams.client.directory import StreamDirectory
from durable_streams.client.errors import ClientError, ParseError, StreamNotFound
from durable_streams.client.handle import StreamHandle
from durable_streams.client.subscription_errors import Fenced, SubscriptionNotFound, TokenRefused
from durable_streams.client.subscription_results import PendingStream
from durable_streams.client.wake_lease import WakeLease
from durable_streams.protocol.content_types import DEFAULT, Kind, kind_of

BEATS = 3
"""Signs of life in the time of a lease."""

LOST = (Fenced, SubscriptionNotFound, TokenRefused)
"""What says that a wake is no longer this worker's."""

_log = Logger()


class Work(NamedTuple):
    """Something to do: what came in one stream, and the offset behind it, which is acked when it is done.

    ``messages`` are values of a JSON stream, pieces of ``str`` of a text stream, pieces of ``bytes`` of any other;
    never none. ``stream`` is a path relative to the stream root.
    """

    subscription_id: str
    stream: str
    messages: list[Any]
    offset: str


Handler = Callable[[Work], object]
"""Does the work; when it returns an awaitable, that is waited for. Work may come more than once."""


class HandlerFailed(Exception):
    """The handler raised; the cause is what it raised."""

    def __init__(self, work: Work) -> None:
        super().__init__(f"the work in {work.stream} up to {work.offset} was not done")
        self.work = work


class Outcome(Enum):
    """How a session has ended."""

    FINISHED = auto()
    MORE = auto()
    """Finished, and work is left."""
    STUCK = auto()
    """Work is left, and nothing of it could be done, as when half a character is all that is there."""
    LOST = auto()
    """The lease was lost: another worker has the wake, or the subscription was deleted."""
    STOPPED = auto()


class WakeSession:
    """One wake, from its lease to its end. ``run`` once."""

    def __init__(self, lease: WakeLease, directory: StreamDirectory, handler: Handler, clock: IReactorTime) -> None:
        self._lease = lease
        self._directory = directory
        self._handler = handler
        self._clock = clock
        self._unacked: dict[str, str] = {}
        self._progressed = False
        self._is_stopping = False
        self._is_leaving = False
        self._is_lost = False
        self._working: Deferred[None] | None = None
        self._sign_of_life: Deferred[None] | None = None
        self._heartbeat = LoopingCall(self._beat)
        self._heartbeat.clock = clock

    def run(self) -> Deferred[Outcome]:
        """Do all the work that the wake tells of.

        Fails with ``HandlerFailed``, or with ``ClientError`` when the server cannot be reached any more; the wake then
        comes again. Cancelled, it ends as after ``hurry``; cancelled once more, or after ``leave``, it does not wait
        for the server's word.
        """
        return Deferred.fromCoroutine(self._run())

    def stop(self) -> None:
        """Begin nothing more: end when the handler has done what it has in its hands, and give the rest back."""
        self._is_stopping = True

    def hurry(self) -> None:
        """End now: what the handler returned is cancelled."""
        self._is_stopping = True
        if self._working is not None:
            self._working.cancel()

    def leave(self) -> None:
        """Give nothing back any more: the lease ends by itself."""
        self._is_leaving = True

    # --- the life of the session

    async def _run(self) -> Outcome:
        self._heartbeat.start(self._lease.lease_ttl / BEATS, now=False)
        self._end_of_lease = self._clock.callLater(self._lease.lease_ttl, self._lose)
        try:
            return await self._finish() if await self._work_while_held() else Outcome.LOST
        except LOST:
            return Outcome.LOST
        except (HandlerFailed, ParseError):
            await self._give_back()
            raise
        finally:
            self._heartbeat.stop()
            if self._sign_of_life is not None:
                self._sign_of_life.cancel()
            if self._end_of_lease.active():
                self._end_of_lease.cancel()

    async def _work_while_held(self) -> bool:
        """Work until all is done or ``hurry`` says to end; fires with whether the lease was held until then."""
        self._working = Deferred.fromCoroutine(self._work())
        try:
            await self._working
        except CancelledError:
            self._is_stopping = True
            return not self._is_lost
        return True

    async def _finish(self) -> Outcome:
        if self._is_stopping:
            await self._give_back()
            return Outcome.STOPPED
        if not await self._lease.done(self._unacked):
            return Outcome.FINISHED
        return Outcome.MORE if self._progressed else Outcome.STUCK

    async def _give_back(self) -> None:
        if self._is_leaving:
            return
        try:
            await self._lease.give_back(self._unacked)
        except ClientError as error:
            # It ends by itself then, with its lease.
            _log.info("a wake could not be given back: {reason}", reason=str(error))

    # --- the lease

    async def _beat(self) -> None:
        self._sign_of_life = Deferred.fromCoroutine(self._ack({}))
        try:
            await self._sign_of_life
        except CancelledError:
            return
        except LOST:
            self._lose()
        except ClientError as error:
            _log.info("a sign of life was lost: {reason}", reason=str(error))

    async def _ack(self, acks: dict[str, str]) -> None:
        await self._lease.ack(acks)
        if self._end_of_lease.active():
            self._end_of_lease.reset(self._lease.lease_ttl)

    def _lose(self) -> None:
        """Somebody else may be at work now: what this handler does is in vain."""
        self._is_lost = True
        if self._working is not None:
            self._working.cancel()

    # --- the work

    async def _work(self) -> None:
        for stream in self._lease.streams:
            if stream.has_pending and not self._is_stopping:
                await self._ack_what_was_done()
                await self._work_through(stream)

    async def _work_through(self, stream: PendingStream) -> None:
        handle = self._directory.stream(stream.path)
        try:
            decoder, offset = await self._beginning(handle, stream)
            async for batch in handle.read_with(decoder, offset):
                for work in self._works(decoder, batch.data, stream.path, batch.offset):
                    await self._do(work)
                if batch.offset > stream.acked_offset:
                    self._unacked[stream.path] = batch.offset
                    self._progressed = True
                if self._is_stopping:
                    return
                if not batch.up_to_date:
                    await self._ack_what_was_done()
        except SubscriptionNotFound:
            raise
        except StreamNotFound:
            # Deleted since: the subscription is about to lose it too.
            self._unacked.pop(stream.path, None)

    async def _beginning(self, handle: StreamHandle, stream: PendingStream) -> tuple[Decoder[Any], str]:
        """How to read, and from where: behind the cursor, or where the stream begins when that was dropped."""
        described = await handle.head()
        earliest = described.headers.get("stream-earliest-offset", "")
        kind = kind_of(described.content_type or DEFAULT)
        return _decoder_for(kind), max(stream.acked_offset, earliest)

    def _works(self, decoder: Decoder[Any], data: Any, path: str, offset: str) -> Iterator[Work]:
        messages = list(decoder.items(data))
        if messages:
            yield Work(self._lease.subscription_id, path, messages, offset)

    async def _do(self, work: Work) -> None:
        try:
            result = self._handler(work)
            if isawaitable(result):
                await result
        except Exception as error:
            if isinstance(error, CancelledError) and self._is_cancelled:
                raise
            raise HandlerFailed(work) from error

    @property
    def _is_cancelled(self) -> bool:
        """Whether the session has cancelled what it works at; a handler may also cancel something of its own."""
        return self._working is not None and self._working.called

    async def _ack_what_was_done(self) -> None:
        if self._unacked:
            await self._ack(self._unacked)
            self._unacked.clear()


def _decoder_for(kind: Kind) -> Decoder[Any]:
    if kind is Kind.JSON:
        return JsonDecoder(Any)
    return TextDecoder() if kind is Kind.TEXT else BytesDecoder()
