"""Wakes by a wake stream: claim, ack, release (Section 7.2)."""

from __future__ import annotations

import pytest

from durable_streams.protocol.commands import Append
from durable_streams.subscriptions.errors import AlreadyClaimed, NoPendingWork, OtherDelivery, SubscriptionNotFound
from durable_streams.subscriptions.leasing import ClaimedWake
from tests.subscriptions.world import NOW, World, error_of, report, result_of


@pytest.fixture
def pool(world: World) -> World:
    """Subscription ``pull``, its wake stream, and ``events/a``."""
    world.create("wake/pool")
    world.create("events/a")
    world.subscribe_by_pull("pull")
    return world


def release(world: World, claimed: ClaimedWake) -> None:
    said = report(claimed.wake_id, claimed.generation, {}, False)
    result_of(world.subscriptions.release("pull", claimed.token, said))


def test_an_append_writes_a_wake_event(pool: World) -> None:
    """7.2: the event names subscription, stream, generation and time in milliseconds."""
    pool.append("events/a")
    assert pool.wake_events() == [
        {"type": "wake", "subscription_id": "pull", "stream": "events/a", "generation": 1, "ts": NOW * 1000}
    ]


def test_one_wake_event_is_enough_until_it_is_claimed(pool: World) -> None:
    """7: no new wake while one is in flight."""
    for _ in range(5):
        pool.append("events/a")
    assert len(pool.wake_events()) == 1


def test_a_claim_tells_what_there_is_to_do(pool: World) -> None:
    """7.2: wake, generation, token, streams with cursor and tail, lease."""
    before = pool.tail("events/a")
    tail = pool.append("events/a")
    claimed = pool.claim("pull")
    assert (claimed.generation, claimed.lease_ttl_ms) == (1, 30_000)
    assert claimed.wake_id.startswith("w_")
    [stream] = claimed.streams
    assert (stream.path, stream.link.link_type, stream.has_pending) == ("events/a", "glob", True)
    assert pool.acked("pull") == {"events/a": before}
    assert pool.ack("pull", claimed, {"events/a": tail}, done=True) is False


def test_a_claim_may_come_before_the_wake_event_was_read(pool: World) -> None:
    """7.2: whoever asks after an append was acknowledged gets the wake."""
    pool.append("events/a")
    assert pool.claim("pull").generation == 1


def test_only_one_worker_holds_the_lease(pool: World) -> None:
    """7.2: 409 ALREADY_CLAIMED with the holder and the generation, also for the holder itself."""
    pool.append("events/a")
    pool.claim("pull", "worker-1")
    for worker in ("worker-2", "worker-1"):
        refusal = error_of(pool.subscriptions.claim("pull", worker), AlreadyClaimed)
        assert (refusal.holder, refusal.generation) == ("worker-1", 1)


def test_a_claim_without_work_is_refused(pool: World) -> None:
    """7: without pending work there is no wake."""
    error_of(pool.subscriptions.claim("pull", "worker-1"), NoPendingWork)
    pool.append("events/a")
    claimed = pool.claim("pull")
    pool.ack("pull", claimed, {"events/a": pool.tail("events/a")}, done=True)
    error_of(pool.subscriptions.claim("pull", "worker-1"), NoPendingWork)


def test_done_acks_and_ends_the_wake(pool: World) -> None:
    """7.2: `done: true` applies the acks and releases the lease."""
    tail = pool.append("events/a")
    pool.ack("pull", pool.claim("pull"), {"events/a": tail}, done=True)
    assert pool.acked("pull") == {"events/a": tail}
    pool.append("events/a")
    assert [event["generation"] for event in pool.wake_events()] == [1, 2]


def test_done_with_work_left_wakes_again(pool: World) -> None:
    """7.2: `next_wake` is true, and another wake event is there."""
    tail = pool.append("events/a")
    claimed = pool.claim("pull")
    pool.append("events/a")
    assert pool.ack("pull", claimed, {"events/a": tail}, done=True) is True
    assert [event["generation"] for event in pool.wake_events()] == [1, 2]


def test_done_without_acks_leaves_the_work(pool: World) -> None:
    """7: cursors move by acks alone."""
    before = pool.acked("pull")
    pool.append("events/a")
    assert pool.ack("pull", pool.claim("pull"), {}, done=True) is True
    assert pool.acked("pull") == before


def test_an_ack_without_done_is_a_heartbeat(pool: World) -> None:
    """7.2, 7.3: it extends the lease and keeps the claim."""
    pool.append("events/a")
    claimed = pool.claim("pull")
    for _ in range(5):
        pool.clock.advance(29)
        assert pool.ack("pull", claimed, {}) is False
    error_of(pool.subscriptions.claim("pull", "worker-2"), AlreadyClaimed)


def test_the_lease_begins_with_the_claim(pool: World) -> None:
    """7.3: an unclaimed wake waits without a limit."""
    pool.append("events/a")
    pool.clock.advance(3600)
    claimed = pool.claim("pull")
    pool.clock.advance(29)
    pool.ack("pull", claimed, {})
    assert len(pool.wake_events()) == 1


def test_a_silent_worker_loses_its_lease(pool: World) -> None:
    """7.3: holder and token are cleared, another wake is scheduled."""
    pool.append("events/a")
    first = pool.claim("pull", "worker-1")
    pool.clock.advance(30)
    assert [event["generation"] for event in pool.wake_events()] == [1, 2]
    second = pool.claim("pull", "worker-2")
    assert second.generation == 2
    assert second.wake_id != first.wake_id


def test_an_expired_lease_without_work_wakes_nobody(pool: World) -> None:
    """7.3: only pending work schedules another wake."""
    tail = pool.append("events/a")
    pool.ack("pull", pool.claim("pull"), {"events/a": tail})
    pool.clock.advance(31)
    assert len(pool.wake_events()) == 1
    pool.append("events/a")
    assert len(pool.wake_events()) == 2


def test_release_gives_the_work_to_the_next(pool: World) -> None:
    """7.2: pending work that remains after a release writes another wake event."""
    pool.append("events/a")
    release(pool, pool.claim("pull", "worker-1"))
    assert [event["generation"] for event in pool.wake_events()] == [1, 2]
    assert pool.claim("pull", "worker-2").generation == 2


def test_release_after_the_acks_leaves_the_subscription_idle(pool: World) -> None:
    """7.2: without pending work a release writes nothing."""
    tail = pool.append("events/a")
    claimed = pool.claim("pull")
    pool.ack("pull", claimed, {"events/a": tail})
    release(pool, claimed)
    assert len(pool.wake_events()) == 1


def test_a_wake_stream_may_be_text(world: World) -> None:
    """7.2: the wake stream is an ordinary stream; one of text has an event a line."""
    world.create("wake/pool", content_type="text/plain")
    world.create("events/a")
    world.subscribe_by_pull("one")
    world.subscribe_by_pull("two")
    world.append("events/a")
    lines = result_of(world.streams.read("wake/pool")).data.splitlines()
    assert [b'"one"' in lines[0], b'"two"' in lines[1]] == [True, True]


def test_a_wake_waits_for_its_wake_stream(world: World) -> None:
    """7.2: the application creates the wake stream; until then the work is not lost, and the status is `failed`."""
    world.create("events/a")
    world.subscribe_by_pull("pull")
    world.append("events/a")
    assert world.describe("pull").progress.status == "failed"
    world.create("wake/pool")
    assert [event["generation"] for event in world.wake_events()] == [1]
    assert world.describe("pull").progress.status == "active"


def test_a_wake_is_written_again_when_its_wake_stream_is_a_new_one(pool: World) -> None:
    """7.2: deleting the wake stream loses no wake that nobody has claimed."""
    pool.append("events/a")
    result_of(pool.streams.delete("wake/pool"))
    pool.create("wake/pool")
    assert [event["generation"] for event in pool.wake_events()] == [1]


def test_a_wake_stream_that_refuses_is_tried_again(pool: World) -> None:
    """7: pending work is delivered as soon as it can be."""
    result_of(pool.streams.close("wake/pool"))
    pool.append("events/a")
    assert pool.describe("pull").progress.status == "failed"
    result_of(pool.streams.delete("wake/pool"))
    pool.create("wake/pool")
    assert len(pool.wake_events()) == 1


def test_work_that_disappears_takes_its_unclaimed_wake_along(pool: World) -> None:
    """7: a wake that could only be answered by "nothing to do" must not hold up the next one."""
    pool.append("events/a")
    result_of(pool.streams.delete("events/a"))
    error_of(pool.subscriptions.claim("pull", "worker-1"), NoPendingWork)
    pool.create("events/a", "again")
    assert [event["generation"] for event in pool.wake_events()] == [1, 2]


def test_requests_of_the_other_delivery_are_refused(pool: World) -> None:
    """7.1, 7.2: callbacks are for webhooks, claims and acks for pull-wake."""
    pool.subscribe("hook")
    tail = pool.append("events/a")
    claimed = pool.claim("pull")
    said = report(claimed.wake_id, claimed.generation, {"events/a": tail}, True)
    assert error_of(pool.subscriptions.callback("pull", claimed.token, said), OtherDelivery).type == "pull-wake"
    call = pool.receivers.next()
    assert error_of(pool.subscriptions.ack("hook", call.token, call.report()), OtherDelivery).type == "webhook"
    assert error_of(pool.subscriptions.claim("hook", "worker-1"), OtherDelivery).type == "webhook"
    assert error_of(pool.subscriptions.release("hook", call.token, call.report()), OtherDelivery).type == "webhook"


def test_a_claim_of_no_subscription(world: World) -> None:
    """7.2: there is nothing to claim."""
    assert error_of(world.subscriptions.claim("none", "worker-1"), SubscriptionNotFound).subscription_id == "none"


def test_a_wake_event_is_an_ordinary_append(pool: World) -> None:
    """7.2: others may write to the wake stream too; that wakes nobody."""
    result_of(pool.streams.perform_append(Append("wake/pool", b'{"type": "note"}')))
    assert [event["type"] for event in pool.wake_events()] == ["note"]
