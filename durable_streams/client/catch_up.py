"""Reading what is there (Section 5.6)."""

from __future__ import annotations

from durable_streams.client.answers import AnswerReader
from durable_streams.client.batch import RawBatch
from durable_streams.client.place import Place
from durable_streams.client.request import Request, StreamRequests


class CatchUp:
    """Asks until the place is up to date."""

    def __init__(self, requests: StreamRequests, place: Place, piece: int | None) -> None:
        self._patience = requests.timeouts.answer
        self._place = place
        self._answers = AnswerReader(requests, place, self._request, piece)

    async def next(self) -> RawBatch | None:
        """The next batch, or None when there is nothing more for now."""
        place = self._place
        if place.up_to_date:
            return None
        start = place.offset
        batch = await self._answers.next()
        if not batch.data and place.offset == start:
            # No progress: it would answer the same for ever.
            place.up_to_date = True
        return batch

    def stop(self) -> None:
        """Close the connection if there is one."""
        self._answers.stop()

    def _request(self) -> Request:
        return Request("GET", self._patience, self._place.query())
