"""Subscriptions as a program has them in its hands, against the real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from durable_streams.client import ConnectionFailed, ParseError, RetryPolicy, Timeouts
from durable_streams.client.subscription import SubscriptionHandle
from durable_streams.client.subscription_errors import (
    AlreadyClaimed,
    Fenced,
    NoPendingWork,
    SubscriptionExists,
    SubscriptionNotFound,
    TokenRefused,
    WebhookUrlRejected,
)
from durable_streams.testing import MemoryServer
from tests.client.outcomes import error_of, result_of
from tests.client.scripted_server import ScriptedServer, answer
from tests.subscriptions.world import HOOK, NOW, Receivers


class Server(MemoryServer):
    """With receivers that answer when they are told to, and a wake stream."""

    def __init__(self) -> None:
        clock = Clock()
        clock.advance(NOW)
        self.receivers = Receivers(clock)
        super().__init__(clock, webhooks=self.receivers)
        for name in ("wake/pool", "events/a"):
            result_of(self.service.create(name, content_type="application/json"))
        self.sub = self.directory().subscription("my sub/ä")

    def append(self, name: str = "events/a", *messages: object) -> str:
        return result_of(self.service.append_json(name, *(messages or (1,)))).next_offset


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    result_of(server.stop())


def pull(server: Server) -> SubscriptionHandle:
    result_of(server.sub.create_pull_wake("wake/pool", pattern="events/*"))
    return server.sub


def test_creation_confirmation_and_conflict(server: Server) -> None:
    """6.2: what was asked for comes back."""
    first = result_of(server.sub.create_webhook(HOOK, pattern="events/*", streams=["x"], description="d"))
    again = result_of(server.sub.create_webhook(HOOK, pattern="events/*", streams=["x"], description="d"))
    assert (first.is_new, again.is_new, first.subscription) == (True, False, again.subscription)
    made = first.subscription
    assert (made.subscription_id, made.type, made.pattern, made.status) == ("my sub/ä", "webhook", "events/*", "active")
    assert made.webhook is not None
    assert made.webhook.url == HOOK
    assert made.webhook.signing is not None
    assert made.webhook.signing.jwks_url == "http://memory.test/v1/stream/__ds/jwks.json"
    assert sorted(made.cursors) == ["events/a", "x"]
    refusal = error_of(server.sub.create_pull_wake("wake/pool", pattern="events/*"), SubscriptionExists)
    assert (refusal.status, refusal.code) == (409, "SUBSCRIPTION_ALREADY_EXISTS")


def test_an_unsafe_url(server: Server) -> None:
    """12.8: a refusal of its own."""
    assert error_of(server.sub.create_webhook("https://10.0.0.1/", pattern="**"), WebhookUrlRejected).status == 400


def test_reading_membership_and_deletion(server: Server) -> None:
    """6.3, 6.4: each may be repeated."""
    pull(server)
    for _ in range(2):
        result_of(server.sub.add_streams("x/é", "events/a"))
    shown = result_of(server.sub.read())
    assert {stream.path: stream.link_type for stream in shown.streams} == {
        "events/a": "explicit",
        "x/%C3%A9": "explicit",
    }
    for path in ("x/é", "x/%C3%A9", "events/a"):
        result_of(server.sub.remove_stream(path))
    assert [stream.link_type for stream in result_of(server.sub.read()).streams] == ["glob"]
    for _ in range(2):
        result_of(server.sub.delete())
    for missing in (server.sub.read(), server.sub.add_streams("a"), server.sub.claim("w")):
        assert error_of(missing, SubscriptionNotFound).status == 404


def test_claim_ack_done(server: Server) -> None:
    """7.2: the lease of a wake."""
    sub = pull(server)
    error_of(sub.claim("w"), NoPendingWork)
    tail = server.append()
    lease = result_of(sub.claim("worker-1"))
    assert (lease.generation, lease.lease_ttl) == (1, 30.0)
    assert [(stream.path, stream.tail_offset) for stream in lease.streams] == [("events/a", tail)]
    refusal = error_of(sub.claim("worker-2"), AlreadyClaimed)
    assert (refusal.current_holder, refusal.generation) == ("worker-1", 1)
    result_of(lease.ack({}))
    later = server.append()
    assert result_of(lease.done({"events/a": tail})) is True
    error_of(lease.ack({}), Fenced)
    lease = result_of(sub.claim("worker-2"))
    assert result_of(lease.done({"events/a": later})) is False
    assert result_of(sub.read()).cursors == {"events/a": later}


def test_release_and_give_back(server: Server) -> None:
    """7.2: the next worker may have it at once."""
    sub = pull(server)
    server.append()
    result_of(result_of(sub.claim("worker-1")).release())
    lease = result_of(sub.claim("worker-2"))
    tail = lease.streams[0].tail_offset
    result_of(lease.give_back({"events/a": tail}))
    error_of(lease.release(), Fenced)
    assert result_of(sub.read()).cursors == {"events/a": tail}


def test_a_token_of_nobody(server: Server) -> None:
    """12.9: 401."""
    sub = pull(server)
    server.append()
    lease = result_of(sub.claim("w"))
    lease._token = "forged"
    assert error_of(lease.ack({}), TokenRefused).status == 401


class TestLostAnswers:
    """What is repeated when a connection breaks, and what that means."""

    def subscription(self, server: ScriptedServer) -> SubscriptionHandle:
        handle = server.stream(retry=RetryPolicy(max_retries=2, initial_delay=1), timeouts=Timeouts(answer=20))
        return SubscriptionHandle("http://scripted.test/", "sub", handle.requests)

    CLAIMED = answer(
        200,
        {"Content-Type": "application/json"},
        b'{"wake_id": "w_1", "generation": 1, "token": "t", "streams": [], "lease_ttl_ms": 1000}',
    )
    FENCED = answer(409, {"Content-Type": "application/json"}, b'{"error": {"code": "FENCED"}}')

    def test_a_claim_is_not_repeated(self) -> None:
        """7.2: it would find the lease held by the same worker."""
        server = ScriptedServer([lambda asked: asked.cut()])
        claiming = self.subscription(server).claim("w")
        server.advance(10)
        error_of(claiming, ConnectionFailed)

    def test_done_that_had_arrived_is_done(self) -> None:
        """7.2: the repetition is fenced by the first one; whether work is left is not known then."""
        server = ScriptedServer([self.CLAIMED, lambda asked: asked.cut(), self.FENCED])
        claiming = self.subscription(server).claim("w")
        server.advance()
        ending = result_of(claiming).done({"a": "1"})
        server.advance(5)
        assert result_of(ending) is True
        bodies = [asked.body for asked in server.asked[1:]]
        assert (
            bodies[0]
            == bodies[1]
            == (b'{"wake_id":"w_1","generation":1,"acks":[{"stream":"a","offset":"1"}],"done":true}')
        )
        assert server.asked[1].headers["authorization"] == "Bearer t"

    def test_done_that_is_fenced_at_once_has_failed(self) -> None:
        """7.3: nothing of it has counted."""
        server = ScriptedServer([self.CLAIMED, self.FENCED])
        claiming = self.subscription(server).claim("w")
        server.advance()
        ending = result_of(claiming).done({})
        server.advance()
        error_of(ending, Fenced)

    def test_an_answer_that_is_none(self) -> None:
        """Not what the protocol promises."""
        server = ScriptedServer([answer(200, {"Content-Type": "application/json"}, b'{"ok": 1}')])
        reading = self.subscription(server).read()
        error_of(reading, ParseError)
