"""Who may move a cursor, and how far (Sections 7 and 7.3)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_streams.protocol.offsets import offset_of
from durable_streams.subscriptions.errors import (
    AckRefused,
    AlreadyClaimed,
    Fenced,
    SubscriptionNotFound,
    TokenExpired,
    TokenInvalid,
)
from durable_streams.subscriptions.leasing import ClaimedWake
from durable_streams.subscriptions.tokens import mint_token
from tests.subscriptions.world import NOW, World, error_of, report, result_of


@pytest.fixture
def pool(world: World) -> World:
    """Subscription ``pull``, its wake stream, and two streams with something pending in ``events/a``."""
    world.create("wake/pool")
    world.create("events/a")
    world.create("events/b")
    world.subscribe_by_pull("pull")
    world.append("events/a", 1)
    return world


def refused_ack(world: World, claimed: ClaimedWake, acks: dict[str, str]) -> str:
    """What is wrong with the acks; nothing must have moved."""
    before = world.acked("pull")
    said = report(claimed.wake_id, claimed.generation, acks, True)
    refusal = error_of(world.subscriptions.ack("pull", claimed.token, said), AckRefused)
    assert world.acked("pull") == before
    return refusal.requirement


class TestStaleRequests:
    """7.3: a request is refused unless token, generation and wake_id are those of the wake in flight."""

    def stale(self, world: World, claimed: ClaimedWake) -> None:
        before = world.acked("pull")
        said = report(claimed.wake_id, claimed.generation, {"events/a": world.tail("events/a")}, True)
        assert error_of(world.subscriptions.ack("pull", claimed.token, said), Fenced).subscription_id == "pull"
        error_of(world.subscriptions.release("pull", claimed.token, said), Fenced)
        assert world.acked("pull") == before

    def test_after_done(self, pool: World) -> None:
        """7.3: the wake is over."""
        claimed = pool.claim("pull")
        pool.ack("pull", claimed, {}, done=True)
        self.stale(pool, claimed)

    def test_after_release(self, pool: World) -> None:
        """7.2: stale release or ack requests are 409 FENCED."""
        claimed = pool.claim("pull")
        said = report(claimed.wake_id, claimed.generation, {}, False)
        result_of(pool.subscriptions.release("pull", claimed.token, said))
        self.stale(pool, claimed)

    def test_after_the_lease(self, pool: World) -> None:
        """7.3: a lease that has expired clears the wake token."""
        claimed = pool.claim("pull")
        pool.clock.advance(30)
        self.stale(pool, claimed)

    def test_after_the_next_claim(self, pool: World) -> None:
        """7.3: the new holder's wake cannot be touched with the old token."""
        slow = pool.claim("pull", "slow")
        pool.clock.advance(30)
        quick = pool.claim("pull", "quick")
        self.stale(pool, slow)
        borrowed = report(quick.wake_id, quick.generation, {}, True)
        error_of(pool.subscriptions.ack("pull", slow.token, borrowed), Fenced)
        assert pool.ack("pull", quick, {"events/a": pool.tail("events/a")}, done=True) is False

    def test_another_generation_or_wake_in_the_body(self, pool: World) -> None:
        """7.3: the request's own generation and wake_id count too."""
        claimed = pool.claim("pull")
        for wake_id, generation in ((claimed.wake_id, 2), (claimed.wake_id, 0), ("w_other", 1)):
            error_of(pool.subscriptions.ack("pull", claimed.token, report(wake_id, generation, {}, True)), Fenced)

    def test_after_a_reactor_that_was_late(self, pool: World) -> None:
        """7.3: a lease is over at its time, even if the timer has not been served yet."""
        claimed = pool.claim("pull")
        pool.clock.rightNow += 31
        said = report(claimed.wake_id, claimed.generation, {}, True)
        error_of(pool.subscriptions.ack("pull", claimed.token, said), Fenced)

    def test_a_webhook_callback_is_fenced_alike(self, world: World) -> None:
        """7.1: a stale callback is 409 FENCED."""
        world.create("events/a")
        world.subscribe("hook")
        world.append("events/a")
        call = world.receivers.next()
        world.call_back(call, done=True)
        error_of(world.subscriptions.callback("hook", call.token, call.report(done=True)), Fenced)


class TestTokens:
    """7.3, 12.9: the bearer token is valid for the subscription."""

    def ack(self, world: World, claimed: ClaimedWake, token: str, kind: type[Exception]) -> None:
        said = report(claimed.wake_id, claimed.generation, {"events/a": world.tail("events/a")}, True)
        before = world.acked("pull")
        error_of(world.subscriptions.ack("pull", token, said), kind)
        assert world.acked("pull") == before

    def test_nonsense(self, pool: World) -> None:
        """12.9: signatures are validated."""
        claimed = pool.claim("pull")
        for token in ("", ".", "..", "a.b.c", claimed.token[:-1], claimed.token + "x", claimed.token.swapcase(), "ä"):
            self.ack(pool, claimed, token, TokenInvalid)

    def test_of_another_secret(self, pool: World) -> None:
        """12.9: only this service signs."""
        claimed = pool.claim("pull")
        self.ack(pool, claimed, mint_token(b"x" * 32, "pull", 1, NOW), TokenInvalid)

    def test_of_another_subscription(self, pool: World) -> None:
        """7.1: tokens are scoped to a subscription."""
        pool.subscribe_by_pull("other")
        pool.append("events/a", 2)
        other = pool.claim("other")
        self.ack(pool, pool.claim("pull"), other.token, TokenInvalid)

    def test_that_is_too_old(self, pool: World) -> None:
        """12.9: tokens expire, here after a day, even if the worker has kept its lease all the time."""
        claimed = pool.claim("pull")
        for _ in range(24 * 3600 // 25 - 1):
            pool.clock.advance(25)
            pool.ack("pull", claimed, {})
        pool.clock.advance(25)
        self.ack(pool, claimed, claimed.token, TokenExpired)


class TestAckBounds:
    """7: acks are last-processed inclusive, and cursors only go forward, up to the tail."""

    def test_up_to_any_offset_between_cursor_and_tail(self, pool: World) -> None:
        """7: acking N means that the next read starts after N."""
        middle = pool.tail("events/a")
        tail = pool.append("events/a", 2)
        claimed = pool.claim("pull")
        pool.ack("pull", claimed, {"events/a": middle})
        assert pool.acked("pull")["events/a"] == middle
        pool.ack("pull", claimed, {"events/a": tail}, done=True)
        assert pool.acked("pull")["events/a"] == tail

    def test_the_same_offset_again_changes_nothing(self, pool: World) -> None:
        """7: an ack may be repeated as long as its wake lasts."""
        claimed = pool.claim("pull")
        for _ in range(2):
            pool.ack("pull", claimed, {"events/a": pool.tail("events/a")})
        assert pool.acked("pull")["events/a"] == pool.tail("events/a")

    def test_not_beyond_the_tail(self, pool: World) -> None:
        """7: what is not there cannot be processed."""
        assert "behind the tail" in refused_ack(pool, pool.claim("pull"), {"events/a": offset_of(10**6)})

    def test_not_backwards(self, pool: World) -> None:
        """7: a cursor does not go back."""
        claimed = pool.claim("pull")
        pool.ack("pull", claimed, {"events/a": pool.tail("events/a")})
        assert "before the cursor" in refused_ack(pool, claimed, {"events/a": offset_of(0)})

    def test_not_in_a_stream_that_is_not_linked(self, pool: World) -> None:
        """6.1: the cursor is one of a link."""
        pool.create("elsewhere", "x")
        assert "linked" in refused_ack(pool, pool.claim("pull"), {"elsewhere": pool.tail("elsewhere")})

    @pytest.mark.parametrize("offset", ["-1", "now", "", "0", "zzz", "0000000000000001_0000000000000000"])
    def test_not_to_what_is_no_offset(self, pool: World, offset: str) -> None:
        """8: offsets are those that the service returned."""
        assert "returned by this service" in refused_ack(pool, pool.claim("pull"), {"events/a": offset})

    def test_all_or_none(self, pool: World) -> None:
        """7.2: one bad ack refuses the request."""
        acks = {"events/a": pool.tail("events/a"), "events/b": offset_of(99)}
        refused_ack(pool, pool.claim("pull"), acks)


class TestDeletedSubscriptions:
    """6.3: requests for a deleted subscription fail and move no cursor."""

    def test_a_late_ack_finds_nothing(self, pool: World) -> None:
        """6.3: the subscription is gone."""
        claimed = pool.claim("pull")
        result_of(pool.subscriptions.delete("pull"))
        said = report(claimed.wake_id, claimed.generation, {"events/a": pool.tail("events/a")}, True)
        error_of(pool.subscriptions.ack("pull", claimed.token, said), SubscriptionNotFound)
        error_of(pool.subscriptions.release("pull", claimed.token, said), SubscriptionNotFound)

    def test_a_token_of_the_deleted_one_does_not_fit_its_successor(self, pool: World) -> None:
        """6.3, 7.3: generations go on after a deletion, so the old token stays stale."""
        claimed = pool.claim("pull")
        tail = pool.tail("events/a")
        result_of(pool.subscriptions.delete("pull"))
        pool.subscribe_by_pull("pull")
        pool.append("events/a", 2)
        before = pool.acked("pull")
        said = report(claimed.wake_id, claimed.generation, {"events/a": tail}, True)
        error_of(pool.subscriptions.ack("pull", claimed.token, said), Fenced)
        assert pool.claim("pull").generation == 2
        error_of(pool.subscriptions.ack("pull", claimed.token, said), Fenced)
        assert pool.acked("pull") == before

    def test_a_late_answer_of_a_receiver_changes_nothing(self, world: World) -> None:
        """6.3: neither for the deleted subscription nor for its successor."""
        world.create("events/a")
        world.subscribe("hook")
        world.append("events/a")
        call = world.receivers.next()
        result_of(world.subscriptions.delete("hook"))
        world.subscribe("hook")
        world.append("events/a")
        before = world.acked("hook")
        call.done()
        assert world.acked("hook") == before


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["claim-1", "claim-2", "ack-1", "ack-2", "done-1", "release-2", "append", "wait"])))
def test_two_workers_race_and_only_the_holder_moves_the_cursor(steps: list[str]) -> None:
    """7.2, 7.3: whatever two workers do in whatever order, stale requests are refused and generations grow."""
    world = World()
    world.create("wake/pool")
    world.create("events/a")
    world.subscribe_by_pull("pull")
    held: dict[str, ClaimedWake] = {}
    generations = [0]
    holder: str | None = None
    for step in steps:
        action, _, worker = step.partition("-")
        before = world.acked("pull")["events/a"]
        if action == "append":
            world.append("events/a")
        elif action == "wait":
            world.clock.advance(30)
            holder = None
        elif action == "claim":
            if holder is not None:
                error_of(world.subscriptions.claim("pull", worker), AlreadyClaimed)
            elif before != world.tail("events/a"):
                held[worker] = world.claim("pull", worker)
                generations.append(held[worker].generation)
                holder = worker
        elif worker in held:
            acks = {} if action == "release" else {"events/a": world.tail("events/a")}
            said = report(held[worker].wake_id, held[worker].generation, acks, action == "done")
            ask = world.subscriptions.release if action == "release" else world.subscriptions.ack
            if holder == worker:
                result_of(ask("pull", held[worker].token, said))
                assert world.acked("pull")["events/a"] == (before if action == "release" else world.tail("events/a"))
                holder = None if action in ("done", "release") else holder
            else:
                error_of(ask("pull", held[worker].token, said), Fenced)
                assert world.acked("pull")["events/a"] == before
    assert generations == sorted(set(generations))
    world.stop()
