"""The real server on real sockets of this machine, in the test's own process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import deferLater
from twisted.protocols.policies import WrappingFactory
from twisted.web.resource import Resource
from twisted.web.server import Site

from durable_streams.client import Connections, StreamDirectory
from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage
from durable_streams.web.resource import StreamResource
from tests.certificate import make_certificate

reactor: Any = installed_reactor


class CountingFactory(WrappingFactory):
    """Knows how many connections were made, and which are open."""

    made = 0

    def buildProtocol(self, addr: IAddress | None) -> Any:
        self.made += 1
        return super().buildProtocol(addr)


class QuietSite(Site):
    def log(self, request: Any) -> None:
        """No access log."""


class SocketServer:
    """A server on a port that the kernel chose; over TLS where it gets a certificate for localhost."""

    def __init__(self, certificate: PrivateCertificate | None = None) -> None:
        self.service = StreamService(MemoryStorage(reactor))
        self.service.startService()
        root = Resource()
        self._streams = StreamResource(self.service)
        root.putChild(b"streams", self._streams)
        self.site = CountingFactory(QuietSite(root, parsePOSTFormSubmission=False))
        if certificate is None:
            self.port = reactor.listenTCP(0, self.site, interface="127.0.0.1")
            origin = "http://127.0.0.1"
        else:
            self.port = reactor.listenSSL(0, self.site, certificate.options(), interface="127.0.0.1")
            origin = "https://localhost"
        self.number = self.port.getHost().port
        self.root = f"{origin}:{self.number}/streams/"
        self.connections = Connections(reactor)

    def directory(self, treq: Any = None, **options: Any) -> StreamDirectory:
        return StreamDirectory(self.root, treq or self.connections.treq, **options)

    @property
    def live(self) -> int:
        """Connections that are open now, on this server's side."""
        return len(self.site.protocols)

    def cut(self) -> None:
        """Break all connections."""
        for connection in list(self.site.protocols):
            connection.transport.abortConnection()

    async def until_live(self, count: int) -> None:
        """Wait until so many connections are open."""
        while self.live != count:
            await deferLater(reactor, 0.005)

    async def stop(self) -> None:
        await self.connections.close()
        self.service.release_waiters()
        await self.port.stopListening()
        await self.service.stopService()
        await self.until_live(0)


def self_signed(directory: Path) -> PrivateCertificate:
    """A certificate for localhost."""
    certificate, key = make_certificate(directory)
    return PrivateCertificate.loadPEM(key.read_bytes() + certificate.read_bytes())


def soon() -> Deferred[None]:
    """A moment later."""
    return deferLater(reactor, 0.01)
