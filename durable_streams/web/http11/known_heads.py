"""Heads of requests that have been read before: most clients send the same head again and again."""

from __future__ import annotations

LONGEST_HEAD = 1024
_MOST_HEADS = 4096


class KnownHead:
    """What the parser made of a head that is followed by ``length`` bytes of body.

    ``headers`` is shared by all requests with this head, and nobody changes it.
    """

    __slots__ = ("headers", "keep_alive", "length", "method", "path", "query", "version")

    def __init__(
        self,
        method: bytes,
        path: bytes,
        query: bytes,
        headers: dict[bytes, bytes],
        length: int,
        keep_alive: bool,
        version: str,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.length = length
        self.keep_alive = keep_alive
        self.version = version


class KnownHeads:
    """Heads by their bytes, shared by the connections of a factory; bounded in number and in size."""

    def __init__(self) -> None:
        self._heads: dict[bytes, KnownHead] = {}
        self.find = self._heads.get

    def __len__(self) -> int:
        return len(self._heads)

    def remember(self, head: bytes, known: KnownHead) -> None:
        """Keep a head that was read whole, without objection, and whose body is as long as it says."""
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        self._heads[head] = known
