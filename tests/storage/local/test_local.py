"""The local storage keeps the promises of its interface, however little it may keep in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from durable_streams.interfaces import IStorage
from durable_streams.storage.local.files import OsFiles
from durable_streams.storage.local.settings import LocalSettings
from durable_streams.storage.local.storage import LocalStorage
from durable_streams.testing.storage_suite import StorageSuite
from tests.storage.local.simulated_workers import ClockWorkers


class LocalSuite(StorageSuite):
    """On the real disk, with the work of threads and of the checkpointer done on the clock."""

    settings = LocalSettings()

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "data"

    def make_storage(self, clock: Clock) -> IStorage:
        files = OsFiles(self.directory.parent / "journal")
        return LocalStorage(self.directory, clock, ClockWorkers(clock, files), self.settings, lambda _: files)

    def settle(self) -> None:
        self.clock.advance(0.001)


class TestEverythingHot(LocalSuite):
    """All that was written is still in memory."""


class TestNothingHot(LocalSuite):
    """Everything that is folded leaves memory at once, and segments are as small as they can be."""

    settings = LocalSettings(segment_bytes=300_000, hot_bytes=0)


class TestWriterThread(LocalSuite):
    """Every batch is synced by the writer thread."""

    settings = LocalSettings(inline_seconds=0)


class TestWrittenAhead(LocalSuite):
    """Whatever waits for a batch to be synced is written meanwhile."""

    settings = LocalSettings(inline_seconds=0, large_batch=1)
