"""Live delivery over SSE: new data is encoded once for all readers of a stream that are in step (Section 5.8)."""

from __future__ import annotations

from collections import OrderedDict
from random import randint

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from durable_streams.errors import StreamError
from durable_streams.protocol.content_types import Kind
from durable_streams.protocol.cursors import current_interval, next_cursor
from durable_streams.protocol.results import Slice
from durable_streams.protocol.sse import KEEP_ALIVE, control_event, data_event, whole_characters
from durable_streams.service import StreamService
from durable_streams.web.request import Frame, Sink
from durable_streams.web.settings import HttpSettings

_log = Logger()
_KEEP_ALIVE = Frame(KEEP_ALIVE)


class Batch:
    """What one read gives to live readers: whole characters of text, and where they stand after it."""

    __slots__ = ("at_end", "data", "kind", "position", "up_to_date")

    def __init__(self, found: Slice) -> None:
        self.kind = found.stream.kind
        self.data = found.data
        if self.kind is Kind.TEXT and not found.at_end:
            self.data = found.data[: whole_characters(found.data)]
        self.position = found.start + len(self.data)
        self.up_to_date = self.position == found.stream.tail
        self.at_end = found.stream.closed and self.up_to_date

    def frame(self, cursor: int) -> Frame:
        """The data event, if there is data, and its control event."""
        control = control_event(self.position, cursor, self.up_to_date, self.at_end)
        return Frame(data_event(self.kind, self.data) + control if self.data else control)


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
        self.sink: Sink | None = None
        self._paused = False
        self._ended = False
        self._feed: Feed | None = None
        self._reading: Deferred[None] | None = None

    # --- the body of a response

    def start(self, sink: Sink) -> None:
        self.sink = sink
        self._feeds.add(self)
        self._catch_up()

    def pause(self) -> None:
        self._paused = True
        self._leave_feed()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._catch_up()

    def stop(self) -> None:
        self._release()

    # --- life

    def end(self) -> None:
        """Finish in an orderly way; the client reconnects from its last control event."""
        if not self._ended and self.sink is not None:
            self._release()
            self.sink.finish()

    def keep_alive(self) -> None:
        if not self._paused and self.sink is not None:
            self.sink.send(_KEEP_ALIVE)

    def _release(self) -> None:
        self._ended = True
        self._leave_feed()
        self._feeds.discard(self)
        if self._reading is not None:
            self._reading.cancel()

    def _leave_feed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            self.position = feed.position
            feed.discard(self)

    # --- catching up

    def _catch_up(self) -> None:
        if self._reading is None and not self._ended:
            self._reading = Deferred.fromCoroutine(self._read_to_tail())
            self._reading.addErrback(self._failed).addBoth(self._read_done)

    def _read_done(self, _: None) -> None:
        self._reading = None
        if self._feed is None and not self._paused:
            self._catch_up()

    def _failed(self, failure: Failure) -> None:
        if self._ended:
            return
        if not failure.check(StreamError):
            _log.failure("a live reader of {path} failed", failure=failure, path=self._path)
        self.end()

    async def _read_to_tail(self) -> None:
        while not self._paused and not self._ended:
            found = self._first or await self._feeds.service.read_at(self._path, self.position)
            is_first, self._first = self._first is not None, None
            if found.stream.stream_id != self._stream_id:
                return self.end()
            batch = Batch(found)
            if batch.data or batch.at_end or is_first:
                self._send(batch)
            if batch.at_end:
                return self.end()
            if self._ended or self._paused:
                return None
            self.position = batch.position
            if found.up_to_date:
                return self.go_in_step(self._feeds.feed(self._path, self._stream_id, self.position))
        return None

    def _send(self, batch: Batch) -> None:
        self.position = batch.position
        if self.sink is not None:
            self.sink.send(batch.frame(self._feeds.cursor(self.cursor_floor)))

    def go_in_step(self, feed: Feed) -> None:
        """Let ``feed``, which is where this reader is, send from now on."""
        self._feed = feed
        feed.add(self)


class Feed:
    """The readers of one stream that have all sent up to ``position``.

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
        self._reading: Deferred[None] | None = None
        self._changed = False
        self._unsubscribe = feeds.service.notifier.subscribe(path, self._on_change)

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
        if self._reading is not None:
            self._reading.cancel()

    def _on_change(self) -> None:
        if self._reading is not None:
            self._changed = True
        elif self._due is None:
            self._due = self._feeds.clock.callLater(0, self._deliver)

    def _deliver(self) -> None:
        self._due = None
        self._reading = Deferred.fromCoroutine(self._read_to_tail())
        self._reading.addErrback(self._failed).addBoth(self._delivered)

    def _delivered(self, _: None) -> None:
        self._reading = None
        if not self._readers:
            return
        other = self._feeds.twin(self)
        if other is not None:
            return self._merge_into(other)
        if self._changed:
            self._changed = False
            self._on_change()

    def _merge_into(self, other: Feed) -> None:
        readers, self._readers = self._readers, {}
        for reader in readers:
            reader.go_in_step(other)
        self._close()

    def _failed(self, failure: Failure) -> None:
        if not self._readers:
            return
        if not failure.check(StreamError):
            _log.failure("live delivery of {path} failed", failure=failure, path=self.path)
        self._end_all()

    def _end_all(self) -> None:
        for reader in list(self._readers):
            reader.end()

    async def _read_to_tail(self) -> None:
        while self._readers:
            found = await self._feeds.service.read_at(self.path, self.position)
            if found.stream.stream_id != self.stream_id:
                return self._end_all()
            batch = Batch(found)
            if batch.data or batch.at_end:
                self._send(batch)
            if batch.at_end:
                return self._end_all()
            if found.up_to_date:
                return None
        return None

    def _send(self, batch: Batch) -> None:
        """Give all readers the same bytes; only one whose cursor is ahead of time needs a control event of its own."""
        self.position = batch.position
        cursor = self._feeds.cursor(0)
        frame = batch.frame(cursor)
        for reader in list(self._readers):
            if reader.sink is not None and reader in self._readers:
                ahead = reader.cursor_floor > cursor
                reader.sink.send(batch.frame(reader.cursor_floor) if ahead else frame)


class Feeds:
    """All live SSE readers of one service, and their common clockwork: one timer for the age and the silence of all."""

    def __init__(self, service: StreamService, settings: HttpSettings) -> None:
        self.service = service
        self.clock = service.clock
        self._max_age = settings.sse_max_age
        self._keep_alive = settings.sse_keep_alive
        self._feeds: dict[str, list[Feed]] = {}
        self._by_age: OrderedDict[SseReader, None] = OrderedDict()
        self._next_keep_alive = 0.0
        self._clockwork = LoopingCall(self._tick)
        self._clockwork.clock = service.clock

    def __len__(self) -> int:
        return len(self._by_age)

    def add(self, reader: SseReader) -> None:
        self._by_age[reader] = None
        if not self._clockwork.running:
            self._next_keep_alive = self.clock.seconds() + self._keep_alive
            self._clockwork.start(min(1.0, self._max_age, self._keep_alive), now=False)

    def discard(self, reader: SseReader) -> None:
        self._by_age.pop(reader, None)
        if not self._by_age and self._clockwork.running:
            self._clockwork.stop()

    def feed(self, path: str, stream_id: int, position: int) -> Feed:
        """The feed of a stream that is at ``position``, made if there is none."""
        found = self._find(path, stream_id, position)
        if found is None:
            found = Feed(self, path, stream_id, position)
            self._feeds.setdefault(path, []).append(found)
        return found

    def twin(self, feed: Feed) -> Feed | None:
        """Another feed that has come to the same position of the same stream."""
        found = self._find(feed.path, feed.stream_id, feed.position)
        return None if found is feed else found

    def _find(self, path: str, stream_id: int, position: int) -> Feed | None:
        for feed in self._feeds.get(path, ()):
            if feed.position == position and feed.stream_id == stream_id:
                return feed
        return None

    def forget(self, feed: Feed) -> None:
        feeds = self._feeds[feed.path]
        feeds.remove(feed)
        if not feeds:
            del self._feeds[feed.path]

    def cursor(self, floor: int) -> int:
        """The cursor for now, which never goes below what a client has been given."""
        return max(floor, current_interval(self.clock.seconds()))

    def end_all(self) -> None:
        """Finish every connection in an orderly way."""
        for reader in list(self._by_age):
            reader.end()

    def _tick(self) -> None:
        now = self.clock.seconds()
        while self._by_age:
            oldest = next(iter(self._by_age))
            if now < oldest.began_at + self._max_age:
                break
            oldest.end()
        if now >= self._next_keep_alive:
            self._next_keep_alive = now + self._keep_alive
            for reader in list(self._by_age):
                reader.keep_alive()
