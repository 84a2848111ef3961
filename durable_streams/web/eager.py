"""Sending at once: to the socket first, to the reactor's buffer only what the kernel does not take.

A write then costs one system call and no turn of the reactor, on every reactor alike. Where a turn has many answers,
they go out together at its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from errno import ENOBUFS
from typing import Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IReactorTime, IStreamServerEndpoint
from twisted.internet.main import CONNECTION_LOST
from zope.interface import implementer

FEW = 12
AT_ONCE = 64
_LARGEST_HELD = 16 * 1024
_MOST_HELD = 8


class Outbox:
    """The connections of a port that have something to send at the end of the reactor turn.

    Sending wakes the peer, and waking costs as much as the rest of an answer; a peer that is awake takes the next
    answer for little. So the answers of a turn are sent together if they are many. After a turn with few, the next ones
    are sent at once, for then waiting costs more than it saves.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._connections: list[EagerServer] = []
        self._at_once = 0

    def takes_one_more(self) -> bool:
        """Whether an answer is to wait for the end of the turn; asked for each."""
        if not self._at_once:
            return True
        self._at_once -= 1
        return False

    def add(self, connection: EagerServer) -> None:
        if not self._connections:
            self._clock.callLater(0, self._send_all)
        self._connections.append(connection)

    def _send_all(self) -> None:
        connections, self._connections = self._connections, []
        if len(connections) < FEW:
            self._at_once = AT_ONCE
        for connection in connections:
            connection.send_held()


class EagerServer(tcp.Server):
    """A TCP connection that sends at once when nothing waits before."""

    _held: list[bytes] | None = None

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
        """As ``write``, but perhaps with the other answers of this reactor turn."""
        held = self._held
        if held is not None:
            held.append(data)
            if len(held) >= _MOST_HELD:
                self.send_held()
            return
        port: Any = self.server
        outbox: Outbox = port.outbox
        if len(data) > _LARGEST_HELD or not outbox.takes_one_more():
            self.write(data)
            return
        self._held = [data]
        outbox.add(self)

    def send_held(self) -> None:
        """Send what was to wait for the end of the turn."""
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
    """An endpoint whose TCP connections send at once; connections of other kinds stay as they are."""

    def __init__(self, endpoint: IStreamServerEndpoint) -> None:
        self._endpoint = endpoint

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        return self._endpoint.listen(protocolFactory).addCallback(_made_eager)


def _made_eager(listening: IListeningPort) -> IListeningPort:
    # Not of a subclass: ports of Unix sockets have connections of their own kind.
    if type(listening) is tcp.Port:
        clock: Any = listening.reactor
        eager: Any = listening
        eager.transport = EagerServer
        eager.outbox = Outbox(clock)
    return listening
