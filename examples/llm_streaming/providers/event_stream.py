"""A provider's answer as it comes over the network: Server-Sent Events, read through treq."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed, ResponseNeverReceived
from twisted.web.http import PotentialDataLoss

from .provider import ProviderError

SILENCE = 60
"""How many seconds a provider may say nothing at all."""
LONGEST_LINE = 1024 * 1024
LONGEST_PROBLEM = 64 * 1024


class Event(NamedTuple):
    """One event; ``name`` is empty when the provider gives none."""

    name: str
    data: str


class EventParser:
    """Cuts an event stream into events, wherever the network cut it."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[str] = []

    def feed(self, received: bytes) -> Iterator[Event]:
        *lines, self._rest = (self._rest + received).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            raise ProviderError("The provider sent a line without end.")
        for line in lines:
            field, _, value = line.decode("utf-8", "replace").rstrip("\r").partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                self._name = value
            elif field == "data":
                self._data.append(value)
            elif not field and not value:
                yield from self._finished()

    def _finished(self) -> Iterator[Event]:
        name, data = self._name, self._data
        self._name, self._data = "", []
        if data:
            yield Event(name, "\n".join(data))


class Body(Protocol):
    """The bytes of a response, kept until somebody asks for them."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pieces: deque[bytes] = deque()
        self._end: Failure | None = None
        self._waiting: Deferred[None] | None = None

    def dataReceived(self, data: bytes) -> None:
        self._pieces.append(data)
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end = reason
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """All bytes, until the end. Raises ``ProviderError`` when the connection breaks or falls silent."""
        while True:
            while self._pieces:
                yield self._pieces.popleft()
            if self._end is not None:
                break
            self._waiting = Deferred()
            try:
                await self._waiting.addTimeout(SILENCE, self._reactor)
            except TimeoutError:
                raise ProviderError(f"The provider said nothing for {SILENCE} seconds.") from None
        if not self._end.check(ResponseDone, PotentialDataLoss):
            raise ProviderError("The connection to the provider was lost.")

    def hang_up(self) -> None:
        """Close the connection, unless the response is complete."""
        if self._end is None and self.transport is not None:
            self.transport.loseConnection()


async def events_of(
    reactor: Any, http: Any, url: str, headers: dict[str, str], question: dict[str, Any], key: str
) -> AsyncGenerator[Event, None]:
    """Post a question and yield the events of the answer. Raises ``ProviderError``; ``key`` never shows in it."""
    try:
        asking = http.post(url, headers=headers, json=question, unbuffered=True)
        response = await asking.addErrback(_cancellation_first).addTimeout(SILENCE, reactor)
    except (ConnectError, DNSLookupError, ResponseNeverReceived, ResponseFailed):
        raise ProviderError("The provider cannot be reached.") from None
    except TimeoutError:
        raise ProviderError(f"The provider did not answer within {SILENCE} seconds.") from None
    body = Body(reactor)
    response.deliverBody(body)
    try:
        if response.code != 200:
            raise ProviderError(await _refusal(response.code, body, key))
        parser = EventParser()
        async for piece in body.pieces():
            for event in parser.feed(piece):
                yield event
    finally:
        body.hang_up()


def _cancellation_first(failure: Failure) -> Failure:
    """A request that was cancelled under way says so only among its reasons."""
    reasons = getattr(failure.value, "reasons", ())
    return next((reason for reason in reasons if reason.check(CancelledError)), failure)


async def _refusal(status: int, body: Body, key: str) -> str:
    """What a provider says against a question, in one sentence."""
    if status in (401, 403):
        # Such answers may quote the key.
        return f"The provider refused the key (HTTP {status})."
    read = b""
    async for piece in body.pieces():
        read += piece
        if len(read) > LONGEST_PROBLEM:
            break
    return f"The provider refused (HTTP {status}): {message_in(read, key)}"


def message_in(problem: bytes | str, key: str) -> str:
    """The sentence in ``{"error": {"message": …}}``, which is how both providers tell of errors."""
    try:
        message = str(json.loads(problem)["error"]["message"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return "it did not say why."
    return message.replace(key, "…")
