"""Bodies of requests and responses."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IConsumer, IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from durable_streams.client.errors import ConnectionFailed, TimedOut

HIGH_WATER = 256 * 1024
"""Bytes that may wait for a slow consumer before its socket is paused."""


@implementer(IBodyProducer)
class WholeBody(bytes):
    """A request's body that is sent in one write; treq's own way takes a reactor turn for each 64 KiB.

    It stays ``bytes``, which is all that treq's test double accepts.
    """

    @property
    def length(self) -> int:
        return len(self)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(bytes(self))
        return succeed(None)

    def pauseProducing(self) -> None:
        """All was written already."""

    def resumeProducing(self) -> None:
        """All was written already."""

    def stopProducing(self) -> None:
        """All was written already."""


class IncomingBody(Protocol):
    """A response's body, taken piece by piece. While nobody takes, the socket is paused.

    ``silence`` is how many seconds the server may say nothing while somebody waits.
    """

    def __init__(self, url: str, clock: IReactorTime, silence: float) -> None:
        self._url = url
        self._clock = clock
        self._silence = silence
        self._pieces: list[bytes] = []
        self._size = 0
        self._paused = False
        self._end: Failure | None = None
        self._waiting: Deferred[bytes] | None = None
        self._wanted = 1
        self._timer: IDelayedCall | None = None

    def take(self, at_least: int = 1) -> Deferred[bytes]:
        """The next bytes: fewer than ``at_least`` only when the body ends or breaks, none after its end.

        Fails with ``ConnectionFailed`` when the body is cut short or the server is silent for too long. Cancelling it
        closes the connection.
        """
        if self._size >= at_least or (self._pieces and self._end is not None):
            return succeed(self._take_pieces())
        if self._end is not None:
            return succeed(b"") if _is_whole(self._end) else fail(self._cut_short(self._end))
        self._wanted = at_least
        waiting: Deferred[bytes] = Deferred(lambda _: self.stop())
        self._waiting = waiting
        self._timer = self._clock.callLater(self._silence, self._silent)
        self._resume()
        return waiting

    @property
    def has_ended(self) -> bool:
        """Whether the whole body has come and been taken."""
        return self._end is not None and not self._pieces and _is_whole(self._end)

    def stop(self) -> None:
        """Nobody wants the rest: close the connection, unless the body has ended and it can serve the next request."""
        self._forget_waiting()
        if self._end is None:
            self._end = connectionDone
            _abort(self._socket)

    # --- from the transport

    def dataReceived(self, data: bytes) -> None:
        if self._end is not None:
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._waiting is None:
            if self._size > HIGH_WATER and not self._paused:
                self._paused = True
                self._socket.pauseProducing()
        elif self._size >= self._wanted:
            self._answer()
        elif self._timer is not None:
            self._timer.reset(self._silence)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._end is None:
            self._end = reason
            self._answer()

    # --- inside

    @property
    def _socket(self) -> Any:
        return self.transport

    def _answer(self) -> None:
        waiting = self._forget_waiting()
        if waiting is not None:
            self.take(self._wanted).chainDeferred(waiting)

    def _take_pieces(self) -> bytes:
        pieces = self._pieces
        self._pieces = []
        self._size = 0
        self._resume()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._socket.resumeProducing()

    def _silent(self) -> None:
        self._timer = None
        waiting = self._forget_waiting()
        self.stop()
        if waiting is not None:
            waiting.errback(TimedOut(self._url, f"the server said nothing for {self._silence:g} s"))

    def _forget_waiting(self) -> Deferred[bytes] | None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        waiting, self._waiting = self._waiting, None
        return waiting

    def _cut_short(self, end: Failure) -> ConnectionFailed:
        return ConnectionFailed(self._url, f"the answer was cut short: {end.getErrorMessage()}")


def _abort(transport: Any) -> None:
    """Close the connection now.

    Twisted hands out a proxy that can only close in an orderly way; over TLS that waits for the other side, which may
    not be reading. Behind the proxy is the connection itself.
    """
    connection = getattr(transport, "_producer", None) or transport
    getattr(connection, "abortConnection", transport.loseConnection)()


def _is_whole(end: Failure) -> bool:
    """Whether a body ended as announced, or with the connection where nothing was announced."""
    return end.check(ResponseDone, PotentialDataLoss) is not None
