"""Standard input of a command: bytes as they come, or the messages in them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

PIECE = 256 * 1024
"""Bytes that are handed on at once."""


@implementer(IReadDescriptor)
class StandardInput:
    """Standard input, read only as fast as somebody takes it."""

    def __init__(self, reactor: Any, descriptor: int = 0) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._waiting: Deferred[bytes] | None = None

    def take(self) -> Deferred[bytes]:
        """The next bytes as soon as there are any; none at the end."""
        self._waiting = Deferred(lambda _: self._reactor.removeReader(self))
        self._reactor.addReader(self)
        return self._waiting

    async def take_all(self) -> bytes:
        """Everything up to the end."""
        pieces = []
        while piece := await self.take():
            pieces.append(piece)
        return b"".join(pieces)

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:
        self._reactor.removeReader(self)
        self._answer(os.read(self._descriptor, PIECE))

    def connectionLost(self, reason: Failure) -> None:
        """A pipe was closed on the other side, which is its end; or the reactor stops, and nobody waits any more."""
        self._answer(b"")

    def logPrefix(self) -> str:
        return "stdin"

    def _answer(self, data: bytes) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(data)


async def pieces_of(standard_input: StandardInput) -> AsyncIterator[bytes]:
    """What comes, as it comes."""
    while piece := await standard_input.take():
        yield piece


async def messages_of(standard_input: StandardInput) -> AsyncIterator[bytes]:
    """The JSON messages that come, one a line; empty lines are skipped.

    Raises ``ValueError`` at a line that is no JSON.
    """
    number = 0
    async for line in _lines_of(standard_input):
        number += 1
        if line.strip():
            check_json(line, object, f"line {number} is no JSON message")
            yield line


async def _lines_of(standard_input: StandardInput) -> AsyncIterator[bytes]:
    begun: list[bytes] = []
    async for piece in pieces_of(standard_input):
        *whole, rest = piece.split(b"\n")
        if whole:
            whole[0] = b"".join([*begun, whole[0]])
            begun = []
        begun.append(rest)
        for line in whole:
            yield line
    yield b"".join(begun)


def check_json(content: bytes, shape: Any, complaint: str) -> None:
    """Raises ``ValueError`` with the complaint when the content is not the JSON of a ``shape``."""
    try:
        msgspec.json.decode(content, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{complaint}: {error}") from None
