"""The streams that are in memory: which come, which must stay, and which may go."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from durable_streams.errors import StorageFailed
from durable_streams.protocol.events import Appended, Event, StreamCreated
from durable_streams.protocol.stream import Stream
from durable_streams.storage.listed_catalog import ListedCatalog
from durable_streams.storage.local.hot_stream import HotStream

STREAM_COST = 1024
"""Bytes that a stream's state counts for in the budget, beside what is known of its messages."""

_MOST_STUCK = 100


def access_staleness(ttl: int) -> float:
    """Seconds by which the access time on disk of a stream with a sliding window may lag behind."""
    return max(1.0, ttl / 16)


class Residents:
    """Streams in memory, with their durable view and their recent bytes.

    A stream must stay while an event of it is on its way or is not folded yet; it may stay within ``budget`` bytes. The
    base store knows every other stream, except those in ``absent``: paths whose deletion is not folded yet. While
    ``loading`` is set, rows are on their way from the base store. Then all stay, for a row may be older than what a
    stream was when it left.
    """

    def __init__(self, budget: int) -> None:
        self.catalog = ListedCatalog()
        self.hot: dict[int, HotStream] = {}
        self.absent: dict[str, int] = {}
        self.folded = 0
        self.loading = False
        self.bytes = 0
        self._budget = budget
        self._touched: OrderedDict[int, dict[int, int]] = OrderedDict()
        self._evictable: OrderedDict[int, None] = OrderedDict()

    def find(self, path: str) -> HotStream | None:
        stream = self.catalog.by_path.get(path)
        return None if stream is None else self.hot[stream.stream_id]

    def knows(self, path: str) -> bool:
        """Whether memory alone can tell what is at a path."""
        return path in self.catalog.by_path or path in self.absent

    # --- coming

    def load(self, streams: Iterable[Stream]) -> None:
        """Take in streams from the base store, sources with their forks."""
        for stream in streams:
            if stream.stream_id in self.hot:
                continue
            self.catalog.add(stream)
            self._admit(stream, stream.tail)
            self._evictable[stream.stream_id] = None
            if stream.ttl is not None:
                stream.accessed_at += access_staleness(stream.ttl)

    def _admit(self, stream: Stream, log_start: int) -> HotStream:
        hot = self.hot[stream.stream_id] = HotStream(stream, log_start)
        self.bytes += STREAM_COST
        self._count_boundaries(hot)
        return hot

    def _count_boundaries(self, hot: HotStream) -> None:
        """Count what is known of the stream's messages as it is now."""
        boundaries = hot.stream.boundaries
        if boundaries is not None:
            self.bytes += boundaries.size - hot.boundaries_size
            hot.boundaries_size = boundaries.size

    def link_sources(self, streams: Iterable[Stream]) -> None:
        """Count the forks just loaded at their sources."""
        for stream in streams:
            if stream.fork is not None:
                self.hot[stream.fork.source_id].children += 1

    # --- changing

    def apply(self, event: Event) -> list[HotStream]:
        """Apply an event; the answer lists every stream whose row in the base store it changes, removed ones first."""
        if isinstance(event, Appended):
            appended = self.hot[event.stream_id]
            self.append(appended, event)
            return [appended]
        removed = self.catalog.apply(event)
        affected = [self._remove(stream) for stream in removed]
        if isinstance(event, StreamCreated):
            affected.extend(self._create(event))
        elif (hot := self.hot.get(event.stream_id)) is not None:
            self._count_boundaries(hot)
            affected.append(hot)
        if removed and (fork := removed[-1].fork) is not None:
            affected.append(self.hot[fork.source_id])
        return affected

    def append(self, hot: HotStream, event: Appended) -> None:
        """Apply an event of that stream; what ``apply`` does with it, for who has the stream at hand."""
        hot.stream.apply_append(event)
        data = event.data
        hot.log.append(data)
        self.bytes += len(data)
        if hot.stream.boundaries is not None:
            self._count_boundaries(hot)

    def _create(self, event: StreamCreated) -> list[HotStream]:
        self.absent.pop(event.path, None)
        stream = self.catalog.by_id[event.stream_id]
        hot = self._admit(stream, stream.beginning)
        hot.log.append(event.data)
        self.bytes += len(event.data)
        if stream.fork is None:
            return [hot]
        source = self.hot[stream.fork.source_id]
        source.children += 1
        return [hot, source]

    def _remove(self, stream: Stream) -> HotStream:
        hot = self.hot.pop(stream.stream_id)
        self.bytes -= STREAM_COST + hot.boundaries_size + len(hot.log)
        self._evictable.pop(stream.stream_id, None)
        if stream.path not in self.catalog.by_path:
            self.absent[stream.path] = self.folded + 2**62
        if stream.fork is not None and stream.fork.source_id in self.hot:
            self.hot[stream.fork.source_id].children -= 1
        return hot

    def begins_at(self, hot: HotStream, earliest: int) -> None:
        """What is before ``earliest`` has been dropped durably: give back its memory, unless a fork needs it here."""
        hot.earliest = earliest = max(hot.earliest, earliest)
        lent = hot.stream.lent
        if lent is not None and lent[1] > hot.folded_tail:
            earliest = min(earliest, hot.folded_tail)
        before = len(hot.log)
        hot.log.drop_before(earliest)
        self.bytes -= before - len(hot.log)

    def committed(self, hot: HotStream, segment: int) -> None:
        """An event of a stream has become durable in a segment."""
        hot.pending -= 1
        hot.segment = segment
        touched = self._touched.get(segment)
        if touched is None:
            touched = self._touched[segment] = {}
        touched[hot.stream.stream_id] = hot.tail

    def deletion_committed(self, path: str, segment: int) -> None:
        """The deletion of what was at a path has become durable in a segment."""
        if path in self.absent:
            self.absent[path] = segment

    def replay(self, segment: int, events: Sequence[Event]) -> None:
        """Apply the events of a segment that is on disk already. Raises ``StorageFailed`` when they do not fit."""
        for event in events:
            self._check_fits(segment, event)
            for hot in self.apply(event):
                hot.tail = hot.stream.tail
                hot.closed = hot.stream.closed
                self.begins_at(hot, hot.stream.earliest)
                hot.pending += 1
                self.committed(hot, segment)
                self.deletion_committed(hot.stream.path, segment)

    def _check_fits(self, segment: int, event: Event) -> None:
        if isinstance(event, StreamCreated):
            return
        stream = self.catalog.by_id.get(event.stream_id)
        if stream is None:
            raise StorageFailed(f"journal segment {segment} has an event of stream {event.stream_id}, which is missing")
        if isinstance(event, Appended) and event.start != stream.tail:
            found = f"appends to {stream.path} at {event.start}, not at {stream.tail}"
            raise StorageFailed(f"journal segment {segment} {found}")

    # --- going

    def pin(self, paths: Iterable[str]) -> Callable[[], None]:
        """Keep in memory what is there at the paths, until the answer is called."""
        pinned = [hot for path in paths if (hot := self.find(path)) is not None]
        for hot in pinned:
            hot.pending += 1

        def release() -> None:
            for hot in pinned:
                hot.pending -= 1

        return release

    def used(self, hot: HotStream) -> None:
        """A stream was read: others go before it."""
        stream_id = hot.stream.stream_id
        if stream_id in self._evictable:
            self._evictable.move_to_end(stream_id)

    def segment_folded(self, segment: int) -> None:
        """All up to this segment is in the base store."""
        self.folded = segment
        while self._touched and next(iter(self._touched)) <= segment:
            _, touched = self._touched.popitem(last=False)
            for stream_id, tail in touched.items():
                hot = self.hot.get(stream_id)
                if hot is not None:
                    hot.folded_tail = max(hot.folded_tail, tail)
                    self._evictable[stream_id] = None
                    self._evictable.move_to_end(stream_id)
        for path in [path for path, number in self.absent.items() if number <= segment]:
            del self.absent[path]
        self.trim()

    def trim(self) -> None:
        """Let the oldest go until the budget is kept, or too many of them may not go now.

        Called for each stream that comes, so it must not look at all that are there.
        """
        if self.loading:
            return
        stuck = 0
        while self.bytes > self._budget and stuck < min(_MOST_STUCK, len(self._evictable)):
            stream_id = next(iter(self._evictable))
            if not self._evict(self.hot[stream_id]):
                stuck += 1
                self._evictable.move_to_end(stream_id)

    def _evict(self, hot: HotStream) -> bool:
        """Let a stream go, or what is folded of its bytes; False when it is to be looked at again later."""
        before = len(hot.log)
        hot.log.drop_before(hot.folded_tail)
        self.bytes -= before - len(hot.log)
        stream = hot.stream
        if hot.segment > self.folded:
            # It is looked at again when that segment has been folded.
            del self._evictable[stream.stream_id]
            return True
        if hot.pending or hot.children or self._owes_access(hot):
            return False
        del self._evictable[stream.stream_id], self.hot[stream.stream_id]
        self.bytes -= STREAM_COST + hot.boundaries_size
        self.catalog.forget(stream)
        if stream.fork is not None:
            self.hot[stream.fork.source_id].children -= 1
        return True

    @staticmethod
    def _owes_access(hot: HotStream) -> bool:
        ttl = hot.stream.ttl
        return ttl is not None and hot.stream.accessed_at > hot.journaled_access + access_staleness(ttl)
