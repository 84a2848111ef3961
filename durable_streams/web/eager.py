"""Sending at once: to the socket first, to the reactor's buffer only what the kernel does not take.

A write then costs one system call and no turn of the reactor, on every reactor alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from zope.interface import implementer


class EagerServer(tcp.Server):
    """A TCP connection that sends at once when nothing waits before."""

    def write(self, data: bytes) -> None:
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
            super().write(data[sent:] if sent else data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        self.write(b"".join(iovec))


@implementer(IStreamServerEndpoint)
class EagerEndpoint:
    """An endpoint whose TCP connections send at once; connections of other kinds stay as they are."""

    def __init__(self, endpoint: IStreamServerEndpoint) -> None:
        self._endpoint = endpoint

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        return self._endpoint.listen(protocolFactory).addCallback(_made_eager)


def _made_eager(port: IListeningPort) -> IListeningPort:
    listening: Any = port
    if isinstance(listening, tcp.Port):
        listening.transport = EagerServer
    return port
