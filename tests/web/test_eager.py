"""Sending at once, or together at the end of a round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol

from durable_streams.web.eager import EagerEndpoint
from tests.web.wire import Wire


def _say_soon_and_now(transport: Any) -> None:
    transport.write_soon(b"1")
    transport.write_soon(b"2")
    transport.write(b"3")
    transport.write_soon(b"4")


def _say_and_leave(transport: Any) -> None:
    transport.write_soon(b"1234")
    transport.loseConnection()


def _say_and_close_one_side(transport: Any) -> None:
    transport.write_soon(b"1234")
    transport.loseWriteConnection()


def _say_more_than_is_held(transport: Any) -> None:
    for _ in range(1000):
        transport.write_soon(b"1234" * 1000)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("say", "said"),
    [
        (_say_soon_and_now, b"1234"),
        (_say_and_leave, b"1234"),
        (_say_and_close_one_side, b"1234"),
        (_say_more_than_is_held, b"1234" * 1_000_000),
    ],
)
async def test_nothing_is_lost_or_overtaken(say: Callable[[Any], None], said: bytes) -> None:
    """Whatever a connection does with what it holds back."""

    class Speaker(Protocol):
        def connectionMade(self) -> None:
            say(self.transport)

    port: Any = await EagerEndpoint(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")).listen(
        Factory.forProtocol(Speaker)
    )
    wire = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), Wire())
    await wire.until(lambda: len(wire.received) >= len(said))
    assert wire.received == said
    wire.hang_up()
    await wire.end()
    await port.stopListening()
