"""The durable storage: a journal, a base store, and the recent past in memory."""

from durable_streams.storage.local.settings import LocalSettings
from durable_streams.storage.local.storage import LocalStorage
from durable_streams.storage.local.workers import RealWorkers

__all__ = ["LocalSettings", "LocalStorage", "RealWorkers"]
