"""Real requests to receivers that do anything (Section 7.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import deferLater

from durable_streams.subscriptions.checked_endpoint import LARGEST_ANSWER
from durable_streams.subscriptions.webhook import Answer, ReceiverRefused, Webhooks
from tests.subscriptions.receivers import Answering, Conversation, SocketReceiver, reactor, saying

SIGNATURE = b"t=1,kid=k,ed25519=s"

Receiving = Callable[[Answering], SocketReceiver]


@pytest_twisted.async_yield_fixture
async def receiving() -> AsyncIterator[Receiving]:
    """Makes receivers, which end with the test."""
    receivers: list[SocketReceiver] = []

    def make(answer: Answering) -> SocketReceiver:
        receivers.append(SocketReceiver(answer))
        return receivers[-1]

    yield make
    for receiver in receivers:
        await receiver.stop()


async def outcome_of(url: str, seconds: float = 10) -> Any:
    """The answer to a request, or the error with which it failed."""
    sent = Webhooks(reactor, allow_loopback=True).send(url, b'{"wake": 1}', SIGNATURE, seconds)
    try:
        return await sent
    except Exception as error:
        return error


async def closed(conversation: Conversation) -> bool:
    """Whether the service ends the connection soon."""
    await conversation.gone.addTimeout(5, reactor)
    return not conversation.is_open


@pytest_twisted.ensureDeferred
async def test_the_request_is_the_one_of_the_specification(receiving: Receiving) -> None:
    """7.1: POST, JSON, the signature; the host is the URL's, and the connection is not kept."""
    receiver = receiving(saying("200 OK", b'{"done": true}', "Set-Cookie: a=b"))
    assert await outcome_of(receiver.url) is Answer.DONE
    [conversation] = receiver.conversations
    assert conversation.head[0] == "POST /hook?a=b HTTP/1.1"
    fields = dict(line.lower().split(": ", 1) for line in conversation.head[1:])
    assert fields["host"] == f"127.0.0.1:{receiver.number}"
    assert fields["content-type"] == "application/json"
    assert fields["webhook-signature"] == SIGNATURE.decode()
    assert fields["content-length"] == "11"
    assert "cookie" not in fields
    assert "accept-encoding" not in fields
    assert conversation.body == b'{"wake": 1}'
    assert await closed(conversation)


@pytest.mark.parametrize(
    "body", [b"", b"ok", b"{}", b'{"done": false}', b'{"done": "true"}', b"[true]", b"\xff\xfe", b"[" * 60_000]
)
@pytest_twisted.ensureDeferred
async def test_any_other_body_accepts_the_wake(receiving: Receiving, body: bytes) -> None:
    """7.1: a status 2xx has accepted it, whatever is in the body."""
    assert await outcome_of(receiving(saying("202 Accepted", body)).url) is Answer.ACCEPTED


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@pytest_twisted.ensureDeferred
async def test_a_redirect_is_not_followed(receiving: Receiving, status: str) -> None:
    """12.8: it could lead inside."""
    inside = receiving(saying("200 OK", b'{"done": true}'))
    receiver = receiving(saying(status, b"", f"Location: {inside.url}"))
    refusal = await outcome_of(receiver.url)
    assert isinstance(refusal, ReceiverRefused)
    assert refusal.status == int(status[:3])
    assert inside.conversations == []


@pytest.mark.parametrize("status", ["400 No", "404 No", "410 Gone", "429 Later", "500 No", "503 Later"])
@pytest_twisted.ensureDeferred
async def test_a_refusal_is_a_failure(receiving: Receiving, status: str) -> None:
    """7.1: it is tried again, even if the body says done."""
    assert isinstance(await outcome_of(receiving(saying(status, b'{"done": true}')).url), ReceiverRefused)


@pytest.mark.parametrize(
    "garbage",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x00\xff",
        b"HTTP/1.1 2xx OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
@pytest_twisted.ensureDeferred
async def test_garbage_is_a_failure(receiving: Receiving, garbage: bytes) -> None:
    """7.1: what is no HTTP has accepted nothing."""

    def answer(conversation: Conversation) -> None:
        conversation.say(garbage)
        conversation.socket.loseConnection()

    assert isinstance(await outcome_of(receiving(answer).url), Exception)


@pytest_twisted.ensureDeferred
async def test_an_answer_that_breaks_off_is_a_failure(receiving: Receiving) -> None:
    """7.1: half a body may have been `done`, or not."""

    def answer(conversation: Conversation) -> None:
        conversation.say(b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"done"')
        conversation.socket.loseConnection()

    assert isinstance(await outcome_of(receiving(answer).url), Exception)


@pytest_twisted.ensureDeferred
async def test_a_receiver_that_says_nothing_is_left(receiving: Receiving) -> None:
    """7.1: a time limit; the connection is cut."""
    receiver = receiving(lambda conversation: None)
    assert isinstance(await outcome_of(receiver.url, 0.1), Exception)
    assert await closed(receiver.conversations[0])


@pytest_twisted.ensureDeferred
async def test_a_receiver_that_says_a_byte_at_a_time_is_left_too(receiving: Receiving) -> None:
    """7.1: the limit is for the whole, not for a silence."""

    def drip(conversation: Conversation) -> None:
        if conversation.is_open:
            conversation.say(b"x")
            deferLater(reactor, 0.01, drip, conversation)

    def answer(conversation: Conversation) -> None:
        conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
        drip(conversation)

    receiver = receiving(answer)
    assert isinstance(await outcome_of(receiver.url, 0.2), Exception)
    assert await closed(receiver.conversations[0])
    await deferLater(reactor, 0.02)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_answer_without_end_is_cut(receiving: Receiving, head: bytes) -> None:
    """7.1: a limit for head and body together."""

    def flood(conversation: Conversation) -> None:
        conversation.say(head + b"x" * (2 * LARGEST_ANSWER))

    receiver = receiving(flood)
    assert isinstance(await outcome_of(receiver.url), Exception)
    assert await closed(receiver.conversations[0])


@pytest_twisted.ensureDeferred
async def test_a_port_where_nobody_listens(receiving: Receiving) -> None:
    """7.1: a failure like any other."""
    receiver = receiving(lambda conversation: None)
    await receiver.port.stopListening()
    assert isinstance(await outcome_of(receiver.url), Exception)
