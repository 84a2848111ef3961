"""StreamService: the door to the streams, for applications and for HTTP alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from durable_streams.errors import (
    ForkInsideMessage,
    MalformedField,
    OffsetInsideMessage,
    PreconditionFailed,
    StorageFailed,
    StreamGone,
    StreamNotFound,
)
from durable_streams.notifier.local import LocalNotifier
from durable_streams.protocol.commands import Append, Create, ForkRequest, ResolvedSubOffset
from durable_streams.protocol.offsets import offset_of
from durable_streams.protocol.producers import ProducerClaim
from durable_streams.protocol.results import AppendResult, Slice
from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage


class SlowStorage(MemoryStorage):
    """A memory storage whose appends are answered when the test says so."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.held: list[tuple[Append, Deferred[AppendResult]]] = []

    def append(self, command: Append) -> Deferred[AppendResult]:
        done: Deferred[AppendResult] = Deferred()
        self.held.append((command, done))
        return done

    def commit(self) -> None:
        held, self.held = self.held, []
        for command, done in held:
            super().append(command).chainDeferred(done)


class ChainedStorage(SlowStorage):
    """A slow storage whose answers come by way of another Deferred, as those of a database may."""

    def append(self, command: Append) -> Deferred[AppendResult]:
        append = super().append
        begun: Deferred[None] = succeed(None)
        return begun.addCallback(lambda _: append(command))


class Slow(StreamService):
    """A service over a slow storage."""

    storage: SlowStorage


def outcome(answer: Deferred[Any]) -> Any:
    outcomes: list[Any] = []
    answer.addBoth(outcomes.append)
    assert outcomes, "not fired"
    if isinstance(outcomes[0], Failure):
        outcomes[0].raiseException()
    return outcomes[0]


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.advance(1_800_000_000)
    return clock


@pytest.fixture
def service(clock: Clock) -> Iterator[StreamService]:
    service = StreamService(MemoryStorage(clock), clock=clock, max_read_bytes=100)
    service.startService()
    yield service
    service.stopService()


@pytest.fixture
def slow(clock: Clock) -> Iterator[Slow]:
    service = Slow(SlowStorage(clock), clock=clock)
    service.startService()
    outcome(service.create("s"))
    yield service
    service.stopService()


def test_a_stream_lives_its_life_without_http(service: StreamService) -> None:
    """Create, append, read, fork, close, describe, list, delete."""
    outcome(service.create("chat", content_type="application/json", ttl=60))
    appended = outcome(service.append_json("chat", {"text": "hi"}, [1]))
    assert outcome(service.read("chat")).messages == [b'{"text":"hi"}', b"[1]"]
    outcome(service.fork("chat", "branch", sub_offset=1, offset="-1"))
    assert outcome(service.read("branch")).messages == [b'{"text":"hi"}']
    outcome(service.close("chat"))
    assert outcome(service.describe("chat")).closed
    assert outcome(service.read("chat", appended.next_offset)).at_end
    assert [stream.path for stream in outcome(service.list_streams()).streams] == ["branch", "chat"]
    outcome(service.delete("branch"))
    outcome(service.delete("chat"))
    with pytest.raises(StreamNotFound):
        outcome(service.describe("chat"))


def test_the_last_messages_come_with_the_end(service: StreamService) -> None:
    """One command appends them and closes: no reader sees the one without the other."""
    outcome(service.create("chat", content_type="application/json"))
    assert outcome(service.append_json("chat", "bye", close=True)).closed
    assert outcome(service.read("chat")).messages == [b'"bye"']
    assert outcome(service.read("chat")).at_end


def test_names_are_written_as_people_write_them(service: StreamService) -> None:
    """Any text is a name; URLs spell it canonically."""
    outcome(service.create("Übung 1/ß"))
    assert outcome(service.describe("Übung 1/ß")).path == "%C3%9Cbung%201/%C3%9F"


@pytest.mark.parametrize("offset", ["", "0", "end", "1_000"])
def test_a_wrong_offset_is_told_at_once(service: StreamService, offset: str) -> None:
    """Offsets are opaque; -1 and now are the only words."""
    with pytest.raises(MalformedField):
        service.read("s", offset)


def test_reads_of_json_are_whole_messages_at_any_limit(service: StreamService) -> None:
    """Section 9.1.1."""
    messages = [str(10**size).encode() for size in (1, 50, 120, 3, 300, 2)]
    outcome(service.create("s", content_type="application/json"))
    outcome(service.append("s", b"[" + b",".join(messages) + b"]"))
    for limit in (1, 60, 100, 1000):
        found: list[bytes] = []
        offset = "-1"
        while len(found) < len(messages):
            part = outcome(service.read("s", offset, limit))
            found += part.messages
            offset = part.next_offset
        assert found == messages
    with pytest.raises(OffsetInsideMessage):
        outcome(service.read_at("s", 1))


@pytest.mark.parametrize("sub_offset", [0, 1])
@pytest.mark.parametrize("position", [1, 3, 7])
def test_no_fork_begins_inside_a_message(service: StreamService, position: int, sub_offset: int) -> None:
    """Section 8, "Fork offset validity": half a message would be glued to the next one."""
    outcome(service.create("s", content_type="application/json", data=b"[1,22222]"))
    with pytest.raises(ForkInsideMessage):
        outcome(service.fork("s", "f", offset=offset_of(position), sub_offset=sub_offset))
    with pytest.raises(StreamNotFound):
        outcome(service.describe("f"))


@pytest.mark.parametrize(("position", "inherited"), [(0, []), (2, [b"1"]), (8, [b"1", b"22222"])])
def test_a_fork_begins_between_messages(service: StreamService, position: int, inherited: list[bytes]) -> None:
    """Section 4.2: up to, but not including, the fork offset; also in a fork of the fork."""
    outcome(service.create("s", content_type="application/json", data=b"[1,22222]"))
    outcome(service.fork("s", "f", offset=offset_of(position), data=b"3"))
    outcome(service.fork("f", "g", offset=offset_of(position)))
    assert outcome(service.read("f")).messages == [*inherited, b"3"]
    assert outcome(service.read("g")).messages == inherited


def test_half_a_message_at_the_end_stops_no_reader(service: StreamService) -> None:
    """A storage that holds one, from wherever it came, is read to its end and not for ever."""
    source = outcome(service.create("s", content_type="application/json", data=b"[1,22222]")).stream
    request = ForkRequest("s", 4, 0, ResolvedSubOffset(source.stream_id, 0))
    outcome(service.storage.create(Create("f", fork=request)))
    assert outcome(service.read_at("f", 2)).up_to_date


def test_each_message_tells_where_to_read_on(service: StreamService) -> None:
    """A reader may stop behind any message (Section 9.1.1)."""
    outcome(service.create("s", content_type="application/json"))
    outcome(service.append_json("s", 1, "two", [3]))
    first, second, third = outcome(service.read("s")).each_message()
    assert (first.data, second.data, third.data) == (b"1", b'"two"', b"[3]")
    assert outcome(service.read("s", first.next_offset)).messages == [b'"two"', b"[3]"]
    assert list(outcome(service.read("s", first.next_offset)).each_message()) == [second, third]
    assert outcome(service.read("s", third.next_offset)).up_to_date


def test_the_last_messages_of_a_long_stream(service: StreamService) -> None:
    """However long it is, and however long they are."""
    outcome(service.create("s", content_type="application/json"))
    for size in (1, 100_000, 3, 200_000, 5):
        outcome(service.append_json("s", "x" * size))
    found = outcome(Deferred.fromCoroutine(service.read_last("s", 3)))
    assert found.messages[0] == b'"xxx"'
    assert outcome(Deferred.fromCoroutine(service.read_last("s", 9))).start == 0
    outcome(service.create("text", content_type="text/plain"))
    with pytest.raises(MalformedField, match="tail"):
        outcome(Deferred.fromCoroutine(service.read_last("text", 1)))


def test_an_append_on_condition(service: StreamService) -> None:
    """Whoever writes by what was read is told when that has changed."""
    outcome(service.create("s", data=b"1"))
    read = outcome(service.read("s"))
    outcome(service.append("s", b"2"))
    with pytest.raises(PreconditionFailed):
        outcome(service.append("s", b"3", if_match=read.etag))
    outcome(service.append("s", b"3", if_match=outcome(service.describe("s")).etag))


def test_an_answer_that_waits_for_another_one_is_not_there_yet(clock: Clock) -> None:
    """It is announced when it has come, and who stops waiting for it stops nothing."""
    storage = ChainedStorage(clock)
    service = StreamService(storage, clock=clock)
    service.startService()
    outcome(service.create("s"))
    told: list[str] = []
    service.notifier.subscribe("s", lambda: told.append("s"))
    waiting = service.append("s", b"x")
    assert told == []
    waiting.addErrback(lambda failure: failure.trap(CancelledError) and None)
    waiting.cancel()
    storage.commit()
    assert told == ["s"]
    assert outcome(service.read("s")).data == b"x"
    service.stopService()


def test_a_live_read_waits_for_bytes(service: StreamService) -> None:
    """And is fired by the append itself."""
    outcome(service.create("s"))
    waiting = service.read_live("s")
    service.append("s", b"x")
    assert outcome(waiting).data == b"x"
    assert not service.notifier.followed()


def test_a_live_read_ends_with_its_time_with_the_stream_and_with_the_service(
    service: StreamService, clock: Clock
) -> None:
    """Empty after its time or a stop, ``at_end`` after a close, an error after a deletion."""
    outcome(service.create("s"))
    timed, gone, released = service.read_live("s", timeout=5), service.read_live("s"), service.read_live("s")
    clock.pump([1] * 5)
    assert outcome(timed).data == b""
    service.release_waiters()
    assert outcome(released).data == b""
    assert outcome(gone).data == b""
    deleted = service.read_live("s")
    service.delete("s")
    with pytest.raises(StreamNotFound):
        outcome(deleted)
    outcome(service.create("s"))
    closed = service.read_live("s")
    service.close("s")
    assert outcome(closed).at_end


def test_a_cancelled_live_read_leaves_nothing(service: StreamService) -> None:
    """Neither a subscription nor a timer."""
    outcome(service.create("s"))
    waiting = service.read_live("s", timeout=60)
    waiting.cancel()
    with pytest.raises(CancelledError):
        outcome(waiting)
    assert not service.notifier.followed()


def test_following_gives_everything_in_order_and_ends(service: StreamService) -> None:
    """``follow``: what is there, what comes, the end."""
    outcome(service.create("s", data=b"old"))
    seen: list[bytes] = []

    async def follow() -> None:
        async for part in service.follow("s"):
            seen.append(part.data)

    done = Deferred.fromCoroutine(follow())
    service.append("s", b"new")
    service.append("s", b"last", close=True)
    outcome(done)
    assert seen == [b"old", b"new", b"last"]


def test_a_caller_that_leaves_loses_no_append(slow: Slow) -> None:
    """Cancelling stops the waiting, not the command; the others are woken all the same."""
    waiting = slow.read_live("s")
    append = slow.append("s", b"kept")
    append.cancel()
    with pytest.raises(CancelledError):
        outcome(append)
    slow.storage.commit()
    assert outcome(waiting).data == b"kept"


def test_a_notifier_that_breaks_its_promise_harms_no_command(clock: Clock) -> None:
    """What it raises is logged; the storage is telling of others too."""

    class Broken(LocalNotifier):
        def notify(self, path: str) -> None:
            raise ZeroDivisionError

    service = StreamService(MemoryStorage(clock), Broken(), clock)
    service.startService()
    with capturedLogs() as logged:
        assert outcome(service.create("s", data=b"kept")).created
    assert [event["log_failure"].type for event in logged if "log_failure" in event] == [ZeroDivisionError]
    outcome(service.stopService())


def test_a_producer_that_left_has_used_its_number(slow: Slow) -> None:
    """Section 5.2.1: its batch is committed once; that number again is a duplicate, and the next one is the next."""
    claims = [ProducerClaim("p", 0, number) for number in (0, 0, 1)]
    left, again, following = (slow.perform_append(Append("s", b"x", producer=claim)) for claim in claims)
    left.cancel()
    with pytest.raises(CancelledError):
        outcome(left)
    slow.storage.commit()
    assert outcome(again).duplicate
    result = outcome(following)
    assert (result.duplicate, result.tail) == (False, 2)
    assert outcome(slow.read("s")).data == b"xx"


def test_nobody_is_told_before_the_commit(slow: Slow) -> None:
    """Readers see only what is acknowledged."""
    waiting = slow.read_live("s")
    fired: list[Slice] = []
    waiting.addCallback(fired.append)
    append = slow.append("s", b"x")
    assert not fired
    assert not append.called
    slow.storage.commit()
    assert fired[0].data == b"x"


def test_a_change_between_look_and_wait_is_not_missed(service: StreamService, clock: Clock) -> None:
    """The signal begins before the read: no lost wake-up."""
    outcome(service.create("s"))
    storage = service.storage
    read = storage.read

    def read_then_change(path: str, position: int | None, limit: int) -> Deferred[Slice]:
        found = read(path, position, limit)
        storage.read = read  # type: ignore[method-assign]  # once only
        service.append("s", b"in between")
        return found

    storage.read = read_then_change  # type: ignore[method-assign]  # to change the stream within a read
    assert outcome(service.read_live("s", "-1")).data == b"in between"


def test_what_is_asked_before_the_storage_is_open_waits(clock: Clock) -> None:
    """Nothing fails because it came early."""
    opening: Deferred[str] = Deferred()

    class Opening(MemoryStorage):
        def open(self) -> Deferred[str]:
            return opening

    service = StreamService(Opening(clock), clock=clock)
    service.startService()
    created, read = service.create("s"), service.read("s")
    assert service.failure() == "the storage is not open"
    opening.callback("opened")
    assert outcome(created).created
    assert outcome(read).data == b""
    assert service.failure() is None
    outcome(service.when_open())
    service.stopService()


def test_a_storage_that_cannot_be_opened_is_told(clock: Clock) -> None:
    """``when_open`` fails, and so does what is asked."""

    class Broken(MemoryStorage):
        def open(self) -> Deferred[str]:
            failed: Deferred[str] = Deferred()
            failed.errback(StorageFailed("the disk is on fire"))
            return failed

    service = StreamService(Broken(clock), clock=clock)
    waiting = service.when_open()
    asked = service.create("s")
    service.startService()
    for answer in (waiting, asked, service.describe("s")):
        with pytest.raises(StorageFailed):
            outcome(answer)
    service.stopService()


def test_stopping_releases_the_waiters_before_the_storage_closes(clock: Clock) -> None:
    """Orderly: nobody is left hanging on a closed storage."""
    order: list[str] = []

    class Closing(MemoryStorage):
        def close(self) -> Deferred[None]:
            order.append("closed")
            return succeed(None)

    service = StreamService(Closing(clock), clock=clock)
    service.startService()
    outcome(service.create("s"))
    service.read_live("s").addCallback(lambda _: order.append("released"))
    outcome(service.stopService())
    assert order == ["released", "closed"]
    assert not clock.getDelayedCalls()


def test_expired_streams_are_swept_and_their_followers_told(service: StreamService, clock: Clock) -> None:
    """A stream with a fixed end goes even while it is followed; a sliding one stays for its follower."""
    outcome(service.create("fixed", expires_at=clock.seconds() + 3))
    outcome(service.create("sliding", ttl=3))
    fixed, sliding = service.read_live("fixed"), service.read_live("sliding")
    clock.pump([0.5] * 20)
    with pytest.raises(StreamNotFound):
        outcome(fixed)
    assert not sliding.called
    outcome(service.describe("sliding"))


def test_streams_that_expire_share_one_timer(service: StreamService, clock: Clock) -> None:
    """Idle streams cost none of their own, and all of them go in time."""
    before = len(clock.getDelayedCalls())
    for number in range(1000):
        outcome(service.create(f"s{number}", ttl=10))
        outcome(service.create(f"t{number}", expires_at=clock.seconds() + 10))
    assert len(clock.getDelayedCalls()) == before
    clock.pump([0.5] * 22)
    assert outcome(service.list_streams()).streams == []


def test_a_soft_deleted_stream_ends_its_followers(service: StreamService) -> None:
    """Section 4.2: gone for direct readers, there for forks."""
    outcome(service.create("s", data=b"x"))
    outcome(service.fork("s", "f"))
    waiting = service.read_live("s")
    outcome(service.delete("s"))
    with pytest.raises(StreamGone):
        outcome(waiting)
    assert outcome(service.read("f")).data == b"x"
