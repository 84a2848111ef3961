"""Wakes must not cause wakes without end."""

from __future__ import annotations

from durable_streams.subscriptions.leasing import ClaimedWake
from tests.subscriptions.world import World, result_of


def finish(world: World, subscription_id: str) -> ClaimedWake:
    """Claim, ack everything, done."""
    claimed = world.claim(subscription_id)
    acks = {stream.path: world.tail(stream.path) for stream in claimed.streams}
    assert world.ack(subscription_id, claimed, acks, done=True) is False
    return claimed


def test_a_pattern_does_not_take_in_its_own_wake_stream(world: World) -> None:
    """Whether the wake stream is there before the subscription or comes later."""
    world.create("wake/early")
    world.create("events/a")
    world.subscribe_by_pull("one", pattern="**", wake_stream="wake/early")
    world.subscribe_by_pull("two", pattern="**", wake_stream="wake/late")
    world.create("wake/late")
    world.append("events/a")
    for subscription_id in ("one", "two"):
        finish(world, subscription_id)
        assert world.describe(subscription_id).progress.wake is None
        assert list(world.acked(subscription_id)) == ["events/a"]
    assert len(world.wake_events("wake/early")) == len(world.wake_events("wake/late")) == 1


def test_two_subscriptions_do_not_wake_each_other(world: World) -> None:
    """Patterns pass over the wake streams of all subscriptions, also one that was an ordinary stream before."""
    for name in ("wake/one", "wake/two", "events/a"):
        world.create(name)
    world.subscribe_by_pull("one", pattern="**", wake_stream="wake/one")
    assert list(world.acked("one")) == ["events/a", "wake/two"]
    world.subscribe_by_pull("two", pattern="**", wake_stream="wake/two")
    assert list(world.acked("one")) == list(world.acked("two")) == ["events/a"]
    world.append("events/a")
    finish(world, "one")
    finish(world, "two")
    assert len(world.wake_events("wake/one")) == len(world.wake_events("wake/two")) == 1


def test_a_wake_stream_may_be_linked_explicitly_by_others(world: World) -> None:
    """To watch wakes on purpose."""
    world.create("wake/pool")
    world.create("events/a")
    world.subscribe("watcher", pattern="events/*", streams=["wake/pool"])
    world.subscribe_by_pull("pull")
    assert world.link_types("watcher") == {"events/a": "glob", "wake/pool": "explicit"}
    world.append("events/a")
    world.receivers.next().done()
    assert world.receivers.next().tails == {"wake/pool": world.tail("wake/pool")}


def test_a_stream_that_is_no_wake_stream_any_more_is_matched_again(world: World) -> None:
    """From its tail on, when the last subscription that used it is deleted."""
    for name in ("wake/pool", "events/a"):
        world.create(name)
    world.subscribe("all", pattern="**")
    for subscription_id in ("one", "two"):
        world.subscribe_by_pull(subscription_id)
    world.append("events/a")
    world.receivers.next().done()
    result_of(world.subscriptions.delete("one"))
    assert list(world.acked("all")) == ["events/a"]
    result_of(world.subscriptions.delete("two"))
    assert world.acked("all") == {name: world.tail(name) for name in ("events/a", "wake/pool")}
    assert world.receivers.open_calls == []
    tail = world.append("wake/pool", "an ordinary message")
    assert world.receivers.next().tails == {"wake/pool": tail}
