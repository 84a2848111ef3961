"""Subscriptions of a local data directory, or of memory, made in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from durable_streams.service import StreamService
from durable_streams.subscriptions.memory_store import MemorySubscriptionStore
from durable_streams.subscriptions.service import SubscriptionService
from durable_streams.subscriptions.settings import SubscriptionSettings
from durable_streams.subscriptions.sqlite_store import FILE_NAME, SqliteSubscriptionStore, WriterThread
from durable_streams.subscriptions.webhook import Webhooks


def local_subscriptions(
    streams: StreamService,
    directory: str | Path,
    reactor: Any,
    *,
    allow_loopback_webhooks: bool = False,
    settings: SubscriptionSettings | None = None,
) -> SubscriptionService:
    """Subscriptions that survive a crash, kept in ``directory``; give the data directory of the streams.

    Start the service after the streams, and stop it before them. ``allow_loopback_webhooks`` lets webhooks go to this
    machine over http, for development.
    """
    store = SqliteSubscriptionStore(Path(directory).absolute() / FILE_NAME, lambda: WriterThread(reactor))
    return SubscriptionService(streams, store, Webhooks(reactor, allow_loopback_webhooks), settings)


def memory_subscriptions(
    streams: StreamService,
    reactor: Any,
    *,
    allow_loopback_webhooks: bool = False,
    settings: SubscriptionSettings | None = None,
) -> SubscriptionService:
    """As ``local_subscriptions``, but gone when the process ends, as streams in memory are."""
    webhooks = Webhooks(reactor, allow_loopback_webhooks)
    return SubscriptionService(streams, MemorySubscriptionStore(), webhooks, settings)
