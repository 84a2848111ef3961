"""The standalone server: a stream service and its ports, started and stopped in the right order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults, maybeDeferred
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


class ServerProcess(Protocol):
    """What a server asks of its process."""

    def fail(self) -> None:
        """The server cannot start: end."""

    def settle(self) -> None:
        """The server has started."""

    def at_next_signal(self, hurry: Callable[[], None]) -> None:
        """The server is stopping; call ``hurry`` when that is asked for once more."""


class Attendant(Protocol):
    """A service that needs the streams, and stops before them."""

    def startService(self) -> None: ...

    def when_open(self) -> Deferred[None]:
        """Fires when it can serve; fails when it never will."""

    def stopService(self) -> Deferred[None]: ...


class Listener:
    """One place to listen: ``scheme`` is http or https."""

    def __init__(self, endpoint: IStreamServerEndpoint, scheme: str, factory: ConnectionFactory) -> None:
        self.endpoint = endpoint
        self.scheme = scheme
        self.factory = factory


class StreamServer(Service):
    """Runs a stream service behind listeners.

    Ports are taken while the process has still the privileges for it, the storage is opened after that; requests wait
    until it is open. Stopping goes in this order: no new connections; live reads end in an orderly way; requests
    under way, or still coming in, are answered, for at most ``drain_seconds``; the storage closes. Who asks twice does
    not wait for answers.
    """

    def __init__(
        self,
        service: StreamService,
        listeners: Sequence[Listener],
        prefix: str,
        process: ServerProcess,
        drain_seconds: float = 10.0,
        attendants: Sequence[Attendant] = (),
    ) -> None:
        self.service = service
        self._attendants = attendants
        self._listeners = listeners
        self._prefix = prefix
        self._process = process
        self._drain_seconds = drain_seconds
        self._starting: Deferred[None] | None = None
        self.ports: list[IListeningPort] = []

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self._starting = Deferred.fromCoroutine(self._listen())

    def startService(self) -> None:
        super().startService()
        if self._starting is None:
            # ``twist`` and applications start a service once; only twistd does so in two steps.
            self.privilegedStartService()
        self.service.startService()
        for attendant in self._attendants:
            attendant.startService()
        assert self._starting is not None
        self._starting.addCallback(lambda _: Deferred.fromCoroutine(self._when_open()))
        self._starting.addCallbacks(self._started, self._failed_to_start)

    async def _when_open(self) -> None:
        await self.service.when_open()
        for attendant in self._attendants:
            await attendant.when_open()

    async def _listen(self) -> None:
        for listener in self._listeners:
            self.ports.append(await listener.endpoint.listen(cast(IProtocolFactory, listener.factory)))

    def _started(self, _: None) -> None:
        self._process.settle()
        for listener, port in zip(self._listeners, self.ports, strict=True):
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
        if not failure.check(CancelledError):
            _log.critical("the service cannot start: {reason}", reason=failure.getErrorMessage())
            self._process.fail()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self._process.at_next_signal(self._abort)
        if self._starting is not None:
            self._starting.cancel()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await gatherResults([maybeDeferred(port.stopListening) for port in self.ports], consumeErrors=True)
        self.service.drain()
        await self._drain()
        for attendant in self._attendants:
            await attendant.stopService()
        await self.service.stopService()

    async def _drain(self) -> None:
        drained = gatherResults([factory.drain() for factory in self._factories], consumeErrors=True)
        drained.addTimeout(self._drain_seconds, self.service.clock)
        try:
            await drained
        except FirstError:
            _log.warn("cutting connections that did not end in {seconds} s", seconds=self._drain_seconds)
        self._abort()

    @property
    def _factories(self) -> set[ConnectionFactory]:
        return {listener.factory for listener in self._listeners}

    def _abort(self) -> None:
        for factory in self._factories:
            factory.abort()
