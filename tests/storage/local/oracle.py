"""What the streams must be, told by the simplest code that can tell it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

from durable_streams.protocol.retention import NO_LIMITS, Retention


@dataclass
class Expected:
    """One stream: every byte that it ever had, inherited ones included.

    ``messages`` are its own appends, as where they begin and when they came; what it inherited begins at ``inherited``.
    """

    content: bytes = b""
    closed: bool = False
    closed_by: object = None
    producers: dict[str, tuple[int, int]] = field(default_factory=dict)
    stream_seq: str | None = None
    source: int | None = None
    forks: int = 0
    deleted: bool = False
    expires_at: float | None = None
    retention: Retention = NO_LIMITS
    messages: list[tuple[int, float]] = field(default_factory=list)
    inherited: int = 0

    def append(self, data: bytes, at: float) -> None:
        if data:
            self.messages.append((len(self.content), at))
            self.content += data

    def earliest_at(self, now: float) -> int:
        """Where what is kept begins: the first message that no limit drops, or all that was inherited."""
        for index, (start, at) in enumerate(self.messages):
            newer = len(self.messages) - 1 - index
            if not self._is_dropped(newer, len(self.content) - start, now - at):
                return self.inherited if index == 0 else start
        return len(self.content) if self.messages else self.inherited

    def _is_dropped(self, newer: int, length: int, age: float) -> bool:
        max_age, max_messages, max_bytes = self.retention.limits
        return (
            (max_age is not None and age >= max_age)
            or (max_messages is not None and newer >= max_messages)
            or (max_bytes is not None and newer > 0 and length > max_bytes)
        )


class Oracle:
    """The whole namespace after each accepted command; ``history[-1]`` is now.

    ``acknowledged`` is the index of the newest state that somebody has been told of. After a crash the storage must be
    in one of the states from there on.
    """

    def __init__(self) -> None:
        self.streams: dict[int, Expected] = {}
        self.paths: dict[str, int] = {}
        self._next = 0
        self.acknowledged = 0
        self.expiries = 0
        self._changed: dict[str, int] = {}
        self.history: list[tuple[dict[int, Expected], dict[str, int]]] = []
        self.record()

    def record(self, *paths: str) -> int:
        """Keep the present state, which a command for these paths has made; returns its index."""
        self.history.append((deepcopy(self.streams), dict(self.paths)))
        index = len(self.history) - 1
        self._changed.update(dict.fromkeys(paths, index))
        return index

    def last_change(self, *paths: str) -> int:
        """The index of the newest state in which one of these paths changed."""
        return max(self._changed.get(path, 0) for path in paths)

    def acknowledge(self, index: int) -> None:
        self.acknowledged = max(self.acknowledged, index)

    def possible(self) -> range:
        """The indices of the states in which the storage may be after a crash."""
        return range(self.acknowledged, len(self.history))

    def settle_on(self, index: int) -> None:
        """The storage was found in this state: go on from there."""
        self.streams, self.paths = deepcopy(self.history[index][0]), dict(self.history[index][1])
        self.history = []
        self.acknowledged = 0
        self._changed = {}
        self.record()

    def at(self, path: str, now: float) -> Expected | None:
        """The stream at a path, soft-deleted ones included; one whose time has come is deleted first."""
        number = self.paths.get(path)
        if number is None:
            return None
        stream = self.streams[number]
        if not stream.deleted and stream.expires_at is not None and now >= stream.expires_at:
            self.expiries += 1
            self.delete(path)
            self.record(path)
            return self.at(path, now)
        return stream

    def create(self, path: str, created: Expected, source: str | None) -> None:
        self._next += 1
        number = None if source is None else self.paths[source]
        if number is not None:
            self.streams[number].forks += 1
        created.source = number
        self.streams[self._next] = created
        self.paths[path] = self._next

    def delete(self, path: str) -> None:
        number: int | None = self.paths[path]
        assert number is not None
        if self.streams[number].forks:
            self.streams[number].deleted = True
            return
        while number is not None:
            stream = self.streams.pop(number)
            self.paths = {name: other for name, other in self.paths.items() if other != number}
            number = stream.source
            if number is not None:
                source = self.streams[number]
                source.forks -= 1
                if source.forks or not source.deleted:
                    return
