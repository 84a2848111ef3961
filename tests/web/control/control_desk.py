"""A desk with subscriptions: our own requests in, our own responses out, and receivers that answer when told to."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred

from durable_streams.subscriptions.memory_store import MemorySubscriptionStore
from durable_streams.subscriptions.service import SubscriptionService
from durable_streams.subscriptions.settings import SubscriptionSettings
from durable_streams.web.application import StreamApplication
from durable_streams.web.settings import HttpSettings
from tests.subscriptions.world import HOOK, Receivers
from tests.web.desk import ROOT, Answer, Desk

WEBHOOK = {"type": "webhook", "pattern": "events/*", "webhook": {"url": HOOK}}
PULL = {"type": "pull-wake", "pattern": "events/*", "wake_stream": "wake/pool"}


class ControlDesk(Desk):
    """``sub`` is what tests call the subscription that they look at."""

    def __init__(self, prefix: str = ROOT, public_url: str | None = None) -> None:
        super().__init__()
        self.receivers = Receivers(self.clock)
        settings = SubscriptionSettings(public_url=public_url)
        self.subscriptions = SubscriptionService(self.service, MemorySubscriptionStore(), self.receivers, settings)
        self.subscriptions.startService()
        self.application = StreamApplication(self.service, HttpSettings(), prefix, self.subscriptions)

    def stop(self) -> Deferred[None]:
        self.subscriptions.stopService()
        return super().stop()

    def control(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """A request to a path below ``__ds/``; the body becomes JSON."""
        content = b"" if body is None else json.dumps(body).encode()
        return self.ask(method, f"__ds/{path}", content, **headers)

    def subscribe(self, subscription_id: str = "sub", body: Any = None) -> Answer:
        return self.control("PUT", f"subscriptions/{subscription_id}", body or WEBHOOK)

    def pool(self) -> None:
        """A pull-wake subscription ``sub``, and one event that is pending in ``events/a``."""
        self.json_stream("wake/pool")
        self.json_stream("events/a")
        assert self.subscribe(body=PULL).status == 201
        self.post("events/a", "1", Content_Type="application/json")

    def claim(self, worker: str = "worker-1") -> Any:
        """The body of a claim that succeeds."""
        answer = self.control("POST", "subscriptions/sub/claim", {"worker": worker})
        assert answer.status == 200, answer.text
        return answer.json

    def report(self, action: str, claimed: Any, token: str | None = None, **members: Any) -> Answer:
        """An ack, a callback or a release with the wake and the token of a claim."""
        body = {"wake_id": claimed["wake_id"], "generation": claimed["generation"], **members}
        return self.control(
            "POST", f"subscriptions/sub/{action}", body, Authorization=f"Bearer {token or claimed['token']}"
        )
