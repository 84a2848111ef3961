"""One answer after the other: what catch-up and long-poll have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable

from durable_streams.client.batch import RawBatch
from durable_streams.client.errors import ClientError, OffsetTrimmed
from durable_streams.client.place import Place
from durable_streams.client.request import Answer, Request, StreamRequests

PIECE = 4 * 1024 * 1024
"""Bytes of one answer that are yielded at once where they can be; a server may answer with a whole stream."""


class AnswerReader:
    """Reads on from a place by asking ``request()`` again and again, over lost connections.

    ``piece`` is how many bytes of an answer may be yielded before it is complete; None yields whole answers only. An
    answer that breaks off is asked for again, and what was yielded of it is skipped: bytes at a position never change.
    """

    def __init__(
        self, requests: StreamRequests, place: Place, request: Callable[[], Request], piece: int | None
    ) -> None:
        self._requests = requests
        self._place = place
        self._request = request
        self._piece = piece
        self._backoff = requests.backoff()
        self._answer: Answer | None = None
        self._yielded = 0
        """Bytes after the place's offset that the caller has already."""
        self._to_skip = 0

    async def next(self) -> RawBatch:
        """The next answer, or the next piece of it. Raises ``ClientError`` when patience ends."""
        while True:
            try:
                batch = await self._next_piece()
                self._backoff.succeeded()
                return batch
            except ClientError as error:
                self.stop()
                if isinstance(error, OffsetTrimmed):
                    # Whatever is read next does not go on with this answer.
                    self._yielded = 0
                await self._backoff.pause_after(error)

    def stop(self) -> None:
        """Close the connection if an answer is under way."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.body.stop()

    async def _next_piece(self) -> RawBatch:
        if self._answer is None:
            self._answer = await self._requests.attempt(self._request())
            self._to_skip = self._yielded
        answer = self._answer
        data = await answer.body.take(sys.maxsize if self._piece is None else self._to_skip + self._piece)
        fresh = data[self._to_skip :]
        self._to_skip = max(0, self._to_skip - len(data))
        if answer.body.has_ended:
            self._answer, self._yielded = None, self._to_skip
            start = self._place.offset
            self._place.advance_by(answer.headers)
            if self._place.offset == start:
                # Data move the offset: these were received before, or are an empty array.
                fresh = b""
        elif fresh and self._piece is not None:
            self._yielded += len(fresh)
        else:
            await answer.body.take()
        return self._place.batch([fresh] if fresh else [])
