"""Connections without sockets, for tests: real protocols on both sides, bytes handed over in memory."""

from __future__ import annotations

from collections import deque
from typing import Any

from treq.client import HTTPClient
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

SOCKET_BUFFER = 64 * 1024
"""Bytes that wait for the other side before a writer's producer is paused, and the most that is handed over at once."""

_log = Logger()
_CLIENT = IPv4Address("TCP", "127.0.0.1", 50000)
_SERVER = IPv4Address("TCP", "127.0.0.1", 80)


@implementer(ITransport, IPushProducer)
class MemoryTransport:
    """One side of a connection. ``peer`` is the other, ``protocol`` what is told of this side's events."""

    disconnecting = False

    def __init__(self, network: MemoryNetwork, here: IPv4Address, there: IPv4Address) -> None:
        self._network = network
        self._here = here
        self._there = there
        self.peer: MemoryTransport = self
        self.protocol: Any = None
        self.connected = True
        self._unread: deque[bytes] = deque()
        self.unread = 0
        """Bytes that have arrived and wait."""
        self._end: Exception | None = None
        self._is_paused = False
        self._producer: Any = None
        self._producer_is_paused = False

    # --- what the protocol calls

    def write(self, data: bytes) -> None:
        if self.connected and not self.disconnecting and data:
            self.peer._arrive(data)
            self._pause_producer()

    def writeSequence(self, iovec: Any) -> None:
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self.peer._finish(ConnectionDone())
            self._finish(ConnectionDone())

    def crash(self) -> None:
        """End as if this side's process had died: what it wrote arrives, then the connection is lost."""
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self.peer._finish(ConnectionLost())
            self._finish(ConnectionLost())

    def abortConnection(self) -> None:
        """Cut the connection; what was on its way is lost."""
        if self.connected:
            self.disconnecting = True
            for side in (self, self.peer):
                side._unread.clear()
                side.unread = 0
                side._finish(ConnectionLost())

    def pauseProducing(self) -> None:
        self._is_paused = True

    def resumeProducing(self) -> None:
        self._is_paused = False
        self._network.wake(self)

    def stopProducing(self) -> None:
        self.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer
        self._producer_is_paused = False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self._producer = None

    def getPeer(self) -> IPv4Address:
        return self._there

    def getHost(self) -> IPv4Address:
        return self._here

    def setTcpNoDelay(self, enabled: bool) -> None:
        """There is no delay."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Memory keeps."""

    # --- what the network calls

    def deliver(self) -> None:
        """Hand over one portion of what has arrived, or the end."""
        if self._is_paused and not self.disconnecting:
            return
        if self._unread:
            data = self._unread.popleft()
            self.unread -= len(data)
            self._network.wake(self)
            self.peer._resume_producer()
            if not self.disconnecting:
                self._hand_over(data)
        elif self._end is not None and self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(self._end))

    def _hand_over(self, data: bytes) -> None:
        try:
            self.protocol.dataReceived(data)
        except Exception:
            _log.failure("a protocol failed; its connection is lost, as a reactor would do it")
            self.abortConnection()

    def _arrive(self, data: bytes) -> None:
        for start in range(0, len(data), SOCKET_BUFFER):
            self._unread.append(data[start : start + SOCKET_BUFFER])
        self.unread += len(data)
        self._network.wake(self)

    def _finish(self, reason: Exception) -> None:
        self._end = self._end or reason
        self._network.wake(self)

    def _pause_producer(self) -> None:
        if self._producer is not None and not self._producer_is_paused and self.peer.unread > SOCKET_BUFFER:
            self._producer_is_paused = True
            self._producer.pauseProducing()

    def _resume_producer(self) -> None:
        if self._producer is not None and self._producer_is_paused and self.peer.unread <= SOCKET_BUFFER:
            self._producer_is_paused = False
            self._producer.resumeProducing()


class _ClientTransport(MemoryTransport):
    """The client's side: what it asks for comes at once, so that a test needs no reactor to see an answer's body."""

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self._network.settle()


@implementer(IStreamClientEndpoint)
class MemoryEndpoint:
    """Connects to a server's protocol factory."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._network.connect(protocolFactory)


@implementer(IAgentEndpointFactory)
class MemoryNetwork:
    """The way from clients to one server, whatever host and port a URL names.

    Bytes move when a request is sent, when ``settle`` is called, and in the clock's next turn. ``server`` may be
    changed; None refuses connections.
    """

    def __init__(self, clock: IReactorTime, server: IProtocolFactory | None) -> None:
        self._clock = clock
        self.server = server
        self.connections: list[MemoryTransport] = []
        """The client's sides of the connections that were made, also of those that have ended."""
        self._awake: deque[MemoryTransport] = deque()
        self._is_settling = False
        self._turn: Any = None
        self.treq = HTTPClient(_SettlingAgent(clock, self))

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return MemoryEndpoint(self)

    def connect(self, client: IProtocolFactory) -> Deferred[IProtocol]:
        """Make a connection: the protocols of both sides meet."""
        if self.server is None:
            return fail(ConnectionRefusedError())
        near, far = _ClientTransport(self, _CLIENT, _SERVER), MemoryTransport(self, _SERVER, _CLIENT)
        near.peer, far.peer = far, near
        near.protocol, far.protocol = client.buildProtocol(_SERVER), self.server.buildProtocol(_CLIENT)
        self.connections.append(near)
        far.protocol.makeConnection(far)
        near.protocol.makeConnection(near)
        return succeed(near.protocol)

    @property
    def live(self) -> list[MemoryTransport]:
        """The client's sides of the connections that are still there."""
        return [connection for connection in self.connections if connection.connected]

    def wake(self, transport: MemoryTransport) -> None:
        """The transport may have something to deliver."""
        self._awake.append(transport)
        if not self._is_settling and self._turn is None:
            self._turn = self._clock.callLater(0, self._settle_in_turn)

    def settle(self) -> None:
        """Move bytes until everything that was sent has been received."""
        if self._is_settling:
            return
        self._is_settling = True
        try:
            while self._awake:
                self._awake.popleft().deliver()
        finally:
            self._is_settling = False
        turn, self._turn = self._turn, None
        if turn is not None and turn.active():
            turn.cancel()

    def _settle_in_turn(self) -> None:
        self._turn = None
        self.settle()


@implementer(IAgent)
class _SettlingAgent:
    """Twisted's Agent on a memory network; a request has reached the server when ``request`` returns."""

    def __init__(self, clock: IReactorTime, network: MemoryNetwork) -> None:
        self._network = network
        self._agent = Agent.usingEndpointFactory(clock, network)

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        answered = self._agent.request(method, uri, headers, bodyProducer)
        self._network.settle()
        return answered
