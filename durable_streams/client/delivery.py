"""Getting a producer's batches to the server: each once, in their order, several under way at a time (Section 5.2.1).

Every batch has the next sequence number of the producer's epoch, and keeps it however often it is sent. The server
takes them strictly in that order, so whatever fails in passing can be repeated. What it refuses for good is another
matter:

- A batch that overtook its predecessor is refused as a gap. It waits until the predecessor has arrived.
- A batch that is itself unfit (400, 413) leaves its number unused. The batches behind it are renumbered, but only
  when the server has refused every request they were sent in: one that was lost might still arrive under its old
  number.
- Everything else (fenced, closed, deleted, patience at an end) fails this batch and all behind it.

The first batch of an epoch goes alone: until it is accepted, a later one would be malformed to the server.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from durable_streams.client.errors import (
    BadRequest,
    ClientError,
    PayloadTooLarge,
    ProducerFenced,
    ProducerSequenceGap,
)
from durable_streams.client.producer_batch import ProducerBatch, Receipt
from durable_streams.client.request import Request, StreamRequests
from durable_streams.client.retry import was_not_done
from durable_streams.protocol.content_types import Kind, kind_of

CLAIMS = 5
"""How often a producer claims a newer epoch before it concedes that somebody else does the same."""

_log = Logger()


class Delivery:
    """The batches of one producer from the moment they are sealed.

    ``content_type`` asks for the stream's, which decides how appends are joined. ``take_ripe`` gives the batch that is
    being filled, if it may be sent now. ``settled`` is told of each batch and its outcome.
    """

    def __init__(
        self,
        requests: StreamRequests,
        content_type: Callable[[], Awaitable[str]],
        producer_id: str,
        epoch: int,
        auto_claim: bool,
        max_in_flight: int,
        take_ripe: Callable[[], ProducerBatch | None],
        settled: Callable[[ProducerBatch, Receipt | Exception], None],
    ) -> None:
        self.epoch = epoch
        self.next_seq = 0
        self.failure: Exception | None = None
        """Why nothing more can be sent, or None."""
        self._requests = requests
        self._content_type = content_type
        self._producer_id = producer_id
        self._auto_claim = auto_claim
        self._max_in_flight = max_in_flight
        self._take_ripe = take_ripe
        self._settled = settled
        self._claims = 0
        self._established = False
        self._queue: deque[ProducerBatch] = deque()
        self._in_flight: dict[int, ProducerBatch] = {}
        self._deliveries: dict[ProducerBatch, Deferred[None]] = {}
        self._overtook: dict[int, Deferred[bool]] = {}
        """Refused as gaps, by sequence number; True sends the batch again, False leaves it to be renumbered."""
        self._unfit: tuple[int, ClientError] | None = None
        """The sequence number that a refused batch has left unused."""
        self._is_launching = False

    def enqueue(self, batch: ProducerBatch) -> None:
        """Send the batch as soon as its turn comes."""
        if self.failure is not None:
            self._settled(batch, self.failure)
            return
        self._queue.append(batch)
        self.launch()

    def launch(self) -> None:
        """Send whatever may be sent now."""
        if self._is_launching:
            return
        self._is_launching = True
        try:
            while (batch := self._next()) is not None:
                self._send(batch)
        finally:
            self._is_launching = False

    # --- sending

    def _next(self) -> ProducerBatch | None:
        if self.failure is not None or self._unfit is not None:
            return None
        if len(self._in_flight) >= (self._max_in_flight if self._established else 1):
            return None
        if not self._queue:
            return self._take_ripe()
        if self._queue[0].closes and self._in_flight:
            return None
        return self._queue.popleft()

    def _send(self, batch: ProducerBatch) -> None:
        batch.seq = self.next_seq
        self.next_seq += 1
        self._in_flight[batch.seq] = batch
        delivery = Deferred.fromCoroutine(self._deliver(batch))
        if not delivery.called:
            self._deliveries[batch] = delivery
        delivery.addErrback(lambda failure: failure.trap(CancelledError))
        delivery.addErrback(lambda failure: _log.failure("a batch was dropped by a bug", failure))

    async def _deliver(self, batch: ProducerBatch) -> None:
        """Send the batch until it is accepted or refused for good."""
        backoff = self._requests.backoff()
        while True:
            may_overtake = self._lacks_predecessor(batch)
            try:
                receipt = await self._post(batch)
                if not self._is_of_another_session(batch, receipt):
                    self._accept(batch, receipt)
                    return
                self._claim(self.epoch + 1)
            except ProducerSequenceGap as error:
                if not may_overtake:
                    self._give_up(batch, error)
                    return
                if self._lacks_predecessor(batch) and not await self._turn_of(batch):
                    return
            except ProducerFenced as error:
                if not self._may_claim(batch):
                    self._give_up(batch, error)
                    return
                self._claim(error.current_epoch + 1)
            except (BadRequest, PayloadTooLarge) as error:
                self._refuse(batch, error)
                return
            except ClientError as error:
                batch.is_uncertain |= not was_not_done(error)
                try:
                    await backoff.pause_after(error)
                except ClientError:
                    self._give_up(batch, error)
                    return
            except CancelledError:
                raise
            except Exception as error:
                # The caller's own: what gives a header or a parameter has failed.
                self._give_up(batch, error)
                return

    async def _post(self, batch: ProducerBatch) -> Receipt:
        headers = {
            "Producer-Id": self._producer_id,
            "Producer-Epoch": str(self.epoch),
            "Producer-Seq": str(batch.seq),
        }
        if batch.closes:
            headers["Stream-Closed"] = "true"
        body = b""
        if batch.items:
            headers["Content-Type"] = content_type = await self._content_type()
            body = _joined(batch.items, content_type)
        answer = await self._requests.attempt(Request("POST", self._requests.timeouts.answer, {}, headers, body))
        await answer.body.take(sys.maxsize)
        return Receipt(
            answer.headers.get("Stream-Next-Offset"),
            answer.headers.is_true("Stream-Closed"),
            answer.status == 204 and bool(batch.items),
            self.epoch,
            batch.seq,
        )

    # --- outcomes

    def _accept(self, batch: ProducerBatch, receipt: Receipt) -> None:
        self._established = True
        self._leave(batch)
        self._settled(batch, receipt)
        successor = self._overtook.pop(batch.seq + 1, None)
        if successor is not None:
            successor.callback(True)
        self.launch()

    def _refuse(self, batch: ProducerBatch, error: ClientError) -> None:
        """The batch is unfit: what follows takes its number."""
        self._leave(batch)
        if self._unfit is None or batch.seq < self._unfit[0]:
            self._unfit = (batch.seq, error)
        self._settled(batch, error)
        self._renumber_when_quiet()

    def _give_up(self, batch: ProducerBatch, error: Exception) -> None:
        # Its own delivery is what runs here, and ends by itself.
        self._deliveries.pop(batch, None)
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Nothing can follow any more: the batches that are not accepted yet fail with the error."""
        self.failure = error
        unsent = [self._in_flight[seq] for seq in sorted(self._in_flight)] + list(self._queue)
        self._in_flight.clear()
        self._queue.clear()
        self._overtook.clear()
        deliveries, self._deliveries = self._deliveries, {}
        for delivery in deliveries.values():
            delivery.cancel()
        for each in unsent:
            self._settled(each, error)

    def _leave(self, batch: ProducerBatch) -> None:
        del self._in_flight[batch.seq]
        self._deliveries.pop(batch, None)

    # --- batches that overtook another

    def _lacks_predecessor(self, batch: ProducerBatch) -> bool:
        """Whether the batch with the number before is not accepted yet, or never will be."""
        return batch.seq - 1 in self._in_flight or self._unfit is not None

    def _turn_of(self, batch: ProducerBatch) -> Deferred[bool]:
        turn: Deferred[bool] = Deferred()
        self._overtook[batch.seq] = turn
        self._renumber_when_quiet()
        return turn

    def _renumber_when_quiet(self) -> None:
        """Close the gap that an unfit batch has left, as soon as no request of those behind it is under way."""
        if self._unfit is None or len(self._overtook) < len(self._in_flight):
            return
        (seq, error), self._unfit = self._unfit, None
        behind = [self._in_flight[number] for number in sorted(self._in_flight)]
        turns, self._overtook = self._overtook, {}
        self._in_flight.clear()
        self._deliveries.clear()
        self._queue.extendleft(reversed(behind))
        self.next_seq = seq
        for turn in turns.values():
            turn.callback(False)
        if any(batch.is_uncertain for batch in behind):
            self._fail(error)
        else:
            self.launch()

    # --- epochs

    def _may_claim(self, batch: ProducerBatch) -> bool:
        return self._auto_claim and not self._established and not batch.is_uncertain and self._claims < CLAIMS

    def _claim(self, epoch: int) -> None:
        self._claims += 1
        self.epoch = epoch

    def _is_of_another_session(self, batch: ProducerBatch, receipt: Receipt) -> bool:
        """Whether a batch that was never sent before counts as a duplicate: an earlier session has used the epoch."""
        return receipt.duplicate and self._may_claim(batch)


def _joined(items: Sequence[bytes], content_type: str) -> bytes:
    """One request's body. JSON messages travel in an array, so that a message which is an array itself stays one."""
    if kind_of(content_type) is Kind.JSON:
        return b"[%b]" % b",".join(items)
    return b"".join(items)
