"""Listing streams: those in memory and those in the base store, in one order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import merge
from itertools import islice

from twisted.internet.defer import Deferred

from durable_streams.errors import StreamError
from durable_streams.protocol.results import Page, StreamDescription
from durable_streams.storage.local.base import BaseStore
from durable_streams.storage.local.workers import Offload
from durable_streams.storage.path_index import PathIndex


class Listing:
    """Walks the paths of the base store and those in memory side by side, and looks at each by ``describe``."""

    def __init__(
        self,
        base: BaseStore,
        in_memory: PathIndex,
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
            hot = list(islice(self._in_memory.below(prefix, start), wanted))
            last = min((paths[-1] for paths in (cold, hot) if len(paths) == wanted), default=None)
            for path in merge(cold, hot):
                if last is not None and path > last:
                    break
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
