"""Following a stream by long-polls (Section 5.7)."""

from __future__ import annotations

from durable_streams.client.answers import AnswerReader
from durable_streams.client.batch import RawBatch
from durable_streams.client.place import Place
from durable_streams.client.request import Request, StreamRequests

HASTY = 0.1
"""An answer without progress in fewer seconds did not wait; asking again at once would be a busy loop."""


class LongPoll:
    """Asks until the stream is closed."""

    def __init__(self, requests: StreamRequests, place: Place, piece: int | None) -> None:
        self._clock = requests.clock
        self._patience = requests.timeouts.live
        self._place = place
        self._answers = AnswerReader(requests, place, self._request, piece)
        self._pauses = requests.backoff()
        self._hasty = False

    async def next(self) -> RawBatch | None:
        """The next batch, empty when the server's time was up; None when the stream has ended."""
        if self._place.closed:
            return None
        if self._hasty:
            await self._pauses.pause()
        asked, start = self._clock.seconds(), self._place.offset
        batch = await self._answers.next()
        stands_still = not batch.data and self._place.offset == start
        self._hasty = stands_still and self._clock.seconds() - asked < HASTY
        if not self._hasty:
            self._pauses.succeeded()
        return batch

    def stop(self) -> None:
        """Close the connection if there is one."""
        self._answers.stop()

    def _request(self) -> Request:
        return Request("GET", self._patience, {**self._place.query(), "live": "long-poll"})
