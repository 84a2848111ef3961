"""What a producer sends in one request."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, fail, succeed


class Receipt(NamedTuple):
    """The server has the batch. ``offset`` is the stream's tail; ``duplicate`` says that the server had it before."""

    offset: str | None
    closed: bool
    duplicate: bool
    epoch: int
    seq: int


class ProducerBatch:
    """Some appends that travel together; ``await`` it, or ask it for a Deferred, to know that they have arrived.

    Nobody has to: it costs nothing then, and a failure is reported by the producer.
    """

    __slots__ = ("_outcome", "_waiting", "closes", "is_uncertain", "items", "seq", "size")

    def __init__(self) -> None:
        self.items: list[bytes] = []
        self.size = 0
        self.closes = False
        """Whether the stream ends with this batch."""
        self.seq = -1
        """The sequence number under which it is sent."""
        self.is_uncertain = False
        """Whether a request with it was lost, so that the server may have it, or may get it later."""
        self._outcome: Receipt | Exception | None = None
        self._waiting: list[Deferred[Receipt]] = []

    @property
    def is_watched(self) -> bool:
        """Whether somebody waits for the outcome."""
        return bool(self._waiting)

    def when_settled(self) -> Deferred[Receipt]:
        """Fires when the server has the batch; fails with ``ClientError`` when it will not get there.

        Or with what a header's callable raised.
        """
        if isinstance(self._outcome, Exception):
            return fail(self._outcome)
        if self._outcome is not None:
            return succeed(self._outcome)
        waiting: Deferred[Receipt] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def __await__(self) -> Generator[Any, Any, Receipt]:
        return self.when_settled().__await__()

    def settle(self, outcome: Receipt | Exception) -> None:
        """The producer knows how it ended."""
        self._outcome = outcome
        self.items = []
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            if isinstance(outcome, Exception):
                deferred.errback(outcome)
            else:
                deferred.callback(outcome)
