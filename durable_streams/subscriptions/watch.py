"""What streams do while they are being looked up, because the answer may be older than that."""

from __future__ import annotations

from durable_streams.protocol.results import StreamDescription
from durable_streams.subscriptions.membership import NOTHING, Found


class Watch:
    """Notes changes of streams from its beginning on; ``current`` brings an answer that was given since up to date."""

    def __init__(self) -> None:
        self.created: dict[str, Found] = {}
        self._removed: set[str] = set()
        self._tails: dict[str, int] = {}

    def stream_created(self, path: str, found: Found) -> None:
        self.created[path] = found
        self._removed.discard(path)
        self._tails.pop(path, None)

    def stream_appended(self, path: str, tail: int) -> None:
        self._tails[path] = tail

    def stream_removed(self, path: str) -> None:
        self.created.pop(path, None)
        self._tails.pop(path, None)
        self._removed.add(path)

    def touched(self, path: str) -> bool:
        """Whether the stream at a path was created or removed, so that an answer about it is worth nothing."""
        return path in self.created or path in self._removed

    def current(self, path: str, answer: StreamDescription | None) -> Found:
        """The stream at a path, given what was answered: a new link begins at the tail of the answer."""
        created = self.created.get(path)
        if created is not None:
            return created._replace(tail=self._tails.get(path, created.tail))
        if answer is None or path in self._removed:
            return NOTHING
        return Found(answer.stream_id, answer.tail, max(answer.tail, self._tails.get(path, 0)))
