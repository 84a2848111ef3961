"""A wake in a worker's hands: acks, signs of life, and its end (Sections 7.1 to 7.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from twisted.internet.defer import Deferred

from durable_streams.client.errors import ClientError
from durable_streams.client.request import Request, StreamRequests, WholeAnswer
from durable_streams.client.retry import is_passing, was_not_done
from durable_streams.client.subscription_errors import Fenced
from durable_streams.client.subscription_results import Claimed, PendingStream, decoded, reported_of


class WakeLease:
    """A webhook's wake, for which the receiver calls back. ``lease_ttl`` is in seconds.

    ``streams`` are as they were when the wake was issued. Acks map paths to the offsets up to which everything was
    processed. Every member may fail with ``ClientError``; with ``Fenced``, ``SubscriptionNotFound`` or ``TokenRefused``
    when the wake is no longer this worker's.
    """

    def __init__(
        self,
        reports: StreamRequests,
        subscription_id: str,
        wake_id: str,
        generation: int,
        token: str,
        streams: Sequence[PendingStream],
        lease_ttl: float,
    ) -> None:
        self._reports = reports
        self._token = token
        self.subscription_id = subscription_id
        self.wake_id = wake_id
        self.generation = generation
        self.streams = streams
        self.lease_ttl = lease_ttl

    def ack(self, acks: Mapping[str, str]) -> Deferred[None]:
        """Move cursors, none with an empty mapping, and extend the lease. May be repeated."""
        return Deferred.fromCoroutine(self._ack(acks))

    def done(self, acks: Mapping[str, str]) -> Deferred[bool]:
        """Move cursors and end the wake; fires with whether work is left, for which another wake follows."""
        return Deferred.fromCoroutine(self._done(acks))

    def give_back(self, acks: Mapping[str, str]) -> Deferred[None]:
        """Move cursors and leave the rest to a later wake: of a webhook, when its lease has ended."""
        return self.ack(acks)

    # --- inside

    async def _ack(self, acks: Mapping[str, str]) -> None:
        await self._reports.perform(self._report(acks, done=False))

    async def _done(self, acks: Mapping[str, str]) -> bool:
        answer = await _last_word(self._reports, self._report(acks, done=True))
        return True if answer is None else decoded(reported_of, self._reports.url, answer).next_wake

    def _report(self, acks: Mapping[str, str], *, done: bool) -> Request:
        members = {
            "wake_id": self.wake_id,
            "generation": self.generation,
            "acks": [{"stream": path, "offset": offset} for path, offset in acks.items()],
            "done": done,
        }
        return Request("POST", self._reports.timeouts.answer, {}, self._headers, msgspec.json.encode(members))

    @property
    def _headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}


class ClaimedLease(WakeLease):
    """A wake that was claimed (Section 7.2)."""

    def __init__(
        self, reports: StreamRequests, releases: StreamRequests, subscription_id: str, claimed: Claimed
    ) -> None:
        super().__init__(
            reports,
            subscription_id,
            claimed.wake_id,
            claimed.generation,
            claimed.token,
            claimed.streams,
            claimed.lease_ttl_ms / 1000,
        )
        self._releases = releases

    def give_back(self, acks: Mapping[str, str]) -> Deferred[None]:
        """Move cursors and let another worker have the rest at once."""
        return Deferred.fromCoroutine(self._give_back(acks))

    def release(self) -> Deferred[None]:
        """Let another worker have the wake."""
        return self.give_back({})

    async def _give_back(self, acks: Mapping[str, str]) -> None:
        if acks:
            await self._ack(acks)
        body = msgspec.json.encode({"wake_id": self.wake_id, "generation": self.generation})
        request = Request("POST", self._releases.timeouts.answer, {}, self._headers, body)
        await _last_word(self._releases, request)


async def _last_word(requests: StreamRequests, request: Request) -> WholeAnswer | None:
    """Send what ends a wake, and again where the answer was lost: None when the first one had arrived after all."""
    may_have_arrived = False

    def may_repeat(error: ClientError) -> bool:
        nonlocal may_have_arrived
        may_have_arrived |= is_passing(error) and not was_not_done(error)
        return is_passing(error)

    try:
        return await requests.perform(request, may_repeat)
    except Fenced:
        if not may_have_arrived:
            raise
        return None
