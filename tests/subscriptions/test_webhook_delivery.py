"""Wakes by webhook (Section 7.1)."""

from __future__ import annotations

import pytest

from durable_streams.protocol.commands import Append
from durable_streams.protocol.offsets import offset_of
from durable_streams.protocol.producers import ProducerClaim
from durable_streams.subscriptions.key_ring import public_key
from durable_streams.subscriptions.settings import SubscriptionSettings
from durable_streams.subscriptions.webhook import ReceiverRefused
from durable_streams.subscriptions.webhook_url import webhook_target
from tests.subscriptions.signatures import is_signed_by
from tests.subscriptions.world import HOOK, ROOT, World, result_of


def test_an_append_to_a_matching_stream_calls_the_receiver(world: World) -> None:
    """7.1: the request tells subscription, wake, generation, streams, callback URL and token."""
    world.create("events/a", "before")
    before = world.tail("events/a")
    world.subscribe("sub-1")
    tail = world.append("events/a", "new")
    [call] = world.receivers.calls
    assert call.url == HOOK
    token = call.body.pop("callback_token")
    assert token.count(".") == 2
    assert call.body == {
        "subscription_id": "sub-1",
        "wake_id": call.body["wake_id"],
        "generation": 1,
        "streams": [
            {
                "path": "events/a",
                "link_type": "glob",
                "acked_offset": before,
                "tail_offset": tail,
                "has_pending": True,
            }
        ],
        "callback_url": f"{ROOT}__ds/subscriptions/sub-1/callback",
    }
    assert call.body["wake_id"].startswith("w_")


def test_what_was_there_before_the_subscription_wakes_nobody(world: World) -> None:
    """6.2: existing streams are linked at their current tail."""
    world.create("events/a", "old", "older")
    world.subscribe("sub-1")
    assert world.acked("sub-1") == {"events/a": world.tail("events/a")}
    assert world.receivers.calls == []


def test_a_stream_that_is_created_with_content_wakes(world: World) -> None:
    """6.2: streams discovered later are linked before their first append."""
    world.subscribe("sub-1")
    world.create("events/new", {"event": "created"})
    assert world.receivers.next().tails == {"events/new": world.tail("events/new")}
    assert world.acked("sub-1") == {"events/new": offset_of(0)}


def test_an_empty_stream_wakes_with_its_first_append(world: World) -> None:
    """7: pending is a tail beyond the cursor, and an empty stream has none."""
    world.subscribe("sub-1")
    world.create("events/new")
    assert world.receivers.calls == []
    tail = world.append("events/new")
    assert world.receivers.next().tails == {"events/new": tail}


def test_a_close_alone_is_no_event(world: World) -> None:
    """7: a close does not move the tail."""
    world.create("events/a")
    world.subscribe("sub-1")
    result_of(world.streams.close("events/a"))
    assert world.receivers.calls == []


def test_a_duplicate_of_a_producer_wakes_nobody(world: World) -> None:
    """7: what was appended before is not pending again."""
    world.create("events/a")
    world.subscribe("sub-1")
    batch = Append("events/a", b"1", producer=ProducerClaim("p", 0, 0))
    result_of(world.streams.perform_append(batch))
    world.receivers.next().done()
    assert result_of(world.streams.perform_append(batch)).duplicate
    assert len(world.receivers.calls) == 1


def test_the_request_is_signed_with_a_published_key(world: World) -> None:
    """7.1: Ed25519 over `<timestamp>.<raw_body>`, in unpadded base64url, with the `kid` of the key set."""
    world.create("events/a")
    world.subscribe("sub-1")
    world.append("events/a")
    call = world.receivers.next()
    [key] = result_of(world.subscriptions.published_keys())
    assert is_signed_by(key, call.signature, call.raw_body)
    assert not is_signed_by(key, call.signature, call.raw_body + b" ")
    assert call.signature.startswith(f"t={int(world.clock.seconds())},kid={key['kid']},ed25519=")
    assert "=" not in call.signature.rpartition("ed25519=")[2]
    other = public_key(b"\0" * 32) | {"kid": key["kid"]}
    assert not is_signed_by(other, call.signature, call.raw_body)


def test_done_acks_the_snapshot(world: World) -> None:
    """7.1: `{"done": true}` acks the tails included in the wake and ends it."""
    world.create("events/a")
    world.create("events/b")
    world.subscribe("sub-1")
    world.append("events/a")
    world.receivers.next().done()
    assert world.acked("sub-1") == {"events/a": world.tail("events/a"), "events/b": world.tail("events/b")}
    tail = world.append("events/b")
    again = world.receivers.next()
    assert again.tails == {"events/b": tail}
    assert again.body["generation"] == 2


def test_done_does_not_ack_what_came_after_the_snapshot(world: World) -> None:
    """7.1: new events after the snapshot wake again, with a new wake_id and generation."""
    world.create("events/a")
    world.subscribe("sub-1")
    first_tail = world.append("events/a", 1)
    first = world.receivers.next()
    second_tail = world.append("events/a", 2)
    assert len(world.receivers.calls) == 1
    first.done()
    assert world.acked("sub-1") == {"events/a": first_tail}
    second = world.receivers.next()
    assert second.tails == {"events/a": second_tail}
    assert second.body["generation"] == 2
    assert second.body["wake_id"] != first.body["wake_id"]


@pytest.mark.parametrize(
    "body", [b"", b"thanks", b"[]", b'{"done": "yes"}', b'{"done": false}', b"\xff\xfe", b"[" * 9999]
)
def test_any_other_answer_accepts_the_wake(world: World, body: bytes) -> None:
    """7.1: the handler may finish later; an answer that is no `{"done": true}` acks nothing."""
    world.create("events/a")
    before = world.tail("events/a")
    world.subscribe("sub-1")
    world.append("events/a")
    world.receivers.next().respond(body)
    assert world.acked("sub-1") == {"events/a": before}
    assert world.describe("sub-1").progress.status == "active"
    assert world.receivers.open_calls == []


def test_a_callback_acks_and_finishes(world: World) -> None:
    """7.1: asynchronous processing ends with a callback."""
    world.create("events/a")
    world.subscribe("sub-1")
    tail = world.append("events/a")
    call = world.receivers.next()
    call.accept()
    assert world.call_back(call, done=True) is False
    assert world.acked("sub-1") == {"events/a": tail}
    world.append("events/a")
    assert world.receivers.next().body["generation"] == 2


def test_a_callback_tells_of_the_next_wake(world: World) -> None:
    """7.1, 7.2: `next_wake` says whether pending work remains."""
    world.create("events/a")
    world.subscribe("sub-1")
    world.append("events/a", 1)
    call = world.receivers.next()
    call.accept()
    world.append("events/a", 2)
    assert world.call_back(call, done=True) is True
    assert world.receivers.next().body["generation"] == 2


def test_a_callback_without_done_only_acks(world: World) -> None:
    """7.1, 7.2: without `done` the lease goes on."""
    world.create("events/a")
    world.subscribe("sub-1")
    first = world.append("events/a", 1)
    call = world.receivers.next()
    call.accept()
    world.append("events/a", 2)
    assert world.call_back(call) is False
    assert world.acked("sub-1") == {"events/a": first}
    assert len(world.receivers.calls) == 1
    world.call_back(call, done=True)


def test_a_callback_may_come_before_the_answer(world: World) -> None:
    """7.1: a receiver may call back while its own answer is still on the way; that answer changes nothing then."""
    world.create("events/a")
    world.subscribe("sub-1")
    tail = world.append("events/a", 1)
    call = world.receivers.next()
    world.call_back(call, done=True)
    later = world.append("events/a", 2)
    call.done()
    assert world.acked("sub-1") == {"events/a": tail}
    assert world.receivers.next().tails == {"events/a": later}


class TestRetries:
    """7.1: exponential backoff from 1 second up to 60 seconds."""

    def test_a_failed_delivery_is_tried_again_as_the_same_wake(self, world: World) -> None:
        """7.1: a retry; 6.3: the status is `failed` meanwhile."""
        world.create("events/a")
        world.subscribe("sub-1")
        world.append("events/a")
        world.receivers.next().fail()
        assert world.describe("sub-1").progress.status == "failed"
        world.clock.advance(0.9)
        assert world.receivers.open_calls == []
        world.clock.advance(0.1)
        first, second = world.receivers.calls
        assert second.wake == first.wake
        second.done()
        assert world.describe("sub-1").progress.status == "active"
        assert world.acked("sub-1") == {"events/a": world.tail("events/a")}

    def test_a_status_other_than_2xx_is_a_failure(self, world: World) -> None:
        """7.1: redirects are not followed, so 302 fails like 500."""
        world.create("events/a")
        world.subscribe("sub-1")
        world.append("events/a")
        for status in (302, 404, 500):
            world.receivers.next().fail(ReceiverRefused(status))
            assert world.describe("sub-1").progress.status == "failed"
            world.clock.advance(4)

    def test_the_pauses_double_up_to_a_minute(self, world: World) -> None:
        """7.1: 1, 2, 4 ... 60 seconds between attempts."""
        world.create("events/a")
        world.subscribe("sub-1", lease_ttl_ms=600_000)
        world.append("events/a")
        pauses = []
        for _ in range(9):
            failed_at = world.clock.seconds()
            world.receivers.next().fail()
            while not world.receivers.open_calls:
                world.clock.advance(0.5)
            pauses.append(world.clock.seconds() - failed_at)
        assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]

    def test_a_receiver_that_is_down_for_an_hour_gets_everything_in_the_end(self, world: World) -> None:
        """7.1, 7.3: leases run out between the attempts, but the schedule holds and nothing is lost."""
        world.create("events/a")
        world.subscribe("sub-1")
        world.append("events/a", 1)
        world.receivers.on_call = lambda call: call.fail()
        for minute in range(60):
            world.clock.pump([1.0] * 60)
            world.append("events/a", minute)
        assert 60 <= len(world.receivers.calls) <= 70
        generations = [call.body["generation"] for call in world.receivers.calls]
        assert generations == sorted(generations)
        world.receivers.on_call = None
        while not world.receivers.open_calls:
            world.clock.advance(1)
        call = world.receivers.next()
        assert call.tails == {"events/a": world.tail("events/a")}
        call.done()
        assert world.acked("sub-1") == {"events/a": world.tail("events/a")}
        assert world.describe("sub-1").progress.status == "active"

    def test_an_append_does_not_bring_an_attempt_forward(self, world: World) -> None:
        """7.1: the schedule holds whatever is appended meanwhile."""
        world.create("events/a")
        world.subscribe("sub-1")
        world.append("events/a")
        world.receivers.next().fail()
        world.append("events/a")
        assert world.receivers.open_calls == []

    def test_a_receiver_that_hangs_is_given_up_when_its_lease_is_over(self, world: World) -> None:
        """7.3: the lease bounds liveness; a receiver that has not answered by then has failed."""
        world.create("events/a")
        world.subscribe("sub-1", lease_ttl_ms=5_000)
        world.append("events/a")
        hanging = world.receivers.next()
        world.clock.advance(5)
        assert not hanging.is_open
        assert world.describe("sub-1").progress.status == "failed"
        assert world.receivers.open_calls == []
        world.clock.advance(1)
        again = world.receivers.next()
        assert again.body["generation"] == 2
        again.done()
        assert world.describe("sub-1").progress.status == "active"

    def test_a_callback_proves_the_delivery_even_if_the_answer_fails(self, world: World) -> None:
        """7.1: who calls back has got the wake; it is not sent again."""
        world.create("events/a")
        world.subscribe("sub-1")
        world.append("events/a")
        call = world.receivers.next()
        world.call_back(call)
        call.fail()
        assert world.describe("sub-1").progress.status == "active"
        world.clock.advance(10)
        assert len(world.receivers.calls) == 1

    def test_nothing_is_tried_again_when_nothing_is_left_to_tell(self, world: World) -> None:
        """7: without pending work there is no wake."""
        world.create("events/a")
        world.subscribe("sub-1")
        world.append("events/a")
        world.receivers.next().fail()
        result_of(world.streams.delete("events/a"))
        world.clock.advance(1)
        assert len(world.receivers.calls) == 1
        assert world.describe("sub-1").progress.status == "active"


class TestLeases:
    """7.3: for webhooks the lease starts with the wake and is extended by callbacks."""

    def test_a_receiver_that_accepts_and_is_silent_loses_the_wake(self, world: World) -> None:
        """7.3: an expired lease clears the token and schedules another wake."""
        world.create("events/a")
        world.subscribe("sub-1", lease_ttl_ms=5_000)
        world.append("events/a")
        silent = world.receivers.next()
        silent.accept()
        world.clock.advance(4.9)
        assert world.receivers.open_calls == []
        world.clock.advance(0.1)
        again = world.receivers.next()
        assert again.body["generation"] == 2
        assert again.body["wake_id"] != silent.body["wake_id"]
        assert world.describe("sub-1").progress.status == "active"

    def test_a_callback_extends_the_lease(self, world: World) -> None:
        """7.3: a valid callback is a sign of life."""
        world.create("events/a")
        world.subscribe("sub-1", lease_ttl_ms=5_000)
        world.append("events/a")
        call = world.receivers.next()
        call.accept()
        for _ in range(10):
            world.clock.advance(4)
            world.call_back(call, acks={})
        assert len(world.receivers.calls) == 1
        world.clock.advance(5)
        assert world.receivers.next().body["generation"] == 2

    def test_a_lease_that_ends_with_nothing_pending_leaves_the_subscription_idle(self, world: World) -> None:
        """7.3: only pending work schedules another wake."""
        world.create("events/a")
        world.subscribe("sub-1", lease_ttl_ms=5_000)
        world.append("events/a")
        call = world.receivers.next()
        call.accept()
        world.call_back(call)
        world.clock.advance(60)
        assert len(world.receivers.calls) == 1
        world.append("events/a")
        assert len(world.receivers.calls) == 2


def test_one_slow_host_does_not_hold_up_another(world: World) -> None:
    """7.1: a receiver that hangs has a limited number of connections, and others have theirs."""
    world.create("events/a")
    for number in range(40):
        world.subscribe(f"slow-{number}", webhook_url="https://slow.example/hook")
    world.subscribe("quick", webhook_url="https://quick.example/hook")
    world.append("events/a")
    hosts = [webhook_target(call.url, False).host for call in world.receivers.open_calls]
    assert hosts.count("slow.example") == 16
    assert hosts.count("quick.example") == 1
    while world.receivers.open_calls:
        world.receivers.next().done()
    assert len(world.receivers.calls) == 41


def test_the_public_url_counts_for_callbacks() -> None:
    """7.1: behind a proxy the operator says where receivers call back."""
    world = World(settings=SubscriptionSettings(public_url="https://proxy.example/ds/"))
    world.create("events/a")
    world.subscribe("a/ä")
    world.append("events/a")
    assert world.receivers.next().body["callback_url"] == (
        "https://proxy.example/ds/__ds/subscriptions/a%2F%C3%A4/callback"
    )
    world.stop()
