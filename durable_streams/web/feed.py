"""Live delivery over SSE: new data is encoded once for all readers of a stream that are in step (Section 5.8)."""

from __future__ import annotations

from collections import OrderedDict
from random import randint

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from durable_streams.errors import OffsetTrimmed, StreamError
from durable_streams.protocol.content_types import Kind
from durable_streams.protocol.cursors import current_interval, next_cursor
from durable_streams.protocol.results import Slice
from durable_streams.protocol.sse import KEEP_ALIVE, control_event, data_event, trimmed_event, whole_characters
from durable_streams.service import StreamService
from durable_streams.web.request import Frame, Sink
from durable_streams.web.settings import HttpSettings

_log = Logger()
_KEEP_ALIVE = Frame(KEEP_ALIVE)


class Batch:
    """What one read gives to live readers: whole characters of text, and where they stand after it."""

    __slots__ = ("_event", "at_end", "data", "position", "up_to_date")

    def __init__(self, found: Slice) -> None:
        self.data = found.data
        if found.stream.kind is Kind.TEXT and not found.at_end:
            self.data = _whole_text(found)
        self.position = found.start + len(self.data)
        self.up_to_date = self.position == found.stream.tail
        self.at_end = found.stream.closed and self.up_to_date
        self._event = data_event(found.stream.kind, self.data, self.position) if self.data else b""

    def frame(self, cursor: int) -> Frame:
        """The data event, if there is data, and its control event."""
        return Frame(self._event + control_event(self.position, cursor, self.up_to_date, self.at_end))


def _whole_text(found: Slice) -> bytes:
    whole = found.data[: whole_characters(found.data)]
    # A page that is smaller than its character cannot wait for the rest of it: nobody would ever get on.
    return whole if whole or found.up_to_date else found.data


def _trimmed_frame(trimmed: OffsetTrimmed) -> Frame:
    return Frame(trimmed_event(trimmed.position, trimmed.earliest))


class SseReader:
    """One SSE connection: catches up from its own position, then goes in step with the others of its stream.

    A connection that cannot keep up is paused: it leaves the step, and catches up again when it has drained.
    """

    def __init__(self, feeds: Feeds, first: Slice, echoed_cursor: int | None) -> None:
        self._feeds = feeds
        self._first: Slice | None = first
        self._path = first.stream.path
        self._stream_id = first.stream.stream_id
        now = feeds.clock.seconds()
        self.cursor_floor = 0 if echoed_cursor is None else next_cursor(now, echoed_cursor, randint)
        self.position = first.start
        self.began_at = now
        self._sink: Sink | None = None
        self._paused = False
        self._ended = False
        self._feed: Feed | None = None
        self._is_reading = False

    # --- the body of a response

    def start(self, sink: Sink) -> None:
        self._sink = sink
        self.began_at = self._feeds.clock.seconds()
        self._feeds.add(self)
        self._catch_up()

    def pause(self) -> None:
        self._paused = True
        self._leave_feed()

    def resume(self) -> None:
        self._paused = False
        self._catch_up()

    def stop(self) -> None:
        self._let_go()

    # --- life

    def release(self) -> None:
        """Finish in an orderly way; the client reconnects from its last control event."""
        if not self._ended and self._sink is not None:
            self._let_go()
            self._sink.finish()

    def keep_alive(self) -> None:
        if not self._paused and self._sink is not None:
            self._sink.send(_KEEP_ALIVE)

    def _let_go(self) -> None:
        self._ended = True
        self._leave_feed()
        self._feeds.discard(self)

    def _leave_feed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.discard(self)

    # --- catching up

    def _catch_up(self) -> None:
        if self._is_reading or self._feed is not None or self._paused or self._ended or self._sink is None:
            return
        self._is_reading = True
        Deferred.fromCoroutine(self._read_to_tail()).addErrback(self._failed).addCallback(self._read_done)

    def _read_done(self, over: bool) -> None:
        self._is_reading = False
        if over:
            self.release()
        else:
            self._catch_up()

    def _failed(self, failure: Failure) -> bool:
        if isinstance(failure.value, OffsetTrimmed):
            self.tell_trimmed(_trimmed_frame(failure.value))
        elif not self._ended and not failure.check(StreamError):
            _log.failure("a live reader of {path} failed", failure=failure, path=self._path)
        return True

    async def _read_to_tail(self) -> bool:
        """Send what there is, then go in step. Whether the connection is over."""
        while not (self._paused or self._ended):
            is_first = self._first is not None
            found = self._first or await self._feeds.service.read_at(self._path, self.position)
            if found.stream.stream_id != self._stream_id:
                return True
            if self._paused or self._ended:
                break
            self._first = None
            batch = Batch(found)
            if batch.data or batch.at_end or is_first:
                self.deliver(batch.frame(self._feeds.cursor(self.cursor_floor)), batch.position)
            if batch.at_end or self._feeds.service.draining:
                return True
            if found.up_to_date and not self._paused and not self._ended:
                self.go_in_step(self._feeds.feed(self._path, self._stream_id, self.position))
                break
        return False

    def tell_trimmed(self, frame: Frame) -> None:
        """Send the last frame of a reader that has fallen behind what is retained."""
        if not self._ended and self._sink is not None:
            self._sink.send(frame)

    def deliver(self, frame: Frame, position: int) -> None:
        """Send a frame, after which the client is at ``position``."""
        self.position = position
        if self._sink is not None:
            self._sink.send(frame)

    def go_in_step(self, feed: Feed) -> None:
        """Let ``feed``, which is where this reader is, send from now on."""
        self._feed = feed
        feed.add(self)


class Feed:
    """The readers of one stream that have all been sent what is before ``position``.

    A stream may have several for a moment, when a reader arrives between a change and its delivery; they merge. The
    change of a stream is taken up at the end of the reactor turn, so that the appends of one turn are one event.
    """

    def __init__(self, feeds: Feeds, path: str, stream_id: int, position: int) -> None:
        self._feeds = feeds
        self.path = path
        self.stream_id = stream_id
        self.position = position
        self._readers: dict[SseReader, None] = {}
        self._due: IDelayedCall | None = None
        self._is_reading = False
        self._changed = False
        self._unsubscribe = feeds.service.notifier.subscribe(path, self._on_change)
        # Its first reader may have read before a change that came before this subscription.
        self._on_change()

    def add(self, reader: SseReader) -> None:
        self._readers[reader] = None

    def discard(self, reader: SseReader) -> None:
        self._readers.pop(reader, None)
        if not self._readers:
            self._close()

    def _close(self) -> None:
        self._unsubscribe()
        self._feeds.forget(self)
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _on_change(self) -> None:
        if self._is_reading:
            self._changed = True
        elif self._due is None:
            self._due = self._feeds.clock.callLater(0, self._deliver)

    def _deliver(self) -> None:
        self._due = None
        self._changed = False
        self._is_reading = True
        Deferred.fromCoroutine(self._read_to_tail()).addErrback(self._failed).addCallback(self._delivered)

    def _delivered(self, over: bool) -> None:
        self._is_reading = False
        if over:
            for reader in list(self._readers):
                reader.release()
        if not self._readers:
            return
        other = self._feeds.twin(self)
        if other is not None:
            self._merge_into(other)
        elif self._changed:
            self._on_change()

    def _merge_into(self, other: Feed) -> None:
        readers, self._readers = self._readers, {}
        for reader in readers:
            reader.go_in_step(other)
        self._close()

    def _failed(self, failure: Failure) -> bool:
        if isinstance(failure.value, OffsetTrimmed):
            frame = _trimmed_frame(failure.value)
            for reader in list(self._readers):
                reader.tell_trimmed(frame)
        elif self._readers and not failure.check(StreamError):
            _log.failure("live delivery of {path} failed", failure=failure, path=self.path)
        return True

    async def _read_to_tail(self) -> bool:
        """Send what there is. Whether the stream is over for its readers."""
        while self._readers:
            found = await self._feeds.service.read_at(self.path, self.position)
            if found.stream.stream_id != self.stream_id:
                return True
            batch = Batch(found)
            if batch.data or batch.at_end:
                self._send(batch)
            if batch.at_end:
                return True
            if found.up_to_date:
                break
        return False

    def _send(self, batch: Batch) -> None:
        """Give all readers the same bytes; only those whose cursor is ahead of time need another control event."""
        self.position = batch.position
        now = self._feeds.cursor(0)
        frames: dict[int, Frame] = {}
        for reader in list(self._readers):
            cursor = max(now, reader.cursor_floor)
            frame = frames.get(cursor)
            if frame is None:
                frame = frames[cursor] = batch.frame(cursor)
            # What is sent to one may end or pause another, on a connection that they share.
            if reader in self._readers:
                reader.deliver(frame, batch.position)


class Feeds:
    """All live SSE readers of one service, and their common clockwork: one timer for the age and the silence of all."""

    def __init__(self, service: StreamService, settings: HttpSettings) -> None:
        self.service = service
        self.clock = service.clock
        self._max_age = settings.sse_max_age
        self._keep_alive = settings.sse_keep_alive
        self._period = min(1.0, settings.sse_max_age, settings.sse_keep_alive)
        self._feeds: dict[str, list[Feed]] = {}
        self._by_age: OrderedDict[SseReader, None] = OrderedDict()
        self._next_keep_alive = 0.0
        self._next_tick: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._by_age)

    def add(self, reader: SseReader) -> None:
        self._by_age[reader] = None
        self.service.live_reads.add(reader)
        if self._next_tick is None:
            self._next_keep_alive = self.clock.seconds() + self._keep_alive
            self._next_tick = self.clock.callLater(self._period, self._tick)

    def discard(self, reader: SseReader) -> None:
        self._by_age.pop(reader, None)
        self.service.live_reads.discard(reader)
        if not self._by_age and self._next_tick is not None:
            self._next_tick.cancel()
            self._next_tick = None

    def feed(self, path: str, stream_id: int, position: int) -> Feed:
        """The feed of a stream that is at ``position``, made if there is none."""
        for feed in self._feeds.get(path, ()):
            if feed.position == position and feed.stream_id == stream_id:
                return feed
        made = Feed(self, path, stream_id, position)
        self._feeds.setdefault(path, []).append(made)
        return made

    def twin(self, feed: Feed) -> Feed | None:
        """Another feed that has come to the same position of the same stream."""
        for other in self._feeds[feed.path]:
            if other is not feed and other.position == feed.position and other.stream_id == feed.stream_id:
                return other
        return None

    def forget(self, feed: Feed) -> None:
        feeds = self._feeds[feed.path]
        feeds.remove(feed)
        if not feeds:
            del self._feeds[feed.path]

    def cursor(self, floor: int) -> int:
        """The cursor for now, which never goes below what a client has been given."""
        return max(floor, current_interval(self.clock.seconds()))

    def _tick(self) -> None:
        self._next_tick = None
        now = self.clock.seconds()
        while self._by_age:
            oldest = next(iter(self._by_age))
            if now < oldest.began_at + self._max_age:
                break
            oldest.release()
        if now >= self._next_keep_alive:
            self._next_keep_alive = now + self._keep_alive
            for reader in list(self._by_age):
                reader.keep_alive()
        # An end above may have let a client's next request begin, which has set the clock again.
        if self._by_age and self._next_tick is None:
            self._next_tick = self.clock.callLater(self._period, self._tick)
