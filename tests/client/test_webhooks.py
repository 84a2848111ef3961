"""A receiver that trusts nobody without a signature (Sections 6.5, 7.1 and 12.10)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from durable_streams.client import Fenced, RetryPolicy, Work
from durable_streams.client.errors import ClientError, ParseError
from durable_streams.client.wake_session import Outcome, WakeSession
from durable_streams.client.webhooks import SignatureRejected, WebhookVerifier, WebhookWake
from durable_streams.subscriptions.events import Key, KeyPurpose
from durable_streams.subscriptions.key_ring import public_key, webhook_signature
from durable_streams.testing import ROOT, MemoryServer
from tests.client.outcomes import error_of, is_waiting, result_of
from tests.client.scripted_server import ScriptedServer, answer
from tests.subscriptions.world import HOOK, NOW, Call, Receivers

SECRET = b"s" * 32
KEY = Key(public_key(SECRET)["kid"], KeyPurpose.SIGNATURE, SECRET, 0.0)
BODY = (
    b'{"subscription_id": "sub", "wake_id": "w_1", "generation": 1, "streams": [], '
    b'"callback_url": "http://scripted.test/callback", "callback_token": "t"}'
)


def keys(*secrets: bytes, cache_control: str = "public, max-age=300") -> bytes:
    body = json.dumps({"keys": [public_key(secret) for secret in secrets]}).encode()
    return answer(200, {"Content-Type": "application/jwk-set+json", "Cache-Control": cache_control}, body)


class Receiver:
    """A verifier of a server that answers as it is told."""

    def __init__(self, *scripts: Any, **options: Any) -> None:
        self.server = ScriptedServer(scripts)
        self.server.clock.advance(NOW)
        self.verifier = WebhookVerifier(
            "http://scripted.test/__ds/jwks.json",
            self.server.network.treq,
            clock=self.server.clock,
            retry=RetryPolicy(max_retries=0),
            **options,
        )

    def signed(self, body: bytes = BODY, key: Key = KEY) -> str:
        return webhook_signature(key, body, self.server.clock.seconds()).decode()

    def verify(self, body: bytes = BODY, signature: str | bytes | None = None) -> Deferred[WebhookWake]:
        verifying = self.verifier.verify(body, self.signed() if signature is None else signature)
        self.server.advance()
        return verifying

    @property
    def fetches(self) -> int:
        return len(self.server.asked)


def other_key() -> Key:
    secret = b"o" * 32
    return Key(public_key(secret)["kid"], KeyPurpose.SIGNATURE, secret, 0.0)


class TestSignatures:
    """7.1: over the timestamp and the raw body."""

    def test_a_good_one(self) -> None:
        """The wake comes back; the field may be bytes, as servers have it."""
        receiver = Receiver(keys(SECRET))
        wake = result_of(receiver.verify())
        assert (wake.subscription_id, wake.wake_id, wake.generation) == ("sub", "w_1", 1)
        assert result_of(receiver.verify(signature=receiver.signed().encode())) == wake

    def test_another_body(self) -> None:
        """One byte is enough, white space too: the raw body counts."""
        receiver = Receiver(keys(SECRET))
        for body in (BODY + b" ", BODY.replace(b"w_1", b"w_2"), b""):
            error_of(receiver.verify(body, receiver.signed()), SignatureRejected)

    def test_a_key_of_somebody_else(self) -> None:
        """Also under the name of a good one."""
        receiver = Receiver(keys(SECRET))
        stolen_name = Key(KEY.kid, KeyPurpose.SIGNATURE, b"o" * 32, 0.0)
        error_of(receiver.verify(signature=receiver.signed(key=stolen_name)), SignatureRejected)
        error_of(receiver.verify(signature=receiver.signed(key=other_key())), SignatureRejected)

    def test_an_old_one(self) -> None:
        """7.1: timestamps outside of five minutes are refused, in both directions; within, a clock may be wrong."""
        receiver = Receiver(keys(SECRET), keys(SECRET))
        signature = receiver.signed()
        receiver.server.clock.advance(300)
        result_of(receiver.verify(signature=signature))
        receiver.server.clock.advance(1)
        error_of(receiver.verify(signature=signature), SignatureRejected)
        future = webhook_signature(KEY, BODY, receiver.server.clock.seconds() + 301).decode()
        error_of(receiver.verify(signature=future), SignatureRejected)

    @pytest.mark.parametrize("signature", ["", "x", b"\xff", "t=1", f"t=1,kid=a,ed25519={'A' * 85}"])
    def test_nonsense_fetches_nothing(self, signature: str | bytes) -> None:
        """No request is made for what cannot be good."""
        receiver = Receiver()
        error_of(receiver.verify(signature=signature), SignatureRejected)
        error_of(receiver.verifier.verify(BODY, None), SignatureRejected)
        assert receiver.fetches == 0

    @settings(max_examples=50, deadline=None)
    @given(st.integers(0, 200), st.characters())
    def test_no_other_character_will_do(self, position: int, character: str) -> None:
        """A signature that was changed anywhere is refused."""
        receiver = Receiver(keys(SECRET))
        good = receiver.signed()
        position %= len(good)
        changed = good[:position] + character + good[position + 1 :]
        if changed.strip() != good:
            error_of(receiver.verify(signature=changed), SignatureRejected)

    def test_a_signed_body_that_is_no_wake(self) -> None:
        """Another kind of message of the same server."""
        receiver = Receiver(keys(SECRET))
        error_of(receiver.verify(b"{}", receiver.signed(b"{}")), SignatureRejected)

    def test_a_subscription_that_is_not_ours(self) -> None:
        """12.10: receivers of several servers or subscriptions check which one it is."""
        error_of(Receiver(keys(SECRET), subscription_ids={"mine"}).verify(), SignatureRejected)
        result_of(Receiver(keys(SECRET), subscription_ids={"sub"}).verify())


class TestKeys:
    """6.5: fetched when needed, kept as long as allowed."""

    def test_they_are_fetched_once(self) -> None:
        """For as long as the server says; then again."""
        receiver = Receiver(keys(SECRET, cache_control="public, max-age=60"), keys(SECRET))
        for _ in range(5):
            result_of(receiver.verify())
        receiver.server.clock.advance(59)
        result_of(receiver.verify())
        assert receiver.fetches == 1
        receiver.server.clock.advance(1)
        result_of(receiver.verify())
        assert receiver.fetches == 2

    def test_a_new_key_is_found_at_once(self) -> None:
        """After a rotation, although the set that is kept is still fresh."""
        new = other_key()
        receiver = Receiver(keys(SECRET), keys(new.secret, SECRET))
        result_of(receiver.verify())
        receiver.server.clock.advance(10)
        for _ in range(2):
            result_of(receiver.verify(signature=receiver.signed(key=new)))
        assert receiver.fetches == 2

    def test_made_up_keys_do_not_flood_the_server(self) -> None:
        """At most one request in ten seconds."""
        receiver = Receiver(keys(SECRET), keys(SECRET), keys(SECRET))
        for _ in range(20):
            error_of(receiver.verify(signature=receiver.signed(key=other_key())), SignatureRejected)
            receiver.server.clock.advance(1)
        assert receiver.fetches == 2

    def test_many_at_once_share_a_request(self) -> None:
        """They wait for the first one."""
        receiver = Receiver(lambda asked: None)
        verifying = [receiver.verify() for _ in range(5)]
        assert all(map(is_waiting, verifying))
        receiver.server.asked[0].say(keys(SECRET))
        receiver.server.advance()
        for one in verifying:
            result_of(one)
        assert receiver.fetches == 1

    def test_many_at_once_share_a_failure_too(self) -> None:
        """And the next one asks again, a little later."""
        receiver = Receiver(lambda asked: None, keys(SECRET))
        verifying = [receiver.verify() for _ in range(3)]
        receiver.server.asked[0].cut()
        receiver.server.advance()
        for one in verifying:
            error_of(one, ClientError)
        receiver.server.clock.advance(10)
        result_of(receiver.verify())

    def test_a_known_key_is_good_while_the_server_is_away(self) -> None:
        """A receiver need not go down with the key set."""
        receiver = Receiver(keys(SECRET), answer(503), answer(503))
        result_of(receiver.verify())
        receiver.server.clock.advance(301)
        result_of(receiver.verify())
        error_of(receiver.verify(signature=receiver.signed(key=other_key())), SignatureRejected)
        receiver.server.clock.advance(10)
        error_of(receiver.verify(signature=receiver.signed(key=other_key())), ClientError)

    def test_a_key_that_was_withdrawn_is_no_longer_good(self) -> None:
        """As soon as a newer set is there."""
        receiver = Receiver(keys(SECRET), keys(b"o" * 32))
        result_of(receiver.verify())
        receiver.server.clock.advance(300)
        error_of(receiver.verify(), SignatureRejected)

    def test_keys_of_other_kinds_are_passed_over(self) -> None:
        """A set may have them."""
        body = {"keys": [{"kty": "RSA", "kid": "r", "n": "x"}, {**public_key(SECRET), "key_ops": ["verify"]}, {}]}
        receiver = Receiver(answer(200, {}, json.dumps(body).encode()))
        result_of(receiver.verify())

    @pytest.mark.parametrize("body", [b"", b"{", b'{"keys": 1}', b'{"keys": [{"kty":"OKP","crv":"Ed25519","x":"AA"}]}'])
    def test_what_is_no_key_set(self, body: bytes) -> None:
        """The receiver answers 503."""
        error_of(Receiver(answer(200, {}, body)).verify(), ParseError)


class Service(MemoryServer):
    """The real service, whose webhooks a receiver in memory gets."""

    def __init__(self) -> None:
        clock = Clock()
        clock.advance(NOW)
        self.receivers = Receivers(clock)
        super().__init__(clock, webhooks=self.receivers)
        self.verifier = WebhookVerifier(f"{ROOT}__ds/jwks.json", self.treq, clock=clock)
        result_of(self.service.create("events/a", content_type="application/json"))
        result_of(self.directory().subscription("sub").create_webhook(HOOK, pattern="events/*"))

    def append(self, *messages: object) -> None:
        result_of(self.service.append_json("events/a", *messages))
        self.advance()

    def verified(self, call: Call) -> WebhookWake:
        verifying = self.verifier.verify(call.raw_body, call.signature)
        self.advance()
        return result_of(verifying)

    def cursor(self) -> str:
        return result_of(self.directory().subscription("sub").read()).cursors["events/a"]


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    result_of(service.stop())


def test_a_wake_of_the_real_service(service: Service) -> None:
    """7.1: verified with the keys that it publishes, before and after a rotation."""
    service.append(1)
    wake = service.verified(service.receivers.next())
    assert [stream.has_pending for stream in wake.streams] == [True]
    service.receivers.next().done()
    result_of(Deferred.fromCoroutine(service.subscriptions.rotate_signing_key()))
    service.clock.advance(600)
    service.append(2)
    assert service.verified(service.receivers.next()).generation == 2


def test_finishing_later_by_callbacks(service: Service) -> None:
    """7.1: acks, then done."""
    service.append(1)
    call = service.receivers.next()
    lease = service.verifier.lease(service.verified(call))
    call.accept()
    tail = lease.streams[0].tail_offset
    result_of(lease.ack({"events/a": tail}))
    assert service.cursor() == tail
    assert result_of(lease.done({})) is False
    error_of(lease.ack({}), Fenced)


def test_working_through_a_webhook_as_a_worker_does(service: Service) -> None:
    """7.1, 7.3: a session reads, hands over, acks by callbacks, and keeps the lease alive meanwhile."""
    service.append(1, 2)
    call = service.receivers.next()
    lease = service.verifier.lease(service.verified(call))
    call.accept()
    held: list[tuple[Work, Deferred[None]]] = []

    def handle(work: Work) -> Deferred[None]:
        held.append((work, Deferred()))
        return held[-1][1]

    working = WakeSession(lease, service.directory(), handle, service.clock).run()
    for _ in range(100):
        service.advance(1)
    assert len(service.receivers.calls) == 1
    [(work, done)] = held
    assert work.messages == [1, 2]
    done.callback(None)
    service.advance()
    assert result_of(working) is Outcome.FINISHED
    assert service.cursor() == work.offset
