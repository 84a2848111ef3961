"""A whole server without sockets, for the tests of applications: the real service behind the real client."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Site

from durable_streams.client.directory import StreamDirectory
from durable_streams.client.handle import StreamHandle
from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage
from durable_streams.subscriptions.errors import WebhookUrlRejected
from durable_streams.subscriptions.memory_store import MemorySubscriptionStore
from durable_streams.subscriptions.service import SubscriptionService
from durable_streams.subscriptions.webhook import Webhooks
from durable_streams.testing.memory_network import MemoryNetwork
from durable_streams.web.resource import StreamResource
from durable_streams.web.settings import HttpSettings

ROOT = "http://memory.test/v1/stream/"


class MemoryServer:
    """A running server that keeps its streams and subscriptions in memory, and handles that reach it.

    ``webhooks`` sends wakes; without, subscriptions by webhook are refused.

    With a ``Clock`` (the default) nothing happens by itself: requests are answered at once, and ``advance`` lets time
    pass for live reads, timeouts and retries. With the reactor as ``clock`` everything runs as with real sockets.
    """

    def __init__(
        self, clock: Any = None, settings: HttpSettings | None = None, webhooks: Webhooks | None = None
    ) -> None:
        self.clock = clock or _clock_of_today()
        self.service = StreamService(MemoryStorage(self.clock), clock=self.clock)
        self.service.startService()
        self.subscriptions = SubscriptionService(
            self.service, MemorySubscriptionStore(), webhooks or _NoWebhooks(self.clock)
        )
        self.subscriptions.startService()
        root = Resource()
        version = Resource()
        root.putChild(b"v1", version)
        version.putChild(b"stream", StreamResource(self.service, settings, self.subscriptions))
        self._site = _QuietSite(root, reactor=self.clock, timeout=None, parsePOSTFormSubmission=False)
        self.network = MemoryNetwork(self.clock, self._site)

    @property
    def treq(self) -> Any:
        """A treq client for this server, whatever host a URL names."""
        return self.network.treq

    def stream(self, name: str, **options: Any) -> StreamHandle:
        """A handle for the stream ``name``; the options are those of ``StreamHandle``."""
        return self.directory(**options).stream(name)

    def directory(self, **options: Any) -> StreamDirectory:
        """All streams of this server."""
        return StreamDirectory(ROOT, self.treq, clock=self.clock, **options)

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass on the ``Clock``, and everything happen that is due."""
        self.clock.advance(seconds)
        self.network.settle()
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)
            self.network.settle()

    def cut(self) -> None:
        """Lose every connection, as when a cable is pulled."""
        for connection in self.network.live:
            connection.abortConnection()
        self.network.settle()

    def refuse(self) -> None:
        """Lose every connection and refuse new ones."""
        self.network.server = None
        self.cut()

    def accept(self) -> None:
        """Accept connections again."""
        self.network.server = self._site

    def stop(self) -> Deferred[None]:
        """Stop the service and end every connection."""
        self.refuse()
        return self.subscriptions.stopService().addCallback(lambda _: self.service.stopService())


def _clock_of_today() -> Clock:
    """Cursors and expiry need a time that a server may have."""
    clock = Clock()
    clock.advance(1_800_000_000)
    return clock


class _NoWebhooks(Webhooks):
    """From memory nobody can be called."""

    async def check(self, url: str) -> None:
        raise WebhookUrlRejected(url, "cannot be called by a server in memory")


class _QuietSite(Site):
    def log(self, request: Any) -> None:
        """No access log."""
