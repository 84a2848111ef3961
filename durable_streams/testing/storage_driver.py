"""Driving a storage from a test: commands in, outcomes out, time in the hands of the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from durable_streams.interfaces import IStorage
from durable_streams.protocol.commands import Append, Create, Delete, ForkRequest
from durable_streams.protocol.offsets import EARLIEST
from durable_streams.protocol.producers import ProducerClaim
from durable_streams.protocol.results import AppendResult, CreateResult, Slice, StreamDescription

_T = TypeVar("_T")

BEGINNING_OF_TIME = 1_700_000_000


class StorageDriver:
    """A storage that is opened and closed around each test.

    Time is a ``Clock``; ``settle`` lets a storage do what it does later.
    """

    def make_storage(self, clock: Clock) -> IStorage:
        """A new, empty storage that is not open."""
        raise NotImplementedError

    def settle(self) -> None:
        """Let time pass until nothing is under way; storages with threads wait for them here."""
        self.clock.advance(0)

    @pytest.fixture(autouse=True)
    def _opened_storage(self) -> Iterator[None]:
        self.clock = Clock()
        self.clock.advance(BEGINNING_OF_TIME)
        self.storage = self.make_storage(self.clock)
        self.outcome(self.storage.open())
        yield
        self.outcome(self.storage.close())

    # --- driving

    def outcome(self, answer: Deferred[_T]) -> _T:
        """What a Deferred fires with; its failure is raised."""
        outcomes: list[Any] = []
        answer.addBoth(outcomes.append)
        for _ in range(100):
            if outcomes:
                break
            self.settle()
        assert outcomes, "the storage does not answer"
        if isinstance(outcomes[0], Failure):
            outcomes[0].raiseException()
        result: _T = outcomes[0]
        return result

    def create(self, path: str, **fields: Any) -> CreateResult:
        return self.outcome(self.storage.create(Create(path, **fields)))

    def fork(self, path: str, source: str, position: int | None = None, **fields: Any) -> CreateResult:
        return self.create(path, fork=ForkRequest(source, position), **fields)

    def append(self, path: str, body: bytes = b"", **fields: Any) -> AppendResult:
        return self.outcome(self.storage.append(Append(path, body, **fields)))

    def produce(self, path: str, body: bytes, epoch: int, seq: int, **fields: Any) -> AppendResult:
        return self.append(path, body, producer=ProducerClaim("p", epoch, seq), **fields)

    def delete(self, path: str) -> None:
        self.outcome(self.storage.delete(Delete(path)))

    def describe(self, path: str) -> StreamDescription:
        return self.outcome(self.storage.describe(path))

    def read(self, path: str, position: int | None = 0, limit: int = 1 << 30) -> Slice:
        return self.outcome(self.storage.read(path, position, limit))

    def content(self, path: str) -> bytes:
        """All bytes that are left, read on until the tail."""
        found = self.read(path, EARLIEST)
        data = found.data
        while not found.up_to_date:
            found = self.read(path, found.end)
            assert found.data, "an empty slice before the tail"
            data += found.data
        return data
