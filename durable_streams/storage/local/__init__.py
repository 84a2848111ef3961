"""The durable storage: a journal, a base store, and the recent past in memory."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.interfaces import IReactorTime

from durable_streams.storage.local.settings import LocalSettings
from durable_streams.storage.local.storage import LocalStorage
from durable_streams.storage.local.workers import RealWorkers

__all__ = ["LocalSettings", "LocalStorage", "RealWorkers", "local_storage"]


def local_storage(directory: str | Path, reactor: IReactorTime, settings: LocalSettings | None = None) -> LocalStorage:
    """A storage that keeps its streams in ``directory``, which is made when the storage opens."""
    return LocalStorage(Path(directory).absolute(), reactor, RealWorkers(reactor), settings)
