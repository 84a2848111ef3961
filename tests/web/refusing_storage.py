"""A storage that refuses everything, with the error that a test names."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail

from durable_streams.errors import StreamError
from durable_streams.storage.memory import MemoryStorage


class RefusingStorage(MemoryStorage):
    """Memory storage until ``error`` is set."""

    error: StreamError | None = None

    def _refused(self, door: Any, *arguments: Any) -> Deferred[Any]:
        answer: Deferred[Any] = door(*arguments) if self.error is None else fail(self.error)
        return answer

    def create(self, command: Any) -> Deferred[Any]:
        return self._refused(super().create, command)

    def append(self, command: Any) -> Deferred[Any]:
        return self._refused(super().append, command)

    def delete(self, command: Any) -> Deferred[Any]:
        return self._refused(super().delete, command)

    def describe(self, path: str) -> Deferred[Any]:
        return self._refused(super().describe, path)

    def read(self, path: str, position: int | None, limit: int) -> Deferred[Any]:
        return self._refused(super().read, path, position, limit)
