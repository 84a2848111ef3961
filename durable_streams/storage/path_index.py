"""The paths of the streams in memory, in order."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sortedcontainers import SortedList

_SLACK = 1000


class PathIndex:
    """Sorts in what is new when somebody asks, so that creating a stream costs nothing for it.

    ``living`` are the paths that there are; those that have gone are passed over until they are many.
    """

    def __init__(self, living: Collection[str]) -> None:
        self._living = living
        self._sorted: SortedList[str] = SortedList()
        self._new: list[str] = []

    def __len__(self) -> int:
        """How many paths it keeps, the gone ones included."""
        return len(self._sorted) + len(self._new)

    def add(self, path: str) -> None:
        """A stream has come to ``path``; there may have been one before."""
        self._new.append(path)
        if len(self._new) > 2 * len(self._living) + _SLACK:
            self._forget_the_gone()

    def below(self, prefix: str, after: str) -> Iterator[str]:
        """The living paths that begin with ``prefix``, from behind ``after`` on. For use before anything changes."""
        self._sort_in()
        behind_all_before = after >= prefix
        previous = None
        for path in self._sorted.irange(max(after, prefix), inclusive=(not behind_all_before, True)):
            if not path.startswith(prefix):
                return
            if path != previous and path in self._living:
                yield path
            previous = path

    def _sort_in(self) -> None:
        if len(self) > 2 * len(self._living) + _SLACK:
            self._forget_the_gone()
        self._sorted.update(self._new)
        self._new = []

    def _forget_the_gone(self) -> None:
        self._sorted.clear()
        self._new = list(self._living)
