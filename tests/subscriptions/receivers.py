"""Webhook receivers on real sockets of this machine that answer byte by byte what a test tells them to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import PrivateCertificate
from twisted.python.failure import Failure

reactor: Any = installed_reactor

Answering = Callable[["Conversation"], None]


class Conversation(Protocol):
    """One connection: what came, and whether it is open."""

    def __init__(self, receiver: SocketReceiver) -> None:
        self._receiver = receiver
        self.received = b""
        self.is_open = True
        self.gone: Deferred[None] = Deferred()

    @property
    def socket(self) -> Any:
        return self.transport

    @property
    def head(self) -> list[str]:
        return self.received.partition(b"\r\n\r\n")[0].decode().split("\r\n")

    @property
    def body(self) -> bytes:
        return self.received.partition(b"\r\n\r\n")[2]

    def connectionMade(self) -> None:
        self._receiver.conversations.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        lengths = [line for line in self.head if line.lower().startswith("content-length:")]
        if lengths and len(self.body) == int(lengths[0].partition(":")[2]):
            self._receiver.answer(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_open = False
        self.gone.callback(None)

    def say(self, data: bytes) -> None:
        self.socket.write(data)


class SocketReceiver(Factory):
    """Listens on a port that the kernel chose."""

    def __init__(self, answer: Answering, certificate: PrivateCertificate | None = None) -> None:
        self.answer = answer
        self.conversations: list[Conversation] = []
        if certificate is None:
            self.port = reactor.listenTCP(0, self, interface="127.0.0.1")
        else:
            self.port = reactor.listenSSL(0, self, certificate.options(), interface="127.0.0.1")
        self.number = self.port.getHost().port
        self.url = f"http://127.0.0.1:{self.number}/hook?a=b"

    def buildProtocol(self, addr: Any) -> Conversation:
        return Conversation(self)

    async def stop(self) -> None:
        if self.port.connected:
            await self.port.stopListening()
        for conversation in self.conversations:
            conversation.socket.abortConnection()
            await conversation.gone


def saying(status: str, body: bytes = b"", *fields: str) -> Answering:
    """Answers with a status and a body."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields])
    return lambda conversation: conversation.say(head.encode() + b"\r\n\r\n" + body)
