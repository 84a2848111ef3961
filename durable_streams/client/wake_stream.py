"""Following a wake stream: who is woken (Section 7.2)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twisted.logger import Logger

from durable_streams.client.errors import ClientError
from durable_streams.client.handle import StreamHandle
from durable_streams.client.reading import Reading
from durable_streams.client.retry import Backoff, is_passing
from durable_streams.protocol.offsets import BEGINNING

_log = Logger()


class WakeStream:
    """Calls ``woken`` with the id of each subscription that may have work, at least once for each wake.

    With ``subscriptions`` it looks at those alone: at its start, because their wakes may have been written before, and
    when a wake names them. Without, it reads the wake stream from its beginning.
    """

    def __init__(self, stream: StreamHandle, subscriptions: Collection[str], woken: Callable[[str], None]) -> None:
        self._stream = stream
        self._subscriptions = frozenset(subscriptions)
        self._woken = woken
        self._offset = BEGINNING

    async def follow(self, backoff: Backoff) -> None:
        """Follow over lost connections, and while there is no wake stream yet, until it is closed."""
        while True:
            try:
                await self._read(backoff)
                _log.warn("the wake stream {url} is closed: no more wakes will come", url=self._stream.url)
                return
            except ClientError as error:
                _log.warn("wakes cannot be read now: {reason}", reason=str(error))
                if not is_passing(error):
                    # What is at this URL later may be another stream.
                    self._offset = BEGINNING
                await backoff.pause()

    async def _read(self, backoff: Backoff) -> None:
        await self._look_at_all()
        reading: Reading[list[Any]] = self._stream.read_json(self._offset, "auto")
        async for batch in reading:
            backoff.succeeded()
            self._offset = batch.offset
            # A wake stream that is read from its beginning may name one subscription very often.
            for subscription_id in dict.fromkeys(map(_subscription_in, batch.data)):
                if subscription_id and (not self._subscriptions or subscription_id in self._subscriptions):
                    self._woken(subscription_id)

    async def _look_at_all(self) -> None:
        if self._subscriptions:
            # The tail first: wakes that come after it will be read.
            self._offset = (await self._stream.head()).offset or BEGINNING
            for subscription_id in self._subscriptions:
                self._woken(subscription_id)


def _subscription_in(message: object) -> str:
    """The subscription that a message wakes; none for what others write to the wake stream."""
    if not isinstance(message, dict) or message.get("type") != "wake":
        return ""
    subscription_id = message.get("subscription_id")
    return subscription_id if isinstance(subscription_id, str) else ""
