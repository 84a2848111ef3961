"""The standalone server: a stream service and its ports, started and stopped in the right order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from durable_streams.service import StreamService

_log = Logger()


class ConnectionFactory(Protocol):
    """What a protocol factory of a server must be able to do besides building protocols (IProtocolFactory)."""

    def drain(self) -> Deferred[None]:
        """Let every connection end after its present answer; fires when there are none."""

    def abort(self) -> None:
        """Cut the connections that are left."""


class Listener:
    """One place to listen: ``label`` describes it before the address is known, ``scheme`` is http or https."""

    def __init__(self, endpoint: IStreamServerEndpoint, scheme: str, factory: ConnectionFactory) -> None:
        self.endpoint = endpoint
        self.scheme = scheme
        self.factory = factory


class StreamServer(Service):
    """Runs a stream service behind listeners.

    Stopping goes in this order: no new connections; live reads end in an orderly way; answers under way are finished,
    for at most ``drain_seconds``; the storage closes.
    """

    def __init__(
        self,
        service: StreamService,
        listeners: Sequence[Listener],
        prefix: str,
        end_live_reads: Callable[[], None],
        stop_process: Callable[[], None],
        drain_seconds: float = 10.0,
    ) -> None:
        self.service = service
        self._listeners = listeners
        self._prefix = prefix
        self._end_live_reads = end_live_reads
        self._stop_process = stop_process
        self._drain_seconds = drain_seconds
        self.ports: list[IListeningPort] = []

    def startService(self) -> None:
        super().startService()
        self.service.startService()
        started = Deferred.fromCoroutine(self._listen())
        started.addErrback(self._failed_to_start)

    async def _listen(self) -> None:
        await self.service.when_open()
        for listener in self._listeners:
            port = await listener.endpoint.listen(cast(IProtocolFactory, listener.factory))
            self.ports.append(port)
            _log.info(
                "listening on {url}; streams are {durability}",
                url=self._url_of(port, listener.scheme),
                durability=self.service.storage.durability,
            )

    def _url_of(self, port: IListeningPort, scheme: str) -> str:
        address = port.getHost()
        if isinstance(address, UNIXAddress):
            return f"{scheme}+unix:{address.name!r}{self._prefix}"
        assert isinstance(address, IPv4Address | IPv6Address)
        host = f"[{address.host}]" if ":" in address.host else address.host
        return f"{scheme}://{host}:{address.port}{self._prefix}"

    def _failed_to_start(self, failure: Failure) -> None:
        _log.critical("the service cannot start: {reason}", reason=failure.getErrorMessage())
        self._stop_process()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await gatherResults([maybeDeferred(port.stopListening) for port in self.ports], consumeErrors=True)
        self._end_live_reads()
        await self._drain()
        await self.service.stopService()

    async def _drain(self) -> None:
        factories = {listener.factory for listener in self._listeners}
        drained = gatherResults([factory.drain() for factory in factories], consumeErrors=True)
        drained.addTimeout(self._drain_seconds, self.service.clock)
        try:
            await drained
        except (CancelledError, TimeoutError):
            _log.warn("cutting connections that did not end in {seconds} s", seconds=self._drain_seconds)
        for factory in factories:
            factory.abort()
