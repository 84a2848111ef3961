"""The two ways in which a wake travels: to a webhook receiver, or onto a wake stream (Sections 7.1 and 7.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from durable_streams.protocol.commands import Append
from durable_streams.service import StreamService
from durable_streams.subscriptions.key_ring import KeyRing, webhook_signature
from durable_streams.subscriptions.request_slots import RequestSlots
from durable_streams.subscriptions.settings import SubscriptionSettings
from durable_streams.subscriptions.state import Definition, Progress, StreamState
from durable_streams.subscriptions.tokens import mint_token
from durable_streams.subscriptions.wake_messages import wake_event, webhook_body
from durable_streams.subscriptions.webhook import Answer, Webhooks


class Courier(Protocol):
    """Carries wakes."""

    def when_free(self, definition: Definition, work: Callable[[], Deferred[None]]) -> Deferred[None]:
        """Do work that ends in ``carry`` as soon as there is room for it; may be cancelled."""

    def carry(self, definition: Definition, progress: Progress, snapshot: Sequence[StreamState]) -> Deferred[Answer]:
        """Bring the wake in flight to where it belongs. Fails with whatever went wrong."""


class WebhookCourier:
    """Carries wakes to receivers, each signed, for as long as the lease lasts."""

    def __init__(self, webhooks: Webhooks, keys: KeyRing, clock: IReactorTime, settings: SubscriptionSettings) -> None:
        self._webhooks = webhooks
        self._keys = keys
        self._clock = clock
        self._public_url = settings.public_url
        self._slots = RequestSlots(settings.most_requests, settings.most_requests_per_host)

    def when_free(self, definition: Definition, work: Callable[[], Deferred[None]]) -> Deferred[None]:
        return self._slots.run(urlsplit(definition.configuration.webhook_url or "").netloc, work)

    def carry(self, definition: Definition, progress: Progress, snapshot: Sequence[StreamState]) -> Deferred[Answer]:
        url = definition.configuration.webhook_url
        assert url is not None
        now = self._clock.seconds()
        token = mint_token(self._keys.token_secret, definition.subscription_id, progress.generation, now)
        root = self._public_url or definition.root
        body = webhook_body(definition.subscription_id, progress, snapshot, root, token)
        signature = webhook_signature(self._keys.signing_key(now), body, now)
        return self._webhooks.send(url, body, signature, definition.configuration.lease_ttl)


class WakeStreamCourier:
    """Writes wakes to wake streams, which applications have created."""

    def __init__(self, streams: StreamService, clock: IReactorTime) -> None:
        self._streams = streams
        self._clock = clock

    def when_free(self, definition: Definition, work: Callable[[], Deferred[None]]) -> Deferred[None]:
        return work()

    def carry(self, definition: Definition, progress: Progress, snapshot: Sequence[StreamState]) -> Deferred[Answer]:
        path = definition.configuration.wake_stream
        assert path is not None
        event = wake_event(definition.subscription_id, progress, self._clock.seconds())
        return self._streams.perform_append(Append(path, event)).addCallback(lambda _: Answer.ACCEPTED)
