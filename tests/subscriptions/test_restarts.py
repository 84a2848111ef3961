"""What happened while nobody looked is found at the next start; what was promised before it still holds (Section 7)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from durable_streams.protocol.offsets import offset_of
from durable_streams.protocol.results import Page
from durable_streams.subscriptions.errors import AlreadyClaimed, Fenced
from durable_streams.subscriptions.interfaces import ISubscriptionStore
from tests.subscriptions.test_membership import SlowListing
from tests.subscriptions.world import KeptStore, World, error_of, report, result_of, sqlite_store

START = offset_of(0)


class RestartedWorld(World):
    """A world whose subscriptions can be away for a while."""

    def __init__(self, open_store: Callable[[], ISubscriptionStore]) -> None:
        self._open_store = open_store
        super().__init__(open_store())
        self.create("wake/pool")
        self.create("events/a")

    def go(self) -> None:
        """The subscriptions end; streams go on without them."""
        result_of(self.subscriptions.stopService())

    def come(self) -> None:
        self.start(self._open_store())


@pytest.fixture(params=["list", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> RestartedWorld:
    kept = KeptStore()
    if request.param == "list":
        return RestartedWorld(lambda: kept)
    return RestartedWorld(lambda: sqlite_store(tmp_path / "subscriptions.sqlite"))


def test_what_was_appended_meanwhile_wakes(world: RestartedWorld) -> None:
    """7: a process may end between an append and its wake; cursors are compared with tails at the start."""
    world.subscribe("hook")
    world.subscribe("named", streams=["events/a"])
    world.subscribe_by_pull("pull")
    world.go()
    tail = world.append("events/a")
    world.come()
    assert [call.tails for call in world.receivers.open_calls] == [{"events/a": tail}] * 2
    assert [event["subscription_id"] for event in world.wake_events()] == ["pull"]
    world.stop()


def test_streams_that_came_and_went_meanwhile(world: RestartedWorld) -> None:
    """6.2: new ones are linked from their beginning, those that are gone are not linked; a replaced one is new."""
    for name in ("events/gone", "events/replaced"):
        world.create(name, "old")
    result_of(world.streams.create("events/expired", ttl=60))
    world.subscribe("hook", pattern="events/*", streams=["later", "events/gone"])
    world.go()
    for name in ("events/gone", "events/replaced"):
        result_of(world.streams.delete(name))
    for name in ("events/replaced", "events/new", "later"):
        world.create(name, "new")
    world.clock.advance(61)
    world.come()
    new = {name: world.tail(name) for name in ("events/new", "events/replaced", "later")}
    assert world.receivers.next().tails == new
    assert world.acked("hook") == {
        "events/a": world.tail("events/a"),
        "events/gone": START,
        "events/new": START,
        "events/replaced": START,
        "later": START,
    }
    world.stop()


def test_a_retry_keeps_its_time(world: RestartedWorld) -> None:
    """7.1: `next_attempt_at` is kept, and so is how often it has failed."""
    world.subscribe("hook")
    world.append("events/a")
    for pause in (1, 2, 4):
        world.receivers.next().fail()
        world.clock.advance(pause)
    world.receivers.next().fail()
    world.go()
    world.clock.advance(3)
    world.come()
    assert world.describe("hook").progress.status == "failed"
    world.clock.advance(4)
    assert world.receivers.open_calls == []
    world.clock.advance(1)
    again = world.receivers.next()
    assert again.body["generation"] == 1
    again.fail()
    world.clock.advance(15)
    assert world.receivers.open_calls == []
    world.clock.advance(1)
    world.receivers.next().done()
    world.stop()


def test_a_retry_whose_time_has_passed_is_made_at_once(world: RestartedWorld) -> None:
    """7.1: the service was away for longer than the pause."""
    world.subscribe("hook")
    world.append("events/a")
    world.receivers.next().fail()
    world.go()
    world.clock.advance(3600)
    world.come()
    world.receivers.next().done()
    world.stop()


def test_a_webhook_whose_answer_was_not_seen_is_sent_again(world: RestartedWorld) -> None:
    """7.1: the same wake, so that the receiver can tell."""
    world.subscribe("hook")
    world.append("events/a")
    before = world.receivers.next()
    world.go()
    world.come()
    again = world.receivers.next()
    assert (again.wake, again.tails) == (before.wake, before.tails)
    again.done()
    world.stop()


def test_a_lease_goes_on(world: RestartedWorld) -> None:
    """7.3: its holder acks with the token from before; others are refused; it ends at its time."""
    world.subscribe_by_pull("pull")
    tail = world.append("events/a")
    claimed = world.claim("pull", "holder")
    world.go()
    world.clock.advance(10)
    world.come()
    assert error_of(world.subscriptions.claim("pull", "other"), AlreadyClaimed).holder == "holder"
    world.ack("pull", claimed, {})
    world.go()
    world.clock.advance(29)
    world.come()
    world.clock.advance(1)
    assert world.claim("pull", "other").generation == 2
    said = report(claimed.wake_id, claimed.generation, {"events/a": tail}, True)
    error_of(world.subscriptions.ack("pull", claimed.token, said), Fenced)
    world.stop()


def test_a_lease_that_ended_meanwhile(world: RestartedWorld) -> None:
    """7.3: the next wake is there when the service is."""
    world.subscribe_by_pull("pull")
    world.append("events/a")
    world.claim("pull")
    world.go()
    world.clock.advance(31)
    world.come()
    assert [event["generation"] for event in world.wake_events()] == [1, 2]
    world.stop()


def test_a_wake_that_nobody_claimed_is_written_once_more(world: RestartedWorld) -> None:
    """7.2: it may have been read just before the end, by a worker whose claim then found nobody."""
    world.subscribe_by_pull("pull")
    world.append("events/a")
    world.go()
    world.come()
    assert [event["generation"] for event in world.wake_events()] == [1, 1]
    assert world.claim("pull").generation == 1
    world.stop()


def test_requests_wait_until_the_streams_are_known(world: RestartedWorld) -> None:
    """6.2: nothing is answered from what may be out of date."""
    world.subscribe("hook")
    world.go()
    storage = SlowListing(world.clock)
    storage.__dict__.update(world.streams.storage.__dict__)
    world.streams.storage = storage
    storage.slow = True
    tail = world.append("events/a")
    world.come()
    asked = Deferred.fromCoroutine(world.subscriptions.describe("hook"))
    later = world.append("events/a")
    assert not asked.called
    assert world.receivers.calls == []
    assert storage.waiting is not None
    storage.waiting.callback(storage.page)
    assert result_of(asked).definition.subscription_id == "hook"
    assert tail < later
    assert world.receivers.next().tails == {"events/a": later}
    world.stop()


def test_an_idle_restart_changes_nothing(world: RestartedWorld) -> None:
    """No wake, no call, no cursor."""
    world.subscribe("hook")
    world.subscribe_by_pull("pull")
    tail = world.append("events/a")
    world.receivers.next().done()
    world.ack("pull", world.claim("pull"), {"events/a": tail}, done=True)
    before = world.describe("hook"), world.describe("pull"), world.wake_events()
    for _ in range(3):
        world.go()
        world.clock.advance(100)
        world.come()
    assert (world.describe("hook"), world.describe("pull"), world.wake_events()) == before
    assert len(world.receivers.calls) == 1
    world.stop()


def test_streams_are_listed_once_however_many_patterns_there_are(
    world: RestartedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6.2: a start does not ask for each pattern by itself, and finds what came for all of them."""
    for number in range(30):
        world.subscribe(f"sub-{number}", pattern=f"tenant-{number}/*")
    world.go()
    for number in range(30):
        world.create(f"tenant-{number}/a", number)
    asked: list[str] = []
    listing = world.streams.list_streams

    def list_streams(prefix: str = "", after: str = "", limit: int = 1000) -> Deferred[Page]:
        asked.append(prefix)
        return listing(prefix, after, limit)

    monkeypatch.setattr(world.streams, "list_streams", list_streams)
    world.come()
    assert asked == [""]
    hosts = [call.body["subscription_id"] for call in world.receivers.calls]
    assert len(hosts) == 16
    while world.receivers.open_calls:
        world.receivers.next().done()
    assert len(world.receivers.calls) == 30
    world.stop()
