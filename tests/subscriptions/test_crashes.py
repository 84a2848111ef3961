"""The process is killed after every step that is kept: nothing pending is lost, nothing is acked by itself.

A crash loses the subscriptions in memory, with every answer that was on its way. The streams are durable by themselves;
the store comes back with what it has kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred
from zope.interface import implementer

from durable_streams.protocol.offsets import offset_of
from durable_streams.subscriptions.configuration import configuration
from durable_streams.subscriptions.errors import AlreadyClaimed, NoPendingWork, SubscriptionNotFound
from durable_streams.subscriptions.events import Event
from durable_streams.subscriptions.interfaces import ISubscriptionStore
from durable_streams.subscriptions.leasing import ClaimedWake
from tests.subscriptions.world import HOOK, ROOT, Call, KeptStore, World, report, result_of, sqlite_store

MORE_THAN_ENOUGH = 10**6

OpenStore = Callable[[], ISubscriptionStore]
"""Opens one and the same store, as often as it is asked to."""

A = TypeVar("A")


@implementer(ISubscriptionStore)
class DyingStore:
    """Keeps ``saves`` more times; the last of them is kept but not answered, or not even kept."""

    durability = "until it dies"

    def __init__(self, inner: ISubscriptionStore, saves: int, keeps_the_last: bool) -> None:
        self._inner = inner
        self._left = saves
        self._keeps_the_last = keeps_the_last
        self.saves = 0

    @property
    def is_dead(self) -> bool:
        return self._left <= 0

    def open(self) -> Deferred[Sequence[Event]]:
        return self._inner.open()

    def save(self, events: Sequence[Event]) -> Deferred[None]:
        if self.is_dead:
            return Deferred()
        if events:
            self.saves += 1
            self._left -= 1
            if self.is_dead:
                if self._keeps_the_last:
                    result_of(self._inner.save(events))
                return Deferred()
        return self._inner.save(events)

    def close(self) -> Deferred[None]:
        return self._inner.close()


class MortalWorld(World):
    """A world whose subscriptions die once and are begun again."""

    def __init__(self, open_store: OpenStore, saves: int, keeps_the_last: bool) -> None:
        super().__init__()
        result_of(self.subscriptions.stopService())
        self._open_store = open_store
        self.deaths = 0
        self.dying = DyingStore(open_store(), saves, keeps_the_last)
        self.start(self.dying)

    def revive(self) -> None:
        """Begin again if the process has died."""
        if not self.dying.is_dead:
            return
        self.deaths += 1
        result_of(self.subscriptions.stopService())
        self.dying = DyingStore(self._open_store(), MORE_THAN_ENOUGH, True)
        self.start(self.dying)

    def ask(self, request: Any) -> Any:
        """What a client gets; None when the process died before it answered."""
        answers: list[Any] = []
        Deferred.fromCoroutine(request).addBoth(answers.append)
        assert answers or self.dying.is_dead
        return answers[0] if answers else None


@pytest.fixture(params=["list", "sqlite"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], OpenStore]:
    """Makes an empty store."""
    numbers = count()

    def new_sqlite_store() -> OpenStore:
        path = tmp_path / f"{next(numbers)}.sqlite"
        return lambda: sqlite_store(path)

    def new_list() -> OpenStore:
        kept = KeptStore()
        return lambda: kept

    return new_sqlite_store if request.param == "sqlite" else new_list


def lives(new_store: Callable[[], OpenStore], life: Callable[[MortalWorld], A]) -> Iterator[tuple[MortalWorld, A]]:
    """The same life with a death after each step, and how each of them ended."""
    undying = MortalWorld(new_store(), MORE_THAN_ENOUGH, True)
    actor = life(undying)
    assert undying.deaths == 0
    steps = undying.dying.saves
    yield undying, actor
    undying.stop()
    for saves in range(1, steps + 1):
        for keeps_the_last in (True, False):
            world = MortalWorld(new_store(), saves, keeps_the_last)
            actor = life(world)
            assert world.deaths == 1, f"did not die at step {saves}"
            yield world, actor
            world.stop()


class HonestReceiver:
    """Processes what it is told of, and finishes each wake in another way."""

    def __init__(self, world: MortalWorld) -> None:
        self._world = world
        self.processed: dict[str, str] = {}
        self.wakes: list[tuple[int, str]] = []
        self.keys: list[dict[str, str]] | None = None
        self._ways = [self._call_back, Call.done, self._call_back_in_parts, Call.fail, Call.done]
        world.receivers.on_call = self._called

    def _called(self, call: Call) -> None:
        self.wakes.append(call.wake)
        self.processed.update(call.tails)
        self._ways[len(self.wakes) % len(self._ways)](call)

    def _call_back(self, call: Call) -> None:
        call.accept()
        self._report(call, call.tails, True)

    def _call_back_in_parts(self, call: Call) -> None:
        call.accept()
        for path, tail in call.tails.items():
            self._report(call, {path: tail}, False)
        self._report(call, {}, True)

    def _report(self, call: Call, acks: dict[str, str], done: bool) -> None:
        said = call.report(done=done, acks=acks)
        subscriptions = self._world.subscriptions
        self._world.ask(subscriptions.callback(call.body["subscription_id"], call.token, said))


def check_that_no_cursor_is_ahead(world: MortalWorld, processed: dict[str, str], beginnings: dict[str, str]) -> None:
    for path, acked in world.acked("sub").items():
        assert acked <= max(processed.get(path, ""), beginnings.get(path, offset_of(0))), path


def check_wakes(wakes: list[tuple[int, str]]) -> None:
    """Generations never go back, and each belongs to one wake."""
    assert [generation for generation, _ in wakes] == sorted(generation for generation, _ in wakes)
    assert len({generation for generation, _ in wakes}) == len(set(wakes))


def subscribe(world: MortalWorld, **fields: Any) -> None:
    """As a client does: again until it is answered."""
    while True:
        asked = configuration(pattern="events/*", lease_ttl_ms=5000, **fields)
        if world.ask(world.subscriptions.create("sub", asked, ROOT)) is not None:
            return
        world.revive()


def test_webhook_wakes_survive_a_crash_at_every_step(new_store: Callable[[], OpenStore]) -> None:
    """7.1: every pending event is delivered at least once, and no cursor moves without an ack."""

    def life(world: MortalWorld) -> HonestReceiver:
        receiver = HonestReceiver(world)
        world.create("events/a", "old")
        beginnings = {"events/a": world.tail("events/a")}
        world.revive()
        subscribe(world, type="webhook", webhook_url=HOOK)
        receiver.keys = world.ask(world.subscriptions.published_keys())
        for step in range(8):
            if step == 4:
                world.create("events/b", step)
            else:
                world.append("events/b" if step == 6 else "events/a", step)
            world.revive()
            check_that_no_cursor_is_ahead(world, receiver.processed, beginnings)
            world.clock.pump([1.0] * (7 if step % 3 == 2 else 1))
            world.revive()
        world.clock.pump([1.0] * 60)
        world.revive()
        world.clock.pump([1.0] * 60)
        return receiver

    for world, receiver in lives(new_store, life):
        tails = {path: world.tail(path) for path in ("events/a", "events/b")}
        assert receiver.processed == tails
        assert world.acked("sub") == tails
        check_wakes(receiver.wakes)
        if receiver.keys is not None:
            assert result_of(world.subscriptions.published_keys()) == receiver.keys


class HonestWorker:
    """Claims when it reads a wake event, never otherwise; acks half of its wakes in parts."""

    def __init__(self, world: MortalWorld) -> None:
        self._world = world
        self._read = 0
        self.processed: dict[str, str] = {}
        self.wakes: list[tuple[int, str]] = []

    def work(self) -> None:
        """Read on in the wake stream."""
        while self._read < len(self._world.wake_events()):
            self._read += 1
            claimed = self._world.ask(self._world.subscriptions.claim("sub", "worker"))
            if isinstance(claimed, ClaimedWake):
                self._process(claimed)
            else:
                assert claimed is None or claimed.check(AlreadyClaimed, NoPendingWork)
            if self._world.dying.is_dead:
                return

    def _process(self, claimed: ClaimedWake) -> None:
        self.wakes.append((claimed.generation, claimed.wake_id))
        acks = {stream.path: offset_of(stream.tail) for stream in claimed.streams if stream.has_pending}
        self.processed.update(acks)
        if len(self.wakes) % 2:
            self._report(claimed, acks, True)
            return
        for path, offset in acks.items():
            self._report(claimed, {path: offset}, False)
        self._report(claimed, {}, True)

    def _report(self, claimed: ClaimedWake, acks: dict[str, str], done: bool) -> None:
        said = report(claimed.wake_id, claimed.generation, acks, done)
        self._world.ask(self._world.subscriptions.ack("sub", claimed.token, said))


def test_pull_wakes_survive_a_crash_at_every_step(new_store: Callable[[], OpenStore]) -> None:
    """7.2: a worker that does nothing but follow the wake stream gets everything."""

    def life(world: MortalWorld) -> HonestWorker:
        worker = HonestWorker(world)
        world.create("wake/pool")
        world.create("events/a", "old")
        beginnings = {"events/a": world.tail("events/a")}
        world.revive()
        subscribe(world, type="pull-wake", wake_stream="wake/pool")
        for step in range(8):
            if step == 4:
                world.create("events/b", step)
            else:
                world.append("events/b" if step == 6 else "events/a", step)
            world.revive()
            if step % 3:
                worker.work()
                world.revive()
            check_that_no_cursor_is_ahead(world, worker.processed, beginnings)
        for _ in range(20):
            worker.work()
            world.revive()
            world.clock.advance(3)
            world.revive()
        return worker

    for world, worker in lives(new_store, life):
        tails = {path: world.tail(path) for path in ("events/a", "events/b")}
        assert worker.processed == tails
        assert world.acked("sub") == tails
        check_wakes(worker.wakes)


def test_a_deletion_survives_a_crash_at_every_step(new_store: Callable[[], OpenStore]) -> None:
    """6.3: a subscription that was deleted stays deleted, and its tokens stay worthless."""

    def life(world: MortalWorld) -> None:
        world.create("wake/pool")
        world.create("events/a")
        world.revive()
        subscribe(world, type="pull-wake", wake_stream="wake/pool")
        world.append("events/a")
        world.revive()
        claimed = world.ask(world.subscriptions.claim("sub", "worker"))
        world.revive()
        answered = world.ask(world.subscriptions.delete("sub"))
        world.revive()
        if answered is None:
            result_of(world.subscriptions.delete("sub"))
        if not isinstance(claimed, ClaimedWake):
            return
        said = report(claimed.wake_id, claimed.generation, {"events/a": world.tail("events/a")}, True)
        assert world.ask(world.subscriptions.ack("sub", claimed.token, said)).check(SubscriptionNotFound)

    for world, _ in lives(new_store, life):
        assert world.ask(world.subscriptions.describe("sub")).check(SubscriptionNotFound)
        asked = configuration(type="pull-wake", pattern="events/*", wake_stream="wake/pool")
        result_of(world.subscriptions.create("sub", asked, ROOT))
        assert world.describe("sub").progress.generation >= 1
