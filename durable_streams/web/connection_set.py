"""The connections of a port, watched and served as one.

A reactor calls every descriptor that is ready in a logging context of its own, and that costs as much as reading a
request. Here it sees one descriptor, an epoll set with all connections in it; each round serves those that are ready.
"""

from __future__ import annotations

import select
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

_log = Logger()

FEW = 12


@implementer(IReadDescriptor)
class ConnectionSet:
    """An epoll set that lives while it has connections.

    Sending wakes the peer, and waking costs as much as the rest of an answer; a peer that is awake takes the next
    answer for little. So in a round with many requests, the answers are sent together at its end; those that wait for
    one commit, which comes at the end of the reactor's turn, right after it.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._connections: dict[int, Any] = {}
        self._holding: list[Any] = []
        self.gathers = False
        """Whether an answer is to wait for the others of its round."""

    def __len__(self) -> int:
        return len(self._connections)

    def logPrefix(self) -> str:
        return "HTTP connections"

    def fileno(self) -> int:
        return self._ready.fileno()

    def add(self, connection: Any) -> int:
        """Read from a connection from now on; the answer is what ``remove`` wants."""
        if not self._connections:
            self._ready = select.epoll()
            self._reactor.addReader(self)
        descriptor: int = connection.fileno()
        self._ready.register(descriptor, select.EPOLLIN)
        self._connections[descriptor] = connection
        return descriptor

    def remove(self, descriptor: int) -> None:
        """Read no more from a connection, whose descriptor is still open."""
        del self._connections[descriptor]
        self._ready.unregister(descriptor)
        if not self._connections:
            self._reactor.removeReader(self)
            self._ready.close()

    def hold(self, connection: Any) -> None:
        """Have a connection send what it holds when the others of its round do."""
        self._holding.append(connection)

    def doRead(self) -> None:
        """Serve the connections that are ready, each for one read, and then send the answers that were held."""
        ready = self._ready.poll(0, len(self._connections))
        self.gathers = len(ready) >= FEW
        self._serve(ready)
        if self.gathers and self._connections:
            # What has come meanwhile shares the commit with what was there.
            late = self._ready.poll(0, len(self._connections))
            self._serve(late)
            ready += late
        if self.gathers and len(self._holding) < len(ready):
            # Due after the commit that the others have asked for.
            self._reactor.callLater(0, self._end_turn)
        else:
            self.gathers = False
        self._send_held()

    def _serve(self, ready: list[tuple[int, int]]) -> None:
        for descriptor, _ in ready:
            connection = self._connections.get(descriptor)
            if connection is None:
                continue
            try:
                reason = connection.doRead()
            except Exception as error:
                _log.failure("a connection failed")
                reason = error
            if reason is not None:
                self._disconnect(connection, reason)

    def _end_turn(self) -> None:
        self.gathers = False
        self._send_held()

    def _send_held(self) -> None:
        holding, self._holding = self._holding, []
        for connection in holding:
            connection.send_held()

    def _disconnect(self, connection: Any, reason: Exception) -> None:
        """As the reactor does it for a descriptor of its own."""
        connection.stopReading()
        if isinstance(reason, ConnectionDone) and IHalfCloseableDescriptor.providedBy(connection):
            connection.readConnectionLost(Failure(reason))
        else:
            connection.stopWriting()
            connection.connectionLost(Failure(reason))

    def connectionLost(self, reason: Failure) -> None:
        """The reactor lets go of everything."""
        for connection in list(self._connections.values()):
            connection.connectionLost(reason)
