"""The memory storage keeps the promises of its interface."""

from __future__ import annotations

from twisted.internet.task import Clock

from durable_streams.interfaces import IStorage
from durable_streams.storage.memory import MemoryStorage
from durable_streams.testing.storage_suite import StorageSuite


class TestMemoryStorage(StorageSuite):
    def make_storage(self, clock: Clock) -> IStorage:
        return MemoryStorage(clock)
