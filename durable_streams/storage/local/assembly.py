"""A durable storage put together as a service uses it."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.interfaces import IReactorTime

from durable_streams.storage.local.settings import LocalSettings
from durable_streams.storage.local.storage import LocalStorage
from durable_streams.storage.local.workers import RealWorkers


def local_storage(directory: str | Path, reactor: IReactorTime, settings: LocalSettings | None = None) -> LocalStorage:
    """A storage that keeps its streams in ``directory``, which is made when the storage opens."""
    return LocalStorage(Path(directory).absolute(), reactor, RealWorkers(reactor), settings)
