"""Listing streams: those in memory and those in the base store, in one order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from heapq import merge

from twisted.internet.defer import Deferred

from durable_streams.errors import StreamError
from durable_streams.protocol.results import Page, StreamDescription
from durable_streams.storage.local.base import BaseStore
from durable_streams.storage.local.workers import Offload


class Listing:
    """Walks the paths of the base store and those in memory side by side, and looks at each by ``describe``."""

    def __init__(
        self,
        base: BaseStore,
        in_memory: Iterable[str],
        read: Offload,
        describe: Callable[[str], Deferred[StreamDescription]],
    ) -> None:
        self._base = base
        self._in_memory = in_memory
        self._read = read
        self._describe = describe

    async def page(self, prefix: str, after: str, limit: int) -> Page:
        """Up to ``limit`` streams whose paths begin with ``prefix``, from behind the path ``after`` on."""
        found: list[StreamDescription] = []
        while True:
            start, wanted = after, limit + 1 - len(found)
            cold = await self._read(partial(self._base.paths, prefix, start, wanted))
            last = cold[-1] if len(cold) == wanted else None
            for path in merge(cold, self._hot_paths(prefix, start, last)):
                if found and found[-1].path == path:
                    continue
                try:
                    found.append(await self._describe(path))
                except StreamError:
                    continue
                if len(found) > limit:
                    return Page(found[:limit], True)
            if last is None:
                return Page(found, False)
            after = last

    def _hot_paths(self, prefix: str, after: str, last: str | None) -> list[str]:
        paths = (path for path in self._in_memory if path > after and path.startswith(prefix))
        return sorted(path for path in paths if last is None or path <= last)
