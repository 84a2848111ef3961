"""Sending at once, or together at the end of a reactor turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock

from durable_streams.web.eager import AT_ONCE, FEW, EagerEndpoint, Outbox
from tests.web.wire import Wire


class Held:
    """In the place of a connection that holds an answer back."""

    def __init__(self) -> None:
        self.is_sent = False

    def send_held(self) -> None:
        self.is_sent = True


@pytest.fixture
def clock() -> Clock:
    return Clock()


def turn(clock: Clock, outbox: Outbox, answers: int) -> list[Held]:
    """One turn of the reactor with so many answers; those that were held back."""
    held = []
    for _ in range(answers):
        if outbox.takes_one_more():
            held.append(Held())
            outbox.add(held[-1])  # type: ignore[arg-type]  # has what the outbox needs
    assert not any(each.is_sent for each in held)
    clock.advance(0)
    assert all(each.is_sent for each in held)
    return held


def test_many_answers_of_a_turn_go_out_together(clock: Clock) -> None:
    """Turn by turn, at its end."""
    outbox = Outbox(clock)
    assert [len(turn(clock, outbox, FEW)) for _ in range(3)] == [FEW] * 3


def test_after_a_turn_with_few_answers_the_next_go_out_at_once(clock: Clock) -> None:
    """For a while; then it is tried again."""
    outbox = Outbox(clock)
    assert len(turn(clock, outbox, FEW - 1)) == FEW - 1
    assert len(turn(clock, outbox, AT_ONCE)) == 0
    assert len(turn(clock, outbox, FEW)) == FEW
    assert len(turn(clock, outbox, FEW)) == FEW


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
