"""What is decided but not durable yet, and the answers that must not come before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from durable_streams.errors import StreamError
from durable_streams.storage.local.committer import Committer
from durable_streams.storage.local.entries import Barrier
from durable_streams.storage.local.residents import Residents

_T = TypeVar("_T")


class Unsettled:
    """Holds back what rests on an event that is still on its way: a crash would make a lie of it.

    ``paths`` counts the events that decide which stream there is at a path; nobody looks at it before they are durable.
    """

    def __init__(self, residents: Residents, committer: Committer) -> None:
        self._residents = residents
        self._committer = committer
        self.paths: dict[str, int] = {}

    def begin(self, paths: Iterable[str]) -> None:
        """An event that decides what is at these paths is on its way."""
        for path in paths:
            self.paths[path] = self.paths.get(path, 0) + 1

    def end(self, path: str) -> None:
        """One such event has become durable."""
        left = self.paths[path] - 1
        if left:
            self.paths[path] = left
        else:
            del self.paths[path]

    def answer(self, path: str, outcome: Callable[[], _T]) -> Deferred[_T]:
        """Answer when the state at the path, on which the answer rests, is durable."""
        if not self._is_on_its_way(path):
            return succeed(outcome())
        return self.settled().addCallback(lambda _: outcome())

    def refuse(self, refusal: StreamError, *paths: str) -> Deferred[Any]:
        """Refuse, but not before the state at the paths, on which the refusal rests, is durable."""
        if not any(self._is_on_its_way(path) for path in paths):
            return fail(refusal)
        return self.settled().addCallback(lambda _: Failure(refusal))

    def settled(self) -> Deferred[None]:
        """Fires when all that is on its way now is durable; fails with ``StorageFailed`` when the journal does."""
        done: Deferred[None] = Deferred()
        self._committer.wait(Barrier(done))
        return done

    def _is_on_its_way(self, path: str) -> bool:
        if path in self.paths:
            return True
        hot = self._residents.find(path)
        return hot is not None and hot.pending > 0
