"""Finding out which streams there are, and keeping up with what becomes of them meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager

from twisted.internet.task import deferLater

from durable_streams.errors import StreamGone, StreamNotFound
from durable_streams.protocol.globs import PatternIndex, literal_prefix
from durable_streams.protocol.results import StreamDescription
from durable_streams.service import StreamService
from durable_streams.subscriptions.membership import Found
from durable_streams.subscriptions.watch import Watch

_PAGE = 5000
_MOST_LISTINGS = 20


class Discovery:
    """Looks streams up in a service. It must be told of every change of a stream, for an answer may be older."""

    def __init__(self, streams: StreamService) -> None:
        self._streams = streams
        self._watches: set[Watch] = set()

    # --- being told

    @property
    def is_under_way(self) -> bool:
        return bool(self._watches)

    def stream_created(self, path: str, found: Found) -> None:
        for watch in self._watches:
            watch.stream_created(path, found)

    def stream_appended(self, path: str, tail: int) -> None:
        for watch in self._watches:
            watch.stream_appended(path, tail)

    def stream_removed(self, path: str) -> None:
        for watch in self._watches:
            watch.stream_removed(path)

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        """Note what happens to streams until the end of the block."""
        watch = Watch()
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    # --- looking up

    async def find(self, path: str) -> StreamDescription | None:
        """The stream at a path, if there is one."""
        try:
            return await self._streams.describe_at(path)
        except (StreamNotFound, StreamGone):
            return None

    async def listed(self, prefix: str) -> AsyncIterator[StreamDescription]:
        """Every stream whose path begins with ``prefix``, in the order of paths; other work goes on between pages."""
        after = ""
        while True:
            page = await self._streams.list_streams(prefix, after, _PAGE)
            for stream in page.streams:
                yield stream
            if not page.more:
                return
            after = page.streams[-1].path
            await deferLater(self._streams.clock, 0)

    async def look_up(self, paths: Iterable[str]) -> dict[str, StreamDescription]:
        """The streams that are there at some of the paths."""
        found = {}
        for path in paths:
            stream = await self.find(path)
            if stream is not None:
                found[path] = stream
        return found

    async def matching(self, pattern: str | None) -> dict[str, StreamDescription]:
        """The streams that a pattern matches; none without a pattern."""
        if pattern is None:
            return {}
        matches = matcher(pattern)
        return {stream.path: stream async for stream in self.listed(literal_prefix(pattern)) if matches(stream.path)}


def matcher(pattern: str) -> Callable[[str], bool]:
    """Tells whether a path matches the pattern."""
    index: PatternIndex[None] = PatternIndex()
    index.add(pattern, None)
    return lambda path: bool(index.matching(path))


def listings(prefixes: Iterable[str]) -> list[str]:
    """Prefixes that cover all of these, none beginning with another one, so that nothing is listed twice.

    A listing looks at every stream in memory, so instead of very many there is one of everything.
    """
    kept: list[str] = []
    for prefix in sorted(set(prefixes)):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return kept if len(kept) <= _MOST_LISTINGS else [""]
