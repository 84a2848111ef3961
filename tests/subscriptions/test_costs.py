"""What idle subscriptions cost: nothing (no timer each), and what an append costs that concerns none of them."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from durable_streams.subscriptions.alarms import Alarms
from durable_streams.subscriptions.request_slots import RequestSlots
from tests.subscriptions.world import HOOK, World, result_of


def timers(clock: Clock) -> int:
    return len([call for call in clock.getDelayedCalls() if call.active()])


def test_subscriptions_share_one_timer(world: World) -> None:
    """However many of them are idle, retried, or leased."""
    world.create("events/a")
    before = timers(world.clock)
    for number in range(30):
        world.subscribe(f"sub-{number}", webhook_url=f"{HOOK}/{number}")
    assert timers(world.clock) == before
    world.receivers.on_call = lambda call: call.fail() if int(call.url.rpartition("/")[2]) % 2 else call.accept()
    world.append("events/a")
    assert timers(world.clock) == before + 1


def test_an_append_does_not_match_patterns(world: World) -> None:
    """Streams are matched when they are created; an append only asks who follows the stream."""
    world.create("elsewhere/a")
    for number in range(10):
        world.subscribe(f"sub-{number}")
    asked: list[str] = []
    index = world.subscriptions._roster._patterns
    matching = index.matching

    def counting(path: str) -> Collection[str]:
        asked.append(path)
        return matching(path)

    index.matching = counting  # type: ignore[method-assign]  # to see what is asked
    world.append("elsewhere/a")
    assert asked == []
    world.create("events/b")
    assert asked == ["events/b"]


class TestAlarms:
    """One timer for all."""

    def test_they_ring_in_time_and_once(self) -> None:
        """The earliest of what was set for an id counts."""
        clock, rung = Clock(), list[tuple[float, str]]()
        alarms = Alarms(clock, lambda name: rung.append((clock.seconds(), name)))
        for name, at in (("a", 5), ("b", 3), ("a", 4), ("a", 9), ("c", 7)):
            alarms.set(name, at)
        assert timers(clock) == 1
        clock.pump([1] * 10)
        assert rung == [(3, "b"), (4, "a"), (7, "c")]
        assert timers(clock) == 0

    def test_whoever_is_rung_for_may_set_the_next_one(self) -> None:
        """From within the call."""
        clock, rung = Clock(), list[float]()

        def ring(name: str) -> None:
            rung.append(clock.seconds())
            alarms.set(name, clock.seconds() + 2)

        alarms = Alarms(clock, ring)
        alarms.set("a", 1)
        clock.pump([1] * 6)
        assert rung == [1, 3, 5]
        alarms.stop()
        assert timers(clock) == 0


class TestRequestSlots:
    """Requests wait for their turn, in all and for each host."""

    def test_a_host_has_its_share_and_all_have_the_whole(self) -> None:
        """And a place becomes free when its work ends."""
        slots, begun = RequestSlots(3, 2), list[str]()
        works: list[Deferred[None]] = []

        def work(name: str) -> Deferred[None]:
            begun.append(name)
            works.append(Deferred())
            return works[-1]

        outcomes = [slots.run(name[0], partial(work, name)) for name in ("a1", "a2", "a3", "b1", "b2")]
        assert begun == ["a1", "a2", "b1"]
        works[2].callback(None)
        assert begun == ["a1", "a2", "b1", "b2"]
        works[0].callback(None)
        assert begun == ["a1", "a2", "b1", "b2", "a3"]
        for under_way in (works[1], works[3], works[4]):
            under_way.callback(None)
        for outcome in outcomes:
            result_of(outcome)

    def test_who_gives_up_leaves_the_queue(self) -> None:
        """The next one has its place."""
        slots, begun = RequestSlots(1, 1), list[str]()

        def work(name: str) -> Deferred[None]:
            begun.append(name)
            return succeed(None)

        first: Deferred[None] = Deferred()
        slots.run("a", lambda: first)
        slots.run("a", partial(work, "gone")).addErrback(lambda _: None).cancel()
        last = slots.run("a", partial(work, "last"))
        first.callback(None)
        result_of(last)
        assert begun == ["last"]
