"""A handle for one subscription (Section 6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from twisted.internet.defer import Deferred

from durable_streams.client.request import Request, StreamRequests, WholeAnswer
from durable_streams.client.retry import was_not_done
from durable_streams.client.subscription_results import Subscription, claimed_of, decoded, subscription_of
from durable_streams.client.wake_lease import ClaimedLease

LEASE_TTL_MS = 30_000


class CreatedSubscription(NamedTuple):
    """A subscription after its creation. ``is_new`` is False when it was there with the same configuration."""

    is_new: bool
    subscription: Subscription


class SubscriptionHandle:
    """One subscription of a server. Make it by ``StreamDirectory.subscription``; making it sends nothing.

    Operations fail with the errors of ``durable_streams.client.errors`` and ``subscription_errors``, and are repeated
    after passing failures as those of a ``StreamHandle`` are.
    """

    def __init__(self, root: str, subscription_id: str, requests: StreamRequests) -> None:
        self.subscription_id = subscription_id
        self.url = f"{root}__ds/subscriptions/{quote(subscription_id, safe='')}"
        self._requests = requests

    def create_webhook(
        self,
        webhook_url: str,
        *,
        pattern: str | None = None,
        streams: Iterable[str] = (),
        lease_ttl_ms: int = LEASE_TTL_MS,
        description: str | None = None,
    ) -> Deferred[CreatedSubscription]:
        """Have wakes sent to a URL, or confirm that it is so (Sections 6.2 and 7.1). May be repeated.

        ``pattern`` takes in the streams that it matches, now and later (``*`` is one segment, ``**`` any number);
        ``streams`` are named one by one. Streams that are there begin at their tail. ``lease_ttl_ms`` is from 1000 to
        600000. Fails with ``SubscriptionExists`` or ``WebhookUrlRejected``.
        """
        delivery = {"type": "webhook", "webhook": {"url": webhook_url}}
        return self._create(delivery, pattern, streams, lease_ttl_ms, description)

    def create_pull_wake(
        self,
        wake_stream: str,
        *,
        pattern: str | None = None,
        streams: Iterable[str] = (),
        lease_ttl_ms: int = LEASE_TTL_MS,
        description: str | None = None,
    ) -> Deferred[CreatedSubscription]:
        """Have wakes written to a stream, from which workers claim them (Section 7.2). Otherwise as ``create_webhook``.

        The wake stream is one of JSON that the application creates.
        """
        delivery = {"type": "pull-wake", "wake_stream": wake_stream}
        return self._create(delivery, pattern, streams, lease_ttl_ms, description)

    def read(self) -> Deferred[Subscription]:
        """The subscription and its cursors (Section 6.3). Fails with ``SubscriptionNotFound``."""
        return Deferred.fromCoroutine(self._read())

    def delete(self) -> Deferred[None]:
        """Delete the subscription if it is there (Section 6.3). May be repeated."""
        return self._ask("DELETE", "").addCallback(lambda _: None)

    def add_streams(self, *paths: str) -> Deferred[None]:
        """Link streams explicitly, from their tails on (Section 6.4). May be repeated."""
        return self._ask("POST", "/streams", {"streams": paths}).addCallback(lambda _: None)

    def remove_stream(self, path: str) -> Deferred[None]:
        """Remove an explicit link; a pattern that matches keeps the stream (Section 6.4). May be repeated."""
        return self._ask("DELETE", f"/streams/{quote(path, safe='')}").addCallback(lambda _: None)

    def claim(self, worker: str) -> Deferred[ClaimedLease]:
        """Claim the wake for a worker, which others see as its holder (Section 7.2).

        Fails with ``AlreadyClaimed``, ``NoPendingWork`` or ``SubscriptionNotFound``. When the answer is lost nobody
        knows whether the claim succeeded; it is not repeated, and the wake comes again when the lease has ended.
        """
        return Deferred.fromCoroutine(self._claim(worker))

    # --- inside

    def _create(
        self,
        delivery: dict[str, Any],
        pattern: str | None,
        streams: Iterable[str],
        lease_ttl_ms: int,
        description: str | None,
    ) -> Deferred[CreatedSubscription]:
        members = {**delivery, "streams": list(streams), "lease_ttl_ms": lease_ttl_ms}
        members |= {} if pattern is None else {"pattern": pattern}
        members |= {} if description is None else {"description": description}
        return self._ask("PUT", "", members).addCallback(
            lambda answer: CreatedSubscription(answer.status == 201, decoded(subscription_of, self.url, answer))
        )

    async def _read(self) -> Subscription:
        return decoded(subscription_of, self.url, await self._ask("GET", ""))

    async def _claim(self, worker: str) -> ClaimedLease:
        requests = self._requests.at(f"{self.url}/claim")
        answer = await requests.perform(_request("POST", requests, {"worker": worker}), was_not_done)
        reports, releases = (self._requests.at(f"{self.url}/{action}") for action in ("ack", "release"))
        return ClaimedLease(reports, releases, self.subscription_id, decoded(claimed_of, requests.url, answer))

    def _ask(self, method: str, below: str, members: object = None) -> Deferred[WholeAnswer]:
        requests = self._requests.at(self.url + below)
        return Deferred.fromCoroutine(requests.perform(_request(method, requests, members)))


def _request(method: str, requests: StreamRequests, members: object) -> Request:
    if members is None:
        return Request(method, requests.timeouts.answer)
    headers = {"Content-Type": "application/json"}
    return Request(method, requests.timeouts.answer, {}, headers, msgspec.json.encode(members))
