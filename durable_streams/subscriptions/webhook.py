"""Sending one webhook request and understanding its answer (Section 7.1)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

import msgspec
from msgspec import Struct
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from durable_streams.subscriptions.checked_endpoint import LARGEST_ANSWER, ReceiverEndpoint, addresses_of
from durable_streams.subscriptions.webhook_url import webhook_target


class Answer(Enum):
    """What a receiver says that has got a wake."""

    ACCEPTED = auto()
    DONE = auto()


class ReceiverRefused(Exception):
    """The receiver answered with a status other than 2xx; redirects are not followed."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the receiver answered {status}")
        self.status = status


class AnswerTooLarge(Exception):
    """The receiver answered more than it may; the rest was not taken."""

    def __init__(self) -> None:
        super().__init__(f"the receiver answered more than {LARGEST_ANSWER} bytes")


class Webhooks:
    """Calls receivers, which may be anybody's and do anything.

    No redirects, no cookies, no compression, no kept connections. ``allow_loopback`` admits receivers on this machine
    over http.
    """

    def __init__(self, reactor: Any, allow_loopback: bool = False, https_policy: IPolicyForHTTPS | None = None) -> None:
        self._reactor = reactor
        self._allow_loopback = allow_loopback
        self._https_policy = https_policy or BrowserLikePolicyForHTTPS()

    def host_of(self, url: str) -> str:
        """The receiver that a URL leads to. Raises ``WebhookUrlRejected``."""
        return webhook_target(url, self._allow_loopback).host

    async def check(self, url: str) -> None:
        """Refuse a URL that must not be called, as far as can be seen now. Raises ``WebhookUrlRejected``.

        A name that is not known may be known later; its addresses are checked at every call.
        """
        target = webhook_target(url, self._allow_loopback)
        try:
            await addresses_of(self._reactor.nameResolver, url, target)
        except DNSLookupError:
            return

    def send(self, url: str, body: bytes, signature: bytes, seconds: float) -> Deferred[Answer]:
        """POST a wake. Fails with whatever went wrong, and after ``seconds`` at the latest."""
        return Deferred.fromCoroutine(self._send(url, body, signature)).addTimeout(seconds, self._reactor)

    async def _send(self, url: str, wake: bytes, signature: bytes) -> Answer:
        target = webhook_target(url, self._allow_loopback)
        endpoint = ReceiverEndpoint(self._reactor, self._https_policy, url, target)
        headers = Headers(
            {
                b"Content-Type": [b"application/json"],
                b"Webhook-Signature": [signature],
                b"User-Agent": [b"durable-streams"],
            }
        )
        agent = Agent.usingEndpointFactory(self._reactor, endpoint)
        try:
            response = await agent.request(b"POST", url.encode("ascii"), headers, WholeBody(wake))
            if not 200 <= response.code < 300:
                raise ReceiverRefused(response.code)
            body = await _body_of(response)
            # Without a Content-Length an answer that was cut looks whole.
            if endpoint.was_flooded:
                raise AnswerTooLarge
            return answer_in(body)
        finally:
            endpoint.abort()


class _DoneBody(Struct):
    done: bool = False


_decode = msgspec.json.Decoder(_DoneBody).decode


def answer_in(body: bytes) -> Answer:
    """``{"done": true}`` finishes the wake; whatever else comes with a status 2xx has accepted it."""
    try:
        return Answer.DONE if _decode(body).done else Answer.ACCEPTED
    except (msgspec.MsgspecError, RecursionError):
        return Answer.ACCEPTED


@implementer(IBodyProducer)
class WholeBody:
    """A request body that is in memory."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Everything has been written."""

    def resumeProducing(self) -> None:
        """Everything has been written."""

    def stopProducing(self) -> None:
        """Everything has been written."""


class _Collector(Protocol):
    """Takes in the body of a response."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.complete: Deferred[Sequence[bytes]] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._parts.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.complete.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.complete.callback(self._parts)
        else:
            self.complete.errback(reason)


async def _body_of(response: IResponse) -> bytes:
    collector = _Collector()
    response.deliverBody(collector)
    return b"".join(await collector.complete)
