"""A worker at work: claims, hands over, acks, stays alive, gives back, comes again (Section 7.2)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from durable_streams.client import RetryPolicy
from durable_streams.client.pull_wake_worker import PullWakeWorker
from durable_streams.client.subscription import SubscriptionHandle
from durable_streams.client.wake_session import Handler, Work
from durable_streams.testing import MemoryServer
from tests.client.outcomes import result_of


class Pool:
    """A server with subscription ``sub`` to ``events/*``, and workers that note what they do."""

    def __init__(self) -> None:
        self.server = MemoryServer()
        self.done: list[tuple[str, str, Any]] = []
        self.errors: list[Failure] = []
        self.workers: list[PullWakeWorker] = []
        self.create("wake/pool")
        self.create("events/a")
        self.sub = self.subscribe("sub")

    def create(self, name: str, content_type: str = "application/json") -> None:
        result_of(self.server.service.create(name, content_type=content_type))

    def subscribe(self, name: str, **options: Any) -> SubscriptionHandle:
        sub = self.server.directory().subscription(name)
        creating = sub.create_pull_wake("wake/pool", pattern="events/*", lease_ttl_ms=9000, **options)
        self.server.advance()
        result_of(creating)
        return sub

    def append(self, *messages: object, name: str = "events/a") -> None:
        result_of(self.server.service.append_json(name, *messages))
        self.server.advance()

    def worker(
        self, name: str = "one", handler: Handler | None = None, max_retries: int = 1, **options: Any
    ) -> PullWakeWorker:
        def note(work: Work) -> None:
            self.done.append((name, work.stream, work.messages))

        directory = self.server.directory(retry=RetryPolicy(max_retries, initial_delay=0.1))
        worker = PullWakeWorker(
            directory,
            "wake/pool",
            handler or note,
            worker=name,
            on_error=self.errors.append,
            clock=self.server.clock,
            **options,
        )
        self.workers.append(worker)
        worker.startService()
        self.server.advance()
        return worker

    def lose_packets(self, monkeypatch: pytest.MonkeyPatch) -> MemoryReactorClock:
        """From now on the server's host neither accepts connections nor refuses them; returns who tries to connect."""
        connecting = MemoryReactorClock()
        endpoint = TCP4ClientEndpoint(connecting, "192.0.2.1", 80)
        monkeypatch.setattr(self.server.network, "endpointForURI", lambda uri: endpoint)
        self.server.cut()
        return connecting

    def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            self.server.advance(1)

    @property
    def messages(self) -> list[Any]:
        return [message for _, _, messages in self.done for message in messages]

    @property
    def cursors(self) -> dict[str, str]:
        reading = self.sub.read()
        self.server.advance()
        return result_of(reading).cursors

    @property
    def tails(self) -> dict[str, str]:
        return {path: self.tail(path) for path in self.cursors}

    def tail(self, path: str) -> str:
        return result_of(self.server.service.read(path, "now")).next_offset

    def generation(self) -> int:
        return int(result_of(Deferred.fromCoroutine(self.server.subscriptions.describe("sub"))).progress.generation)

    def stop(self, worker: PullWakeWorker) -> Deferred[None]:
        self.workers.remove(worker)
        stopping = worker.stopService()
        self.server.advance()
        return stopping


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool()
    yield pool
    for worker in list(pool.workers):
        result_of(pool.stop(worker))
    result_of(pool.server.stop())


class Hands:
    """A handler whose work ends when the test says so."""

    def __init__(self) -> None:
        self.held: list[tuple[Work, Deferred[None]]] = []
        self.cancelled: list[Work] = []

    def __call__(self, work: Work) -> Deferred[None]:
        done: Deferred[None] = Deferred(lambda _: self.cancelled.append(work))
        self.held.append((work, done))
        return done

    def finish(self) -> None:
        self.held.pop(0)[1].callback(None)


def test_what_is_appended_is_worked_through_and_acked(pool: Pool) -> None:
    """7.2: wake, claim, read, ack, done; again for what comes later, and for streams that come later."""
    pool.worker()
    pool.append(1, 2)
    pool.append(3)
    pool.create("events/b")
    pool.append({"n": 4}, name="events/b")
    assert pool.messages == [1, 2, 3, {"n": 4}]
    assert pool.cursors == pool.tails
    assert not pool.workers[0].is_busy


@pytest.mark.parametrize("subscriptions", [(), ("sub",)])
def test_what_was_pending_before_the_worker_came(pool: Pool, subscriptions: tuple[str, ...]) -> None:
    """7.2: its wake was written, and read by nobody."""
    pool.append(1)
    pool.append(2)
    pool.worker(subscriptions=subscriptions)
    assert pool.messages == [1, 2]
    pool.append(3)
    assert pool.messages == [1, 2, 3]
    assert pool.cursors == pool.tails


def test_text_and_bytes(pool: Pool) -> None:
    """By the content type of each stream."""
    pool.create("events/text", "text/plain")
    pool.create("events/bytes", "application/octet-stream")
    pool.worker()
    result_of(pool.server.service.append("events/text", "wörld".encode()))
    pool.server.advance()
    result_of(pool.server.service.append("events/bytes", b"\xff\x00"))
    pool.server.advance()
    assert pool.messages == ["wörld", b"\xff\x00"]
    assert pool.cursors == pool.tails


def test_half_a_character_does_not_spin(pool: Pool) -> None:
    """The text stays pending until the rest is there; the worker pauses meanwhile."""
    pool.create("events/text", "text/plain")
    pool.worker()
    result_of(pool.server.service.append("events/text", b"a\xc3"))
    pool.pass_seconds(60)
    assert pool.generation() < 15
    result_of(pool.server.service.append("events/text", b"\xa4"))
    pool.pass_seconds(61)
    assert "".join(pool.messages).endswith("ä")
    assert pool.cursors == pool.tails


def test_only_the_named_subscriptions(pool: Pool) -> None:
    """A wake stream may be shared by many."""
    other = pool.subscribe("other")
    pool.worker(subscriptions=["other"])
    pool.append(1)
    assert len(pool.done) == 1
    reading = other.read()
    pool.server.advance()
    assert result_of(reading).cursors == pool.tails
    assert pool.cursors != pool.tails


def test_others_may_write_to_the_wake_stream(pool: Pool) -> None:
    """What is no wake is passed over."""
    pool.worker()
    pool.append({"type": "note"}, 1, None, {"type": "wake"}, {"type": "wake", "subscription_id": 7}, name="wake/pool")
    pool.append({"type": "wake", "subscription_id": "none"}, name="wake/pool")
    pool.append(1)
    assert pool.messages == [1]


class TestLeases:
    """7.3: a worker is alive as long as its heart beats."""

    def test_slow_work_keeps_its_lease(self, pool: Pool) -> None:
        """Acks without offsets, three in the time of a lease."""
        hands = Hands()
        pool.worker("one", hands)
        pool.append(1)
        pool.worker("two")
        pool.pass_seconds(100)
        assert (pool.done, pool.generation()) == ([], 1)
        hands.finish()
        pool.server.advance()
        assert pool.cursors == pool.tails

    def test_a_lost_lease_cancels_the_work(self, pool: Pool) -> None:
        """7.3: another worker has it now; what the first one does is in vain."""
        hands = Hands()
        pool.worker("one", hands)
        pool.append(1)
        deleting = pool.sub.delete()
        pool.server.advance()
        result_of(deleting)
        pool.pass_seconds(4)
        assert [work.messages for work in hands.cancelled] == [[1]]

    def test_a_worker_that_is_cut_off_gives_up_when_its_lease_ends(self, pool: Pool) -> None:
        """7.3: it cannot know what others do, so it stops in time; then it goes on by itself."""
        hands = Hands()
        pool.worker("one", hands)
        pool.append(1)
        pool.server.refuse()
        pool.pass_seconds(10)
        assert len(hands.cancelled) == 1
        pool.server.accept()
        pool.pass_seconds(70)
        assert len(hands.held) >= 2
        hands.held = hands.held[-1:]
        hands.finish()
        pool.server.advance()
        assert pool.cursors == pool.tails

    def test_a_worker_that_dies_is_followed_by_another(self, pool: Pool) -> None:
        """7.3: the lease expires, another wake is written, whoever reads it claims."""
        pool.append(1)
        claiming = pool.sub.claim("dead")
        pool.server.advance()
        result_of(claiming)
        pool.worker()
        pool.pass_seconds(8)
        assert pool.done == []
        pool.pass_seconds(2)
        assert pool.messages == [1]


def test_two_workers_share_the_work(pool: Pool) -> None:
    """7.2: each wake goes to one of them, and everything is done once."""
    for name in ("one", "two"):
        pool.worker(name)
    for number in range(20):
        pool.append(number)
    assert pool.messages == list(range(20))
    assert pool.cursors == pool.tails


class TestFailingHandlers:
    """Work that fails is tried again, by this worker after a pause."""

    def failing(self, pool: Pool, times: int) -> Callable[[Work], None]:
        left = [times]

        def handle(work: Work) -> None:
            if left[0]:
                left[0] -= 1
                raise ValueError("not today")
            pool.done.append(("one", work.stream, work.messages))

        return handle

    def test_it_is_done_in_the_end(self, pool: Pool) -> None:
        """And each failure is told."""
        pool.worker("one", self.failing(pool, 3))
        pool.append(1)
        assert ([str(error.value) for error in pool.errors], pool.done) == (["not today"], [])
        pool.pass_seconds(10)
        assert len(pool.errors) == 3
        assert pool.messages == [1]
        assert pool.cursors == pool.tails

    def test_the_others_can_have_it_at_once(self, pool: Pool) -> None:
        """7.2: the wake is released."""
        pool.worker("one", self.failing(pool, 10))
        pool.worker("two")
        pool.append(1)
        assert pool.messages == [1]
        assert pool.cursors == pool.tails

    def test_what_was_done_before_is_not_done_again(self, pool: Pool) -> None:
        """7.2: the acks count although the wake is given back."""
        pool.create("events/b")
        seen: list[str] = []

        def handle(work: Work) -> None:
            seen.append(work.stream)
            if seen == ["events/a", "events/b"]:
                raise ValueError("once")

        for name in ("events/a", "events/b"):
            pool.append(1, name=name)
        pool.worker("one", handle)
        pool.pass_seconds(2)
        assert seen == ["events/a", "events/b", "events/b"]
        assert pool.cursors == pool.tails

    def test_a_deferred_that_fails(self, pool: Pool) -> None:
        """As an exception."""
        hands = Hands()
        pool.worker("one", hands)
        pool.append(1)
        hands.held.pop(0)[1].errback(ValueError("later"))
        pool.pass_seconds(2)
        assert len(pool.errors) == 1
        hands.finish()
        pool.server.advance()
        assert pool.cursors == pool.tails

    @pytest.mark.parametrize("at_once", [True, False])
    def test_a_handler_that_cancels_what_it_waits_for(self, pool: Pool, at_once: bool) -> None:
        """As an exception: it is told, and there is a pause before the next time."""
        waiting: list[Deferred[None]] = []

        def handle(work: Work) -> Deferred[None]:
            waiting.append(Deferred())
            if at_once:
                waiting[-1].cancel()
            return waiting[-1]

        pool.worker("one", handle)
        pool.append(1)
        waiting[-1].cancel()
        pool.server.advance()
        assert [error.type for error in pool.errors] == [CancelledError]
        assert len(waiting) == 1
        pool.pass_seconds(2)
        assert len(waiting) == 2
        waiting[-1].cancel()


def test_lost_connections_are_made_up_for(pool: Pool) -> None:
    """For as long as it takes; wakes of meanwhile are found."""
    pool.worker()
    pool.append(1)
    pool.server.refuse()
    pool.pass_seconds(300)
    result_of(pool.server.service.append_json("events/a", 2))
    pool.pass_seconds(300)
    pool.server.accept()
    pool.pass_seconds(61)
    assert pool.messages == [1, 2]
    pool.server.cut()
    pool.append(3)
    pool.pass_seconds(61)
    assert pool.messages == [1, 2, 3]


def test_a_wake_stream_that_comes_later(pool: Pool) -> None:
    """7.2: the application creates it, maybe after the worker was started; and maybe again."""
    result_of(pool.server.service.delete("wake/pool"))
    pool.worker()
    pool.append(1)
    assert pool.done == []
    for number in (2, 3):
        pool.create("wake/pool")
        pool.pass_seconds(61)
        assert pool.messages[0] == 1
        pool.append(number)
        assert pool.messages[-1] == number
        result_of(pool.server.service.delete("wake/pool"))
        pool.server.advance()


def test_a_stream_that_vanishes_during_its_work(pool: Pool) -> None:
    """Nothing is left to do there; the rest is done."""
    hands = Hands()
    pool.create("events/b")
    pool.append(1)
    pool.append(2, name="events/b")
    pool.worker("one", hands)
    result_of(pool.server.service.delete("events/b"))
    hands.finish()
    pool.pass_seconds(1)
    assert (hands.held, pool.cursors) == ([], pool.tails)


class TestStopping:
    """Nothing is lost, and little is done twice."""

    def test_the_work_in_hand_is_finished(self, pool: Pool) -> None:
        """And acked, before the service has stopped."""
        hands = Hands()
        worker = pool.worker("one", hands)
        pool.append(1)
        stopping = pool.stop(worker)
        assert not stopping.called
        hands.finish()
        pool.server.advance()
        result_of(stopping)
        assert pool.cursors == pool.tails
        pool.append(2)
        assert hands.held == []

    def test_after_its_grace_it_is_given_back(self, pool: Pool) -> None:
        """Another worker has it at once."""
        hands = Hands()
        worker = pool.worker("one", hands, grace=5)
        pool.append(1)
        stopping = pool.stop(worker)
        pool.worker("two")
        pool.pass_seconds(4)
        assert hands.cancelled == []
        pool.pass_seconds(1)
        result_of(stopping)
        assert len(hands.cancelled) == 1
        assert pool.done == [("two", "events/a", [1])]

    @pytest.mark.parametrize("is_done", [True, False])
    def test_a_server_that_is_gone_is_not_waited_for_long(self, pool: Pool, is_done: bool) -> None:
        """However patient its requests are: the lease ends by itself."""
        hands = Hands()
        worker = pool.worker("one", hands, max_retries=1_000_000, grace=5)
        pool.append(1)
        pool.server.refuse()
        if is_done:
            hands.finish()
        stopping = pool.stop(worker)
        pool.pass_seconds(9)
        assert not stopping.called
        pool.pass_seconds(1)
        result_of(stopping)
        pool.server.accept()
        pool.worker("two")
        pool.pass_seconds(60)
        assert pool.done == [("two", "events/a", [1])]

    @pytest.mark.parametrize("is_done", [True, False])
    def test_a_host_that_says_nothing_is_not_waited_for_long(
        self, pool: Pool, monkeypatch: pytest.MonkeyPatch, is_done: bool
    ) -> None:
        """An attempt to connect ends with the stop, and no other follows."""
        hands = Hands()
        worker = pool.worker("one", hands, max_retries=1_000_000, grace=5)
        pool.append(1)
        host = pool.lose_packets(monkeypatch)
        pool.pass_seconds(2)
        if is_done:
            hands.finish()
        stopping = pool.stop(worker)
        pool.pass_seconds(10)
        result_of(stopping)
        assert host.tcpClients
        host.tcpClients.clear()
        pool.pass_seconds(100)
        assert host.tcpClients == []

    def test_a_handler_that_needs_time_to_end(self, pool: Pool) -> None:
        """It may clean up until the second grace is over; then the lease ends by itself."""
        cleaning: list[bool] = []

        async def handle(work: Work) -> None:
            try:
                await Deferred()
            except CancelledError:
                cleaning.append(True)
                await Deferred()

        worker = pool.worker("one", handle, max_retries=1_000_000, grace=4)
        pool.append(1)
        pool.server.refuse()
        stopping = pool.stop(worker)
        pool.pass_seconds(7)
        assert (cleaning, stopping.called) == ([True], False)
        pool.pass_seconds(1)
        result_of(stopping)
        assert not worker.is_busy

    def test_a_handler_that_does_not_end_is_left(self, pool: Pool) -> None:
        """Nobody could stop the process otherwise."""
        released: Deferred[None] = Deferred()

        async def handle(work: Work) -> None:
            while not released.called:
                try:
                    await Deferred()
                except CancelledError:
                    continue

        worker = pool.worker("one", handle, grace=5)
        pool.append(1)
        stopping = pool.stop(worker)
        pool.pass_seconds(9)
        assert not stopping.called
        pool.pass_seconds(1)
        result_of(stopping)

    def test_a_sign_of_life_ends_with_the_worker(self, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is not repeated when the worker has stopped."""
        worker = pool.worker("one", Hands(), max_retries=1_000_000, grace=2)
        pool.append(1)
        host = pool.lose_packets(monkeypatch)
        pool.pass_seconds(4)
        assert host.tcpClients
        stopping = pool.stop(worker)
        pool.pass_seconds(4)
        result_of(stopping)
        host.tcpClients.clear()
        pool.pass_seconds(100)
        assert host.tcpClients == []

    def test_what_was_done_is_acked_although_its_ack_was_cut_off(
        self, pool: Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the worker gives back, it gives back without that."""
        hands = Hands()
        pool.create("events/b")
        for name in ("events/a", "events/b"):
            pool.append(1, name=name)
        worker = pool.worker("one", hands, grace=5)
        with monkeypatch.context() as lost:
            pool.lose_packets(lost)
            hands.finish()
            stopping = pool.stop(worker)
            pool.pass_seconds(4)
        pool.pass_seconds(1)
        result_of(stopping)
        assert pool.cursors["events/a"] == pool.tail("events/a")

    def test_an_idle_worker_stops_at_once(self, pool: Pool) -> None:
        """And can be started again."""
        worker = pool.worker()
        result_of(pool.stop(worker))
        pool.append(1)
        assert pool.done == []
        worker.startService()
        pool.workers.append(worker)
        pool.server.advance()
        assert pool.messages == [1]

    def test_a_worker_that_pauses_after_a_failure(self, pool: Pool) -> None:
        """Stops at once too."""

        def fail(work: Work) -> None:
            raise ValueError("always")

        worker = pool.worker("one", fail)
        pool.append(1)
        assert worker.is_busy
        result_of(pool.stop(worker))
        assert not worker.is_busy

    def test_nothing_is_left_on_the_clock(self, pool: Pool) -> None:
        """No timer outlives the worker."""
        before = len(pool.server.clock.getDelayedCalls())
        worker = pool.worker()
        pool.append(1)
        result_of(pool.stop(worker))
        pool.pass_seconds(10)
        assert len(pool.server.clock.getDelayedCalls()) == before


def test_at_most_so_many_subscriptions_at_once(pool: Pool) -> None:
    """The others wait for a place."""
    hands = Hands()
    for number in range(5):
        pool.subscribe(f"sub-{number}")
    pool.worker("one", hands, at_once=2)
    pool.append(1)
    finished = 0
    while hands.held:
        assert len(hands.held) <= 2
        hands.finish()
        finished += 1
        pool.server.advance()
    assert finished == 6


def test_a_long_backlog_is_acked_in_parts(pool: Pool) -> None:
    """7.2: what was done counts as soon as it is done, not only at the end of the wake."""
    hands = Hands()
    pool.server.service.max_read_bytes = 1000
    pool.append(*["x" * 90] * 30)
    pool.worker("one", hands)
    seen = 0
    cursors = []
    while hands.held:
        seen += len(hands.held[0][0].messages)
        hands.finish()
        pool.server.advance()
        cursors.append(pool.cursors["events/a"])
    assert seen == 30
    assert len(set(cursors)) >= 3
    assert json.dumps(cursors) == json.dumps(sorted(cursors))
    assert pool.cursors == pool.tails
