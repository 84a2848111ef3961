"""Streams on their way from the base store into memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from durable_streams.protocol.stream import Stream
from durable_streams.storage.local.base import BaseStore
from durable_streams.storage.local.base_failure import unreadable
from durable_streams.storage.local.residents import Residents
from durable_streams.storage.local.workers import Offload

_T = TypeVar("_T")


class Arrivals:
    """Has streams looked up by the reader thread, and lets those who asked for them wait.

    ``arrived`` is told of each stream that has come. ``base_is_empty`` says that there is nothing to look up.
    """

    def __init__(
        self,
        residents: Residents,
        base: BaseStore,
        read: Offload,
        arrived: Callable[[Stream], None],
        base_is_empty: bool,
    ) -> None:
        self._residents = residents
        self._base = base
        self._read = read
        self._arrived = arrived
        self.base_is_empty = base_is_empty
        self._waiting: dict[str, list[Callable[[Failure | None], None]]] = {}
        self._to_look_up: list[str] = []

    def knows(self, path: str) -> bool:
        """Whether memory can tell what is at a path, and nobody waits for that any more."""
        return (self.base_is_empty or self._residents.knows(path)) and path not in self._waiting

    def when_resident(self, paths: tuple[str, ...], go: Callable[[], Deferred[_T]]) -> Deferred[_T]:
        """Call ``go`` when memory knows what is at the paths, in the order of the calls for each path.

        Fires with what it gives; fails with ``StorageFailed`` when the base store cannot be read.
        """
        missing = [path for path in dict.fromkeys(paths) if not self.knows(path)]
        if not missing:
            return go()
        done: Deferred[_T] = Deferred()
        release = self._residents.pin(paths)

        def resume(failure: Failure | None) -> None:
            release()
            if failure is None:
                self.when_resident(paths, go).chainDeferred(done)
            else:
                done.errback(failure)

        for path in missing:
            if path not in self._waiting:
                self._waiting[path] = []
                self._to_look_up.append(path)
        self._waiting[missing[-1]].append(resume)
        self._look_up()
        return done

    def _look_up(self) -> None:
        """Look up all that is asked for; while the thread is busy, gather what comes meanwhile."""
        if self._residents.loading or not self._to_look_up:
            return
        self._residents.loading = True
        paths, self._to_look_up = self._to_look_up, []
        found = self._read(lambda: [self._base.with_sources(path) for path in paths])
        found.addCallbacks(self._found, self._failed, callbackArgs=(paths,), errbackArgs=(paths,))

    def _found(self, chains: list[list[Stream]], paths: list[str]) -> None:
        residents = self._residents
        for path, chain in zip(paths, chains, strict=True):
            new = [stream for stream in chain if stream.stream_id not in residents.hot]
            residents.load(reversed(new))
            residents.link_sources(new)
            for stream in new:
                self._arrived(stream)
            if not chain:
                residents.absent[path] = residents.folded
        self._resume(paths, None)
        for path, chain in zip(paths, chains, strict=True):
            if not chain and residents.absent.get(path) == residents.folded:
                del residents.absent[path]
        residents.trim()

    def _failed(self, failure: Failure, paths: list[str]) -> None:
        self._resume(paths, unreadable(failure))

    def _resume(self, paths: list[str], failure: Failure | None) -> None:
        self._residents.loading = False
        waiting = [resume for path in paths for resume in self._waiting.pop(path)]
        for resume in waiting:
            resume(failure)
        self._look_up()
