"""Which streams a subscription is linked to, and from where on (Sections 6.1, 6.2 and 6.4)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred

from durable_streams.errors import MalformedField
from durable_streams.protocol.offsets import offset_of
from durable_streams.protocol.results import Page
from durable_streams.storage.memory import MemoryStorage
from durable_streams.subscriptions.configuration import configuration
from durable_streams.subscriptions.errors import SubscriptionExists, SubscriptionNotFound, WebhookUrlRejected
from tests.subscriptions.world import HOOK, ROOT, World, error_of, result_of

START = offset_of(0)


class TestCreation:
    """6.2: create, or confirm an identical configuration."""

    def test_the_first_creates_the_second_confirms(self, world: World) -> None:
        """6.2: 201, then 200; the streams may come in any order and spelling."""
        first = world.subscribe("sub", streams=["b", "a", "b"], description="x")
        second = world.subscribe("sub", streams=["%61", "b"], description="x")
        assert (first.created, second.created) == (True, False)
        assert first.subscription == second.subscription

    @pytest.mark.parametrize(
        "fields",
        [
            {"pattern": "events/**"},
            {"pattern": "events/*", "streams": ["a"]},
            {"webhook_url": HOOK + "/other"},
            {"lease_ttl_ms": 30_001},
            {"description": "another"},
            {"type": "pull-wake", "wake_stream": "wake/pool"},
        ],
    )
    def test_another_configuration_is_a_conflict(self, world: World, fields: dict[str, object]) -> None:
        """6.2: type, pattern, streams, delivery, lease and description count."""
        world.subscribe("sub")
        defaults: dict[str, object] = {"type": "webhook", "webhook_url": HOOK, "pattern": "events/*"}
        asked = configuration(**{**defaults, **fields})  # type: ignore[arg-type]  # a table of any fields
        error_of(world.subscriptions.create("sub", asked, ROOT), SubscriptionExists)

    def test_a_confirmation_moves_no_cursor(self, world: World) -> None:
        """6.2: confirming is not creating."""
        world.create("events/a")
        world.subscribe("sub")
        world.append("events/a")
        before = world.acked("sub")
        world.subscribe("sub")
        assert world.acked("sub") == before

    def test_what_one_type_does_not_use_does_not_count(self, world: World) -> None:
        """6.2: a webhook has no wake stream, pull-wake no URL."""
        world.subscribe("hook", wake_stream="wake/pool")
        assert world.subscribe("hook").created is False
        assert world.describe("hook").definition.configuration.wake_stream is None
        world.subscribe_by_pull("pull", webhook_url="http://10.0.0.1/")
        assert world.describe("pull").definition.configuration.webhook_url is None

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"type": "webhook", "webhook_url": HOOK}, "pattern"),
            ({"type": "webhook", "webhook_url": HOOK, "pattern": "", "streams": []}, "pattern"),
            ({"type": "webhook", "pattern": "**"}, "webhook.url"),
            ({"type": "webhook", "pattern": "**", "webhook_url": ""}, "webhook.url"),
            ({"type": "pull-wake", "pattern": "**"}, "wake_stream"),
            ({"type": "pull-wake", "pattern": "**", "wake_stream": "__ds/x"}, "wake_stream"),
            ({"type": "pull-wake", "streams": ["wake"], "wake_stream": "wake"}, "streams"),
            ({"type": "webhook", "webhook_url": HOOK, "streams": ["/a"]}, "streams"),
            ({"type": "webhook", "webhook_url": HOOK, "streams": [""]}, "streams"),
            ({"type": "webhook", "webhook_url": HOOK, "streams": ["%5F_ds/x"]}, "streams"),
            ({"type": "webhook", "webhook_url": HOOK, "pattern": "/a"}, "pattern"),
            ({"type": "webhook", "webhook_url": HOOK, "pattern": "a/b*"}, "pattern"),
            ({"type": "webhook", "webhook_url": HOOK, "pattern": "a" * 1025}, "pattern"),
            ({"type": "webhook", "webhook_url": HOOK, "pattern": "**", "lease_ttl_ms": 999}, "lease_ttl_ms"),
            ({"type": "webhook", "webhook_url": HOOK, "pattern": "**", "lease_ttl_ms": 600_001}, "lease_ttl_ms"),
            ({"type": "webhook", "webhook_url": HOOK, "pattern": "**", "description": "x" * 4097}, "description"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, fields: dict[str, object], field: str) -> None:
        """6.2: the table of fields."""
        with pytest.raises(MalformedField) as refusal:
            configuration(**fields)  # type: ignore[arg-type]  # a table of any fields
        assert refusal.value.field == field

    def test_the_lease_may_be_from_a_second_to_ten_minutes(self) -> None:
        """6.2: both ends included, 30 seconds by default."""
        for lease in (1_000, 600_000):
            assert (
                configuration(type="webhook", webhook_url=HOOK, pattern="**", lease_ttl_ms=lease).lease_ttl_ms == lease
            )
        assert configuration(type="webhook", webhook_url=HOOK, pattern="**").lease_ttl == 30

    @pytest.mark.parametrize("subscription_id", ["", "x" * 257])
    def test_an_id_has_from_1_to_256_bytes(self, world: World, subscription_id: str) -> None:
        """6.1: ids are the client's choice, within reason."""
        asked = configuration(type="webhook", webhook_url=HOOK, pattern="**")
        assert error_of(world.subscriptions.create(subscription_id, asked, ROOT), MalformedField).field == "id"

    def test_an_unsafe_url_leaves_nothing_behind(self, world: World) -> None:
        """6.2: the URL is checked before anything is kept."""
        asked = configuration(type="webhook", webhook_url="https://10.0.0.1/", pattern="**")
        error_of(world.subscriptions.create("sub", asked, ROOT), WebhookUrlRejected)
        error_of(world.subscriptions.describe("sub"), SubscriptionNotFound)

    def test_a_deleted_subscription_is_gone_and_may_come_again(self, world: World) -> None:
        """6.3: deletion may be repeated; a new subscription of the same id begins at the tails."""
        world.create("events/a")
        world.subscribe("sub")
        world.append("events/a")
        for _ in range(2):
            result_of(world.subscriptions.delete("sub"))
        error_of(world.subscriptions.describe("sub"), SubscriptionNotFound)
        world.append("events/a")
        assert world.subscribe("sub", pattern="events/**").created
        assert world.acked("sub") == {"events/a": world.tail("events/a")}


class TestExplicitLinks:
    """6.1, 6.4: explicit links stand beside the pattern."""

    def test_explicit_takes_precedence_over_glob(self, world: World) -> None:
        """6.1: a stream that is linked both ways is shown as explicit."""
        world.create("events/a")
        world.subscribe("sub", pattern="events/*", streams=["events/a", "other"])
        assert world.link_types("sub") == {"events/a": "explicit", "other": "explicit"}

    def test_removing_the_explicit_link_leaves_the_glob_link_and_its_cursor(self, world: World) -> None:
        """6.1, 6.4: the pattern still matches."""
        world.create("events/a")
        world.subscribe("sub", pattern="events/*", streams=["events/a", "other"])
        world.append("events/a")
        before = world.acked("sub")["events/a"]
        result_of(world.subscriptions.remove_stream("sub", "events/a"))
        result_of(world.subscriptions.remove_stream("sub", "other"))
        assert world.link_types("sub") == {"events/a": "glob"}
        assert world.acked("sub") == {"events/a": before}

    def test_a_new_explicit_stream_begins_at_its_tail(self, world: World) -> None:
        """6.4: its history wakes nobody, the next append does."""
        world.create("other", "old")
        world.subscribe("sub")
        result_of(world.subscriptions.add_streams("sub", ["other"]))
        assert world.acked("sub") == {"other": world.tail("other")}
        assert world.receivers.calls == []
        tail = world.append("other")
        assert world.receivers.next().tails == {"other": tail}

    def test_adding_what_is_linked_changes_no_cursor(self, world: World) -> None:
        """6.4: adding is idempotent."""
        world.create("events/a")
        world.subscribe("sub")
        world.append("events/a")
        before = world.acked("sub")
        for _ in range(2):
            result_of(world.subscriptions.add_streams("sub", ["events/a"]))
        assert world.acked("sub") == before
        assert world.link_types("sub") == {"events/a": "explicit"}

    def test_removing_what_is_not_linked_does_nothing(self, world: World) -> None:
        """6.4: removing is idempotent, and does not touch glob links."""
        world.create("events/a")
        world.subscribe("sub")
        for name in ("events/a", "none", ""):
            result_of(world.subscriptions.remove_stream("sub", name))
        assert world.link_types("sub") == {"events/a": "glob"}

    def test_a_stream_that_is_not_there_yet_is_linked_from_its_beginning(self, world: World) -> None:
        """6.2: explicit streams may be created later."""
        world.subscribe("sub", streams=["later"])
        assert world.acked("sub") == {"later": START}
        world.create("later", "first")
        assert world.receivers.next().tails == {"later": world.tail("later")}

    def test_the_own_wake_stream_cannot_be_added(self, world: World) -> None:
        """7.2: a wake must not wake its own subscription."""
        world.subscribe_by_pull("pull")
        refusal = error_of(world.subscriptions.add_streams("pull", ["wake/pool"]), MalformedField)
        assert refusal.field == "streams"

    def test_a_removed_stream_takes_its_pending_work_along(self, world: World) -> None:
        """7: pending is what linked streams have."""
        world.create("wake/pool")
        world.create("other")
        world.subscribe_by_pull("pull", streams=["other"])
        world.append("other")
        result_of(world.subscriptions.remove_stream("pull", "other"))
        assert world.describe("pull").progress.wake is None


class TestStreamsThatComeAndGo:
    """What deletion, expiry and forks mean for links; the specification leaves it open."""

    def test_a_deleted_stream_leaves_a_pattern(self, world: World) -> None:
        """Glob links go with their stream."""
        world.create("events/a")
        world.subscribe("sub")
        result_of(world.streams.delete("events/a"))
        assert world.acked("sub") == {}

    def test_a_stream_created_anew_is_delivered_from_its_beginning(self, world: World) -> None:
        """6.2: it is a stream discovered later, whatever was at its path."""
        world.create("events/a", "old", "old", "old")
        world.subscribe("sub", pattern="events/*", streams=["events/b"])
        world.create("events/b", "old")
        world.receivers.next().done()
        for name in ("events/a", "events/b"):
            result_of(world.streams.delete(name))
        assert world.acked("sub") == {"events/b": START}
        world.create("events/a", 1)
        world.create("events/b", 2)
        assert world.acked("sub") == {"events/a": START, "events/b": START}
        world.receivers.next().done()
        world.receivers.next().done()
        assert world.acked("sub") == {name: world.tail(name) for name in ("events/a", "events/b")}

    def test_an_answer_for_a_deleted_stream_does_not_ack_its_successor(self, world: World) -> None:
        """7.1: the snapshot was of another stream."""
        world.create("events/a")
        world.subscribe("sub")
        world.append("events/a", "long enough")
        call = world.receivers.next()
        result_of(world.streams.delete("events/a"))
        world.create("events/a", "also long enough, and more")
        call.done()
        assert world.acked("sub") == {"events/a": START}
        assert world.receivers.next().body["generation"] == 2

    def test_an_expired_stream_leaves_a_pattern(self, world: World) -> None:
        """Expiry is a deletion."""
        result_of(world.streams.create("events/a", ttl=60))
        world.subscribe("sub")
        world.clock.pump([30, 31, 1])
        assert world.acked("sub") == {}

    def test_a_late_notice_of_expiry_does_not_harm_the_stream_that_replaced_it(self, world: World) -> None:
        """An expired stream is found when its path is used again; the notice comes after that."""
        result_of(world.streams.create("events/a", ttl=60))
        world.subscribe("sub")
        world.clock.rightNow += 61
        world.create("events/a", "new")
        world.clock.advance(1)
        assert world.acked("sub") == {"events/a": START}
        assert world.receivers.next().tails == {"events/a": world.tail("events/a")}

    def test_a_fork_is_linked_at_its_fork_offset(self, world: World) -> None:
        """4.2: what it inherits was its source's to deliver; its own appends wake."""
        world.create("source", 1, 2, 3)
        world.subscribe("sub")
        forked_at = world.tail("source")
        result_of(world.streams.fork("source", "events/fork"))
        assert world.acked("sub") == {"events/fork": forked_at}
        assert world.receivers.calls == []
        tail = world.append("events/fork")
        assert world.receivers.next().tails == {"events/fork": tail}

    def test_a_fork_that_begins_with_content_wakes(self, world: World) -> None:
        """4.2: the content of the creation is its first append."""
        world.create("source", 1, 2, 3)
        world.subscribe("sub")
        forked_at = world.tail("source")
        result_of(world.streams.fork("source", "events/fork", data=b"[4, 5]"))
        assert world.acked("sub") == {"events/fork": forked_at}
        assert world.receivers.next().tails == {"events/fork": world.tail("events/fork")}

    def test_a_soft_deleted_source_leaves_a_pattern(self, world: World) -> None:
        """4.2: it is gone for everybody but its forks."""
        world.create("events/source", 1)
        result_of(world.streams.fork("events/source", "elsewhere"))
        world.subscribe("sub")
        result_of(world.streams.delete("events/source"))
        assert world.acked("sub") == {}


class SlowListing(MemoryStorage):
    """A storage whose listings are answered when the test says so, with what was there when they were asked."""

    waiting: Deferred[Page] | None = None
    slow = False

    def list_streams(self, prefix: str, after: str, limit: int) -> Deferred[Page]:
        answer = super().list_streams(prefix, after, limit)
        if not self.slow:
            return answer
        self.waiting = Deferred()
        self.page: Page = result_of(answer)
        return self.waiting


class TestStreamsThatChangeDuringCreation:
    """6.2: a subscription is created while streams go on; nothing may fall between."""

    @pytest.fixture
    def world(self) -> Iterator[World]:
        world = World(storage=SlowListing)
        yield world
        world.stop()

    @pytest.fixture
    def slow(self, world: World) -> SlowListing:
        """Creation of ``sub`` is waiting for the list of streams, in which ``events/old`` is."""
        storage = world.streams.storage
        assert isinstance(storage, SlowListing)
        world.create("events/old", 1)
        storage.slow = True
        asked = configuration(type="webhook", webhook_url=HOOK, pattern="events/*")
        self.creating = Deferred.fromCoroutine(world.subscriptions.create("sub", asked, ROOT))
        assert not self.creating.called
        return storage

    def finish(self, slow: SlowListing) -> None:
        assert slow.waiting is not None
        slow.waiting.callback(slow.page)
        assert result_of(self.creating).created

    def test_an_append_meanwhile_wakes(self, world: World, slow: SlowListing) -> None:
        """The list is older than the append."""
        linked_at = world.tail("events/old")
        tail = world.append("events/old")
        self.finish(slow)
        assert world.acked("sub") == {"events/old": linked_at}
        assert world.receivers.next().tails == {"events/old": tail}

    def test_a_new_stream_is_linked_from_its_beginning(self, world: World, slow: SlowListing) -> None:
        """It is not in the list."""
        world.create("events/new", 1)
        world.create("elsewhere", 1)
        world.append("events/new", 2)
        self.finish(slow)
        assert world.acked("sub") == {"events/new": START, "events/old": world.tail("events/old")}
        assert world.receivers.next().tails == {"events/new": world.tail("events/new")}

    def test_a_deleted_stream_is_not_linked(self, world: World, slow: SlowListing) -> None:
        """It is in the list, but no more."""
        result_of(world.streams.delete("events/old"))
        self.finish(slow)
        assert world.acked("sub") == {}

    def test_a_replaced_stream_is_the_new_one(self, world: World, slow: SlowListing) -> None:
        """The list has its predecessor."""
        result_of(world.streams.delete("events/old"))
        world.create("events/old", "new")
        self.finish(slow)
        assert world.acked("sub") == {"events/old": START}
        assert world.receivers.next().tails == {"events/old": world.tail("events/old")}

    def test_the_same_request_at_the_same_time_confirms(self, world: World, slow: SlowListing) -> None:
        """6.2: two clients create the same subscription; one of them has created it."""
        asked = configuration(type="webhook", webhook_url=HOOK, pattern="events/*")
        again = Deferred.fromCoroutine(world.subscriptions.create("sub", asked, ROOT))
        assert not again.called
        self.finish(slow)
        assert result_of(again).created is False

    def test_a_client_that_goes_away_leaves_nothing_behind(self, world: World, slow: SlowListing) -> None:
        """Nothing was kept yet; the next client creates it."""
        self.creating.addErrback(lambda _: None)
        self.creating.cancel()
        error_of(world.subscriptions.describe("sub"), SubscriptionNotFound)
        slow.slow = False
        assert world.subscribe("sub").created


def test_many_streams_are_listed_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """6.2: all matching streams are backfilled, and other work goes on between the pages."""
    monkeypatch.setattr("durable_streams.subscriptions.discovery._PAGE", 10)
    for number in range(35):
        world.create(f"events/{number:02}", number)
    asked = configuration(type="webhook", webhook_url=HOOK, pattern="events/*")
    creating = Deferred.fromCoroutine(world.subscriptions.create("sub", asked, ROOT))
    assert not creating.called
    world.clock.pump([0, 0, 0])
    assert len(result_of(creating).subscription.links) == 35


def test_a_snapshot_of_very_many_streams_has_those_with_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """7.1: a wake of a large subscription stays small; what does not fit comes with the next."""
    monkeypatch.setattr("durable_streams.subscriptions.roster.LARGEST_SNAPSHOT", 3)
    for number in range(10):
        world.create(f"events/{number}")
    world.subscribe("sub")
    for number in range(5):
        world.append(f"events/{number}")
    world.receivers.next().done()
    assert list(world.receivers.next().tails) == ["events/1", "events/2", "events/3"]
    world.receivers.next().done()
    assert list(world.receivers.next().tails) == ["events/4"]
    world.receivers.next().done()
    assert world.acked("sub") == {f"events/{number}": world.tail(f"events/{number}") for number in range(10)}
