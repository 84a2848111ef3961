"""Requests that cross each other while the store is still writing: one of them counts (Sections 7.1 to 7.3)."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from durable_streams.subscriptions.errors import AlreadyClaimed, Fenced, SubscriptionNotFound
from durable_streams.subscriptions.events import Event
from durable_streams.subscriptions.interfaces import ISubscriptionStore
from tests.subscriptions.world import World, error_of, report, result_of


@implementer(ISubscriptionStore)
class SlowStore:
    """Has written only when the test says so."""

    durability = "when told"

    def __init__(self) -> None:
        self.is_slow = False
        self._waiting: list[Deferred[None]] = []

    def open(self) -> Deferred[Sequence[Event]]:
        return succeed(())

    def save(self, events: Sequence[Event]) -> Deferred[None]:
        if not self.is_slow:
            return succeed(None)
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def close(self) -> Deferred[None]:
        self.write()
        return succeed(None)

    def write(self) -> None:
        """Everything that was saved is durable now."""
        self.is_slow = False
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(None)


class SlowWorld(World):
    """``events/a`` with something pending, a webhook and a pull-wake subscription for it."""

    def __init__(self) -> None:
        self.store = SlowStore()
        super().__init__(self.store)
        for name in ("wake/pool", "events/a"):
            self.create(name)
        self.subscribe("hook")
        self.subscribe_by_pull("pull")
        self.tail_before = self.tail("events/a")
        self.append("events/a", 1)

    def at_once(self, *requests: Coroutine[Any, Any, Any]) -> list[Any]:
        """Outcomes of requests that come one after the other while the store has written nothing yet.

        An answer that says what has taken effect must wait for the store; a refusal need not.
        """
        self.store.is_slow = True
        outcomes: list[Any] = [None] * len(requests)

        def keep(outcome: Any, number: int) -> None:
            outcomes[number] = outcome.value if isinstance(outcome, Failure) else outcome

        for number, request in enumerate(requests):
            Deferred.fromCoroutine(request).addBoth(keep, number)
        assert all(outcome is None or isinstance(outcome, Exception) for outcome in outcomes)
        self.store.write()
        return outcomes


@pytest.fixture
def world() -> Iterator[SlowWorld]:
    world = SlowWorld()
    yield world
    world.stop()


def test_two_claims(world: SlowWorld) -> None:
    """7.2: one worker has it, the other is told who."""
    claims = [world.subscriptions.claim("pull", worker) for worker in ("one", "two")]
    first, second = world.at_once(*claims)
    assert first.generation == 1
    assert isinstance(second, AlreadyClaimed)
    assert second.holder == "one"


def test_two_callbacks_that_finish(world: SlowWorld) -> None:
    """7.1: the first one ends the wake, the second is fenced and moves nothing."""
    call = world.receivers.next()
    call.accept()
    later = world.append("events/a", 2)
    finish = world.subscriptions.callback("hook", call.token, call.report(done=True))
    again = world.subscriptions.callback("hook", call.token, call.report(done=True, acks={"events/a": later}))
    first, second = world.at_once(finish, again)
    assert first is True
    assert isinstance(second, Fenced)
    assert world.acked("hook") == call.tails
    assert world.receivers.next().body["generation"] == 2


def test_two_callbacks_that_go_on(world: SlowWorld) -> None:
    """7.1: both are of the same wake and both count, in their order."""
    call = world.receivers.next()
    call.accept()
    reports = [call.report(acks=acks) for acks in ({"events/a": world.tail_before}, call.tails)]
    assert world.at_once(*(world.subscriptions.callback("hook", call.token, said) for said in reports)) == [False] * 2
    assert world.acked("hook") == call.tails


def test_a_callback_and_the_answer_of_the_same_wake(world: SlowWorld) -> None:
    """7.1: whichever comes first ends it; the other changes nothing."""
    call = world.receivers.next()
    world.at_once(world.subscriptions.callback("hook", call.token, call.report(done=True, acks={})))
    assert world.acked("hook") == {"events/a": world.tail_before}
    again = world.receivers.open_calls[-1]
    call.done()
    assert world.acked("hook") == {"events/a": world.tail_before}
    again.done()
    error_of(world.subscriptions.callback("hook", again.token, again.report(done=True)), Fenced)
    assert world.acked("hook") == call.tails


def test_an_ack_and_a_release(world: SlowWorld) -> None:
    """7.2: after the release nothing counts."""
    claimed = world.claim("pull")
    said = report(claimed.wake_id, claimed.generation, {"events/a": world.tail("events/a")}, True)
    release = world.subscriptions.release("pull", claimed.token, said)
    ack = world.subscriptions.ack("pull", claimed.token, said)
    released, acked = world.at_once(release, ack)
    assert released is None
    assert isinstance(acked, Fenced)
    assert world.acked("pull") == {"events/a": world.tail_before}


@pytest.mark.parametrize(("seconds", "counts"), [(29.999, True), (30.0, False), (30.001, False)])
@pytest.mark.parametrize("timer_is_served", [True, False])
def test_an_ack_and_the_end_of_its_lease(world: SlowWorld, seconds: float, counts: bool, timer_is_served: bool) -> None:
    """7.3: before its end the ack counts and the lease goes on; from its end on it does not, timer or no timer."""
    claimed = world.claim("pull")
    if timer_is_served:
        world.clock.advance(seconds)
    else:
        world.clock.rightNow += seconds
    said = report(claimed.wake_id, claimed.generation, {"events/a": world.tail("events/a")}, False)
    [outcome] = world.at_once(world.subscriptions.ack("pull", claimed.token, said))
    assert (outcome is False) == counts
    assert (world.acked("pull") == {"events/a": world.tail("events/a")}) == counts
    if not counts:
        assert isinstance(outcome, Fenced)
        assert world.claim("pull", "next").generation == 2


def test_an_ack_and_a_deletion(world: SlowWorld) -> None:
    """6.3: a deleted subscription moves no cursor, nor does the one that follows it."""
    claimed = world.claim("pull")
    said = report(claimed.wake_id, claimed.generation, {"events/a": world.tail("events/a")}, True)
    delete = world.subscriptions.delete("pull")
    ack = world.subscriptions.ack("pull", claimed.token, said)
    assert isinstance(world.at_once(delete, ack)[1], SubscriptionNotFound)
    world.subscribe_by_pull("pull")
    error_of(world.subscriptions.ack("pull", claimed.token, said), Fenced)


def test_an_append_between_claim_and_done(world: SlowWorld) -> None:
    """7.1: what came after the snapshot wakes again, whenever it came."""
    claimed = world.claim("pull")
    said = report(claimed.wake_id, claimed.generation, {"events/a": world.tail("events/a")}, True)
    world.store.is_slow = True
    finishing = Deferred.fromCoroutine(world.subscriptions.ack("pull", claimed.token, said))
    later = world.append("events/a", 2)
    world.store.write()
    assert result_of(finishing) is False
    again = world.claim("pull")
    assert (again.generation, world.ack("pull", again, {"events/a": later}, done=True)) == (2, False)
    assert [event["generation"] for event in world.wake_events()] == [1, 2]
