"""Sending at once: to the socket first, to the reactor's buffer only what the kernel does not take.

A write then costs one system call and no turn of the reactor. Where a round has many requests, the answers go out
together at its end (see ``connection_set``).
"""

from __future__ import annotations

import select
from collections.abc import Iterable
from errno import ENOBUFS
from typing import Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from zope.interface import implementer

from durable_streams.web.connection_set import ConnectionSet

_LARGEST_HELD = 16 * 1024
_MOST_HELD = 8


class EagerServer(tcp.Server):
    """A TCP connection that sends at once when nothing waits before, and is read with the others of its port."""

    _held: list[bytes] | None = None
    _in_set: int | None = None

    def startReading(self) -> None:
        if self._in_set is None:
            port: Any = self.server
            self._set: ConnectionSet = port.connection_set
            self._in_set = self._set.add(self)

    def stopReading(self) -> None:
        in_set, self._in_set = self._in_set, None
        if in_set is not None:
            self._set.remove(in_set)

    def doRead(self) -> ConnectionLost | ConnectionDone | None:
        """One read, as ``tcp.Connection`` has it."""
        try:
            data = self.socket.recv(self.bufferSize)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def write(self, data: bytes) -> None:
        if self._held is not None:
            self.send_held()
        if (
            not self.connected
            or self._writeDisconnected
            or self.dataBuffer
            or self._tempDataBuffer
            or self.disconnecting
        ):
            super().write(data)
            return
        try:
            sent = self.socket.send(data)
        except OSError:
            # The reactor meets the same error, or a full buffer, and knows what follows from it.
            sent = 0
        if sent < len(data):
            self._send_rest(data, sent)

    def _send_rest(self, data: bytes, sent: int) -> None:
        """Leave the rest to the reactor, as ``abstract.FileDescriptor`` would keep it, but without copying it."""
        self.dataBuffer = data
        self.offset = sent
        self._maybePauseProducer()
        self.startWriting()

    def writeSomeData(self, data: bytes) -> int | ConnectionLost:
        """As much as the kernel takes, not 128 KiB a turn of the reactor."""
        try:
            return self.socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            return 0 if error.errno == ENOBUFS else CONNECTION_LOST

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        self.write(b"".join(iovec))

    def write_soon(self, data: bytes) -> None:
        """As ``write``, but perhaps with the other answers of this round."""
        held = self._held
        if held is not None:
            held.append(data)
            if len(held) >= _MOST_HELD:
                self.send_held()
            return
        connections = self._set
        if len(data) > _LARGEST_HELD or not connections.gathers:
            self.write(data)
            return
        self._held = [data]
        connections.hold(self)

    def send_held(self) -> None:
        """Send what was to wait for the end of the round."""
        held, self._held = self._held, None
        if held is not None:
            self.write(held[0] if len(held) == 1 else b"".join(held))

    def loseConnection(self, *reason: Any) -> None:
        self.send_held()
        super().loseConnection(*reason)

    def loseWriteConnection(self) -> None:
        self.send_held()
        super().loseWriteConnection()


@implementer(IStreamServerEndpoint)
class EagerEndpoint:
    """An endpoint whose TCP connections are eager, on Linux; connections of other kinds stay as they are."""

    def __init__(self, endpoint: IStreamServerEndpoint) -> None:
        self._endpoint = endpoint

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        return self._endpoint.listen(protocolFactory).addCallback(_made_eager)


def _made_eager(listening: IListeningPort) -> IListeningPort:
    # Not of a subclass: ports of Unix sockets have connections of their own kind.
    if type(listening) is tcp.Port and hasattr(select, "epoll"):
        eager: Any = listening
        eager.transport = EagerServer
        eager.connection_set = ConnectionSet(eager.reactor)
    return listening
