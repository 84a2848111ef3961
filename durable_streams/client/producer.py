"""An idempotent producer: appends without waiting, each exactly once (Section 5.2.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from durable_streams.client.delivery import Delivery
from durable_streams.client.errors import InvalidArgument, ProducerStopped
from durable_streams.client.producer_batch import ProducerBatch, Receipt
from durable_streams.client.request import StreamRequests
from durable_streams.protocol.integers import LARGEST

_log = Logger()
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Batching:
    """How a producer joins appends to requests. Sizes are bytes, ``linger`` is seconds.

    A batch is sent when it has ``max_bytes`` or ``max_items``, or when ``linger`` is over and fewer than
    ``max_in_flight`` batches are under way; while all are, it goes on growing. With ``linger`` 0 that is the next
    reactor turn. ``max_buffered`` is when ``Producer.ready`` begins to wait; nothing is refused beyond it.

    Raises ``InvalidArgument``.
    """

    max_bytes: int = 1024 * 1024
    max_items: int = 10_000
    linger: float = 0.0
    max_in_flight: int = 5
    max_buffered: int = 32 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_items", "max_in_flight", "max_buffered"):
            if getattr(self, name) <= 0:
                raise InvalidArgument(name, "must be positive")
        if self.linger < 0:
            raise InvalidArgument("linger", "must not be negative")


class Producer:
    """Appends to one stream under one producer id; made by ``StreamHandle.producer``.

    ``append`` never waits. Batches are repeated over lost connections and restarts of the server until they are
    accepted or the retry policy's patience ends, and the server drops what it has already: nothing is lost, doubled
    or reordered.

    Who starts again under the same id must pass a higher ``epoch`` than before; that also fences off a former self
    which is still alive. ``auto_claim`` finds a fresh epoch by itself, when the first batch is sent; two live
    producers that do so fence each other off.

    A batch that the server refuses for its content fails alone. Any other failure stops the producer: ``append`` then
    raises ``ProducerStopped``. ``on_error(batch, error)`` is called for each batch that fails; without it, a failure
    that nobody waits for is logged, and the next ``flush`` fails with it.
    """

    def __init__(
        self,
        requests: StreamRequests,
        content_type: Callable[[], Awaitable[str]],
        producer_id: str,
        *,
        epoch: int,
        auto_claim: bool,
        batching: Batching,
        on_error: Callable[[ProducerBatch, Exception], object] | None,
    ) -> None:
        if not producer_id:
            raise InvalidArgument("producer_id", "must not be empty")
        if not 0 <= epoch <= LARGEST:
            raise InvalidArgument("epoch", f"must be from 0 to {LARGEST}")
        self.url = requests.url
        self.producer_id = producer_id
        self._clock = requests.clock
        self._batching = batching
        self._on_error = on_error
        self._delivery = Delivery(
            requests,
            content_type,
            producer_id,
            epoch,
            auto_claim,
            batching.max_in_flight,
            self._take_ripe,
            self._settled,
        )
        self._open: ProducerBatch | None = None
        self._is_ripe = False
        self._linger: IDelayedCall | None = None
        self._unsettled: dict[ProducerBatch, None] = {}
        self._unseen: Exception | None = None
        self._stopped: str | None = None
        self._closing: ProducerBatch | None = None
        self._ready: list[Deferred[None]] = []
        self.buffered = 0
        """Bytes that the server does not have yet."""

    @property
    def epoch(self) -> int:
        """The epoch under which batches are sent; it changes when a newer one is claimed."""
        return self._delivery.epoch

    @property
    def next_seq(self) -> int:
        """The sequence number of the batch that will be sent next."""
        return self._delivery.next_seq

    # --- appending

    def append(self, data: bytes | str) -> ProducerBatch:
        """Append bytes or text; to a JSON stream, the JSON text of one message.

        The batch that it becomes part of can be awaited, and need not be. Raises ``ProducerStopped``.
        """
        batch = self._add(data)
        if batch.size >= self._batching.max_bytes or len(batch.items) >= self._batching.max_items:
            self._seal()
        return batch

    def append_json(self, message: object) -> ProducerBatch:
        """Append a Python value as one message of a JSON stream. Otherwise as ``append``."""
        return self.append(_encode(message))

    def ready(self) -> Deferred[None]:
        """Fires when few enough bytes are buffered: a producer that can outrun the server should wait for it.

        Fires also when the producer has failed; the next ``append`` tells.
        """
        if self.buffered < self._batching.max_buffered:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._ready.remove)
        self._ready.append(waiting)
        return waiting

    # --- ending

    def flush(self) -> Deferred[None]:
        """Send what is waiting, and fire when everything appended so far has arrived.

        Fails with the ``ClientError`` of the first batch that did not.
        """
        settling = [batch.when_settled() for batch in self._unsettled]
        self._ripen()
        return Deferred.fromCoroutine(self._flush(settling))

    def close(self, data: bytes | str | None = None) -> Deferred[Receipt]:
        """Send what is waiting with ``data`` as its end, and close the stream in the same request.

        May be repeated, then without effect. Fails with ``ClientError``; with ``ProducerStopped`` after ``detach``.
        """
        if self._closing is not None:
            return self._closing.when_settled()
        if data is not None:
            self._add(data)
        batch = self._open or self._begin()
        batch.closes = True
        self._closing = batch
        self._stopped = "it was closed"
        self._seal()
        return batch.when_settled()

    def close_json(self, message: object) -> Deferred[Receipt]:
        """As ``close``, with a Python value as the last message."""
        return self.close(_encode(message))

    def detach(self) -> Deferred[None]:
        """Flush and take nothing more; the stream stays open. May be repeated."""
        self._stopped = self._stopped or "it was detached"
        self._seal()
        return self.flush()

    # --- inside

    def _add(self, data: bytes | str) -> ProducerBatch:
        if isinstance(data, str):
            data = data.encode()
        size = len(data)
        batch = self._open
        if batch is None or batch.size + size > self._batching.max_bytes:
            batch = self._begin()
        batch.items.append(data)
        batch.size += size
        self.buffered += size
        return batch

    def _begin(self) -> ProducerBatch:
        """A fresh batch to fill; the one before is sealed."""
        if self._delivery.failure is not None:
            raise ProducerStopped(self.url, "a batch failed") from self._delivery.failure
        if self._stopped is not None:
            raise ProducerStopped(self.url, self._stopped)
        self._seal()
        batch = ProducerBatch()
        self._open = batch
        self._unsettled[batch] = None
        self._linger = self._clock.callLater(self._batching.linger, self._ripen)
        return batch

    def _seal(self) -> None:
        batch = self._take_open()
        if batch is not None:
            self._delivery.enqueue(batch)

    def _ripen(self) -> None:
        self._is_ripe = self._open is not None
        self._delivery.launch()

    def _take_ripe(self) -> ProducerBatch | None:
        return self._take_open() if self._is_ripe else None

    def _take_open(self) -> ProducerBatch | None:
        batch, self._open = self._open, None
        self._is_ripe = False
        linger, self._linger = self._linger, None
        if linger is not None and linger.active():
            linger.cancel()
        return batch

    def _settled(self, batch: ProducerBatch, outcome: Receipt | Exception) -> None:
        del self._unsettled[batch]
        self.buffered -= batch.size
        if isinstance(outcome, Exception):
            self._report(batch, outcome)
        batch.settle(outcome)
        if self._delivery.failure is not None:
            self._seal()
        if self._ready and (self.buffered < self._batching.max_buffered or self._delivery.failure is not None):
            ready, self._ready = self._ready, []
            for waiting in ready:
                waiting.callback(None)

    def _report(self, batch: ProducerBatch, error: Exception) -> None:
        if self._on_error is not None:
            try:
                self._on_error(batch, error)
            except Exception:
                _log.failure("an on_error callback failed")
        elif not batch.is_watched:
            self._unseen = self._unseen or error
            _log.error("appends were lost: {error}", error=error)

    async def _flush(self, settling: list[Deferred[Receipt]]) -> None:
        outcomes: Any = await DeferredList(settling, consumeErrors=True)
        failures = [outcome.value for arrived, outcome in outcomes if not arrived]
        unseen, self._unseen = self._unseen, None
        for error in (unseen, *failures, self._delivery.failure):
            if error is not None:
                raise error
