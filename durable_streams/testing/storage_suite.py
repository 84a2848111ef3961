"""What every storage must do: a suite for pytest, to be inherited by the tests of a provider.

A storage's tests are a class like this, and nothing more::

    class TestMyStorage(StorageSuite):
        def make_storage(self, clock):
            return MyStorage(clock)
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from zope.interface.verify import verifyObject

from durable_streams.errors import (
    ContentTypeMismatch,
    EmptyAppend,
    ForkBeyondTail,
    ForkSourceGone,
    ForkSubOffsetBeyond,
    InvalidMessages,
    OffsetBeyondTail,
    PreconditionFailed,
    ProducerEpochStart,
    ProducerFenced,
    ProducerSequenceGap,
    StreamConflict,
    StreamError,
    StreamGone,
    StreamIsClosed,
    StreamNotFound,
    StreamSeqRegression,
)
from durable_streams.interfaces import IStorage
from durable_streams.protocol.commands import Append, Command, Create, Delete, ForkRequest, ResolvedSubOffset
from durable_streams.protocol.producers import ProducerClaim, ProducerState
from durable_streams.testing.retention_suite import RetentionSuite
from durable_streams.testing.storage_driver import BEGINNING_OF_TIME


class StorageSuite(RetentionSuite):
    """The promises of ``IStorage``."""

    # --- the provider

    def test_it_provides_the_interface(self) -> None:
        verifyObject(IStorage, self.storage)
        assert self.storage.durability
        assert self.storage.failure() is None

    # --- telling

    def test_effects_are_told_in_order_before_they_are_answered(self) -> None:
        told, answered = self.told(), []
        commands = [Create("s"), Append("s", b"one"), Append("s", b"two"), Append("s", close=True), Delete("s")]
        for command in commands:
            door = getattr(self.storage, type(command).__name__.lower())
            door(command).addCallback(lambda result: answered.append((len(told), result)))
        while len(answered) < len(commands):
            self.settle()
        assert [command for command, _ in told] == commands
        assert [(number, result) for number, (_, result) in enumerate(told, 1)] == answered

    def test_who_is_told_sees_the_effect(self) -> None:
        seen: list[Any] = []
        self.storage.announce_to(lambda command, result: self.storage.describe("s").addBoth(seen.append))
        self.create("s")
        self.append("s", b"data")
        self.append("s", close=True)
        self.delete("s")
        assert [(found.tail, found.closed) for found in seen[:3]] == [(0, False), (4, False), (4, True)]
        assert seen[3].check(StreamNotFound)

    def test_an_effect_is_told_though_nobody_waits(self) -> None:
        told = self.told()
        for answer in (self.storage.create(Create("s")), self.storage.append(Append("s", b"data"))):
            answer.addErrback(lambda failure: failure.trap(CancelledError) and None)
            answer.cancel()
        assert self.content("s") == b"data"
        self.storage.delete(Delete("s")).addErrback(lambda _: None).cancel()
        with pytest.raises(StreamNotFound):
            self.describe("s")
        assert [type(command) for command, _ in told] == [Create, Append, Delete]

    def test_what_changes_nothing_is_not_told(self) -> None:
        self.create("s")
        self.produce("s", b"data", 0, 0)
        told = self.told()
        self.create("s")
        self.produce("s", b"data", 0, 0)
        with pytest.raises(StreamNotFound):
            self.delete("none")
        with pytest.raises(EmptyAppend):
            self.append("s")
        assert told == []

    def told(self) -> list[tuple[Command, Any]]:
        """What the storage announces from now on."""
        told: list[tuple[Command, Any]] = []
        self.storage.announce_to(lambda command, result: told.append((command, result)))
        return told

    # --- creating (Section 5.1)

    def test_a_new_stream_is_empty_and_open(self) -> None:
        result = self.create("s", content_type="text/plain")
        assert result.created
        assert (result.stream.tail, result.stream.closed, result.stream.content_type) == (0, False, "text/plain")
        assert self.content("s") == b""

    def test_a_stream_can_begin_with_content_and_closed(self) -> None:
        result = self.create("s", body=b"all of it", closed=True)
        assert (result.stream.tail, result.stream.closed) == (9, True)
        assert self.read("s").at_end

    def test_creating_again_confirms_and_changes_nothing(self) -> None:
        first = self.create("s", content_type="text/plain", ttl=60)
        self.append("s", b"data")
        again = self.create("s", content_type="TEXT/plain; charset=utf-8", ttl=60, body=b"ignored")
        assert not again.created
        assert again.stream.stream_id == first.stream.stream_id
        assert self.content("s") == b"data"

    @pytest.mark.parametrize(
        ("fields", "differing"),
        [
            ({"content_type": "text/html"}, "Content-Type"),
            ({"content_type": "text/plain", "ttl": 61}, "Stream-TTL"),
            ({"content_type": "text/plain"}, "Stream-TTL"),
            ({"content_type": "text/plain", "expires_at": 2e9}, "Stream-Expires-At"),
            ({"content_type": "text/plain", "ttl": 60, "closed": True}, "Stream-Closed"),
            ({"content_type": "text/plain", "ttl": 60, "fork": ForkRequest("t")}, "Stream-Forked-From"),
        ],
    )
    def test_another_configuration_is_a_conflict(self, fields: dict[str, Any], differing: str) -> None:
        self.create("s", content_type="text/plain", ttl=60)
        with pytest.raises(StreamConflict) as refusal:
            self.create("s", **fields)
        assert differing in refusal.value.differing

    def test_a_rejected_creation_creates_nothing(self) -> None:
        with pytest.raises(InvalidMessages):
            self.create("s", content_type="application/json", body=b"{")
        with pytest.raises(StreamNotFound):
            self.describe("s")

    def test_a_recreated_stream_is_another_one(self) -> None:
        first = self.create("s", body=b"old")
        self.delete("s")
        second = self.create("s")
        assert second.created
        assert second.stream.stream_id > first.stream.stream_id
        assert self.content("s") == b""

    # --- appending (Section 5.2)

    def test_appends_come_one_after_the_other(self) -> None:
        self.create("s")
        assert self.append("s", b"one").tail == 3
        assert self.append("s", b"two").tail == 6
        assert self.content("s") == b"onetwo"

    def test_commands_for_one_stream_take_effect_in_the_order_of_the_calls(self) -> None:
        self.create("s")
        answers = [self.storage.append(Append("s", b"%03d" % number)) for number in range(50)]
        answers.append(self.storage.append(Append("s", close=True)))
        late = self.storage.append(Append("s", b"late"))
        assert [self.outcome(answer).tail for answer in answers[:50]] == list(range(3, 153, 3))
        with pytest.raises(StreamIsClosed):
            self.outcome(late)
        assert self.content("s") == b"".join(b"%03d" % number for number in range(50))

    def test_a_stream_that_is_not_there_takes_nothing(self) -> None:
        with pytest.raises(StreamNotFound):
            self.append("s", b"data")

    def test_json_is_kept_message_by_message(self) -> None:
        self.create("s", content_type="application/json")
        self.append("s", b'[{"a": 1}, [2]]')
        self.append("s", b" 3 ")
        assert self.read("s").messages == [b'{"a": 1}', b"[2]", b"3"]

    @pytest.mark.parametrize(
        ("command", "refusal"),
        [
            (Append("s", b"{}", "text/plain"), ContentTypeMismatch),
            (Append("s", b"{", "application/json"), InvalidMessages),
            (Append("s", b"[]", "application/json"), EmptyAppend),
            (Append("s", b"1", stream_seq="b"), StreamSeqRegression),
            (Append("s", b"1", stream_seq="B"), StreamSeqRegression),
            (Append("s", b"1", producer=ProducerClaim("p", 0, 3)), ProducerSequenceGap),
            (Append("s", b"1", producer=ProducerClaim("q", 0, 1)), ProducerSequenceGap),
            (Append("s", b"1", producer=ProducerClaim("p", 2, 1)), ProducerEpochStart),
        ],
    )
    def test_a_rejected_append_changes_nothing(self, command: Append, refusal: type[StreamError]) -> None:
        self.create("s", content_type="application/json")
        self.append("s", b"0", stream_seq="b", producer=ProducerClaim("p", 0, 0))
        self.append("s", b"1", producer=ProducerClaim("p", 0, 1))
        with pytest.raises(refusal):
            self.outcome(self.storage.append(command))
        assert self.read("s").messages == [b"0", b"1"]
        assert self.produce("s", b"2", 0, 2, stream_seq="c").producer == ProducerState(0, 2)

    # --- idempotent producers (Section 5.2.1)

    def test_a_repeated_batch_is_a_duplicate(self) -> None:
        self.create("s")
        self.produce("s", b"a", 0, 0)
        self.produce("s", b"b", 0, 1)
        again = self.produce("s", b"a", 0, 0)
        assert (again.duplicate, again.tail, again.producer) == (True, 2, ProducerState(0, 1))
        assert self.content("s") == b"ab"

    def test_a_new_epoch_fences_the_old_one(self) -> None:
        self.create("s")
        self.produce("s", b"a", 0, 0)
        self.produce("s", b"b", 1, 0)
        with pytest.raises(ProducerFenced) as refusal:
            self.produce("s", b"c", 0, 1)
        assert refusal.value.current_epoch == 1

    def test_pipelined_batches_are_accepted_in_order(self) -> None:
        self.create("s")
        claims = [ProducerClaim("p", 0, number) for number in range(20)]
        answers = [self.storage.append(Append("s", b"x", producer=claim)) for claim in claims]
        repeated = self.storage.append(Append("s", b"x", producer=claims[7]))
        assert not any(self.outcome(answer).duplicate for answer in answers)
        assert self.outcome(repeated).duplicate
        assert self.content("s") == b"x" * 20

    # --- closing (Sections 4.1 and 5.3)

    def test_closing_is_final_and_may_be_repeated(self) -> None:
        self.create("s", body=b"data")
        assert self.append("s", close=True).closed
        assert self.append("s", close=True).closed
        with pytest.raises(StreamIsClosed) as refusal:
            self.append("s", b"more", content_type="text/plain")
        assert refusal.value.tail == 4
        assert self.read("s").at_end

    def test_the_last_bytes_and_the_end_are_one_step(self) -> None:
        self.create("s")
        result = self.append("s", b"the end", close=True)
        assert (result.tail, result.closed) == (7, True)
        with pytest.raises(StreamIsClosed):
            self.append("s", b"the end", close=True)

    def test_a_producer_may_repeat_its_close_and_nothing_else(self) -> None:
        self.create("s")
        self.produce("s", b"a", 1, 0)
        self.produce("s", b"b", 1, 1, close=True)
        assert self.produce("s", b"another body", 1, 1, close=True).duplicate
        with pytest.raises(StreamIsClosed):
            self.produce("s", b"a", 1, 0)
        with pytest.raises(ProducerFenced):
            self.produce("s", b"z", 0, 5)
        assert self.content("s") == b"ab"

    # --- reading (Section 5.6)

    def test_every_position_can_be_read_from(self) -> None:
        self.create("s", body=b"abc")
        self.append("s", b"defg")
        for position in range(8):
            found = self.read("s", position)
            assert found.data == b"abcdefg"[position:]
            assert found.up_to_date

    def test_a_limit_is_kept_and_the_rest_follows(self) -> None:
        self.create("s", body=bytes(range(200)))
        parts = []
        position = 0
        while True:
            found = self.read("s", position, 7)
            assert len(found.data) <= 7
            parts.append(found.data)
            position = found.end
            if found.up_to_date:
                break
        assert b"".join(parts) == bytes(range(200))

    def test_of_two_appends_that_name_one_state_the_second_is_refused(self) -> None:
        """Also when the first one is still on its way."""
        known = (self.create("s", body=b"abc").stream.etag,)
        first = self.storage.append(Append("s", b"1", if_match=known))
        second = self.storage.append(Append("s", b"2", if_match=known))
        state = self.outcome(first).etag
        with pytest.raises(PreconditionFailed) as refusal:
            self.outcome(second)
        assert refusal.value.etag == state == self.describe("s").etag
        self.append("s", b"2", if_match=(state,), close=True)
        assert self.content("s") == b"abc12"

    def test_the_tail_can_be_asked_for(self) -> None:
        self.create("s", body=b"abc")
        found = self.read("s", None)
        assert (found.start, found.data, found.up_to_date) == (3, b"", True)

    def test_a_position_beyond_the_tail_is_refused(self) -> None:
        self.create("s", body=b"abc")
        with pytest.raises(OffsetBeyondTail):
            self.read("s", 4)

    def test_large_appends_come_back_as_they_were(self) -> None:
        self.create("s")
        large = Random(1).randbytes(3_000_000)
        self.append("s", b"small")
        self.append("s", large)
        self.append("s", b"small")
        assert self.content("s") == b"small" + large + b"small"

    # --- forks (Section 4.2)

    def test_a_fork_has_the_bytes_before_its_position(self) -> None:
        self.create("s", content_type="text/plain", body=b"abcdef")
        result = self.fork("f", "s", 4)
        assert (result.stream.tail, result.stream.content_type) == (4, "text/plain")
        self.append("f", b"XY")
        self.append("s", b"gh")
        assert self.content("f") == b"abcdXY"
        assert self.content("s") == b"abcdefgh"

    def test_forks_of_forks_reach_through_the_chain(self) -> None:
        self.create("a", body=b"aaaa")
        self.fork("b", "a", 3)
        self.append("b", b"bbb")
        self.fork("c", "b", 5)
        self.append("c", b"c")
        self.fork("d", "c", 2, body=b"d")
        assert self.content("c") == b"aaabbc"
        assert self.content("d") == b"aad"
        assert [self.read("c", position, 1).data for position in range(6)] == [bytes([byte]) for byte in b"aaabbc"]

    def test_a_fork_begins_open_and_without_writers_state(self) -> None:
        self.create("s")
        self.produce("s", b"a", 3, 0, stream_seq="z", close=True)
        self.fork("f", "s")
        assert not self.describe("f").closed
        assert not self.produce("f", b"b", 0, 0, stream_seq="a").duplicate

    def test_a_sub_offset_counts_bytes_or_messages(self) -> None:
        self.create("s", body=b"abcdef")
        self.create("f", fork=ForkRequest("s", 1, 2))
        assert self.content("f") == b"abc"
        json = self.create("j", content_type="application/json", body=b"[10,20,30]").stream
        self.create("g", fork=ForkRequest("j", 0, 2, ResolvedSubOffset(json.stream_id, 6)))
        assert self.read("g").messages == [b"10", b"20"]

    @pytest.mark.parametrize(
        ("request_", "refusal"),
        [
            (ForkRequest("none"), StreamNotFound),
            (ForkRequest("s", 7), ForkBeyondTail),
            (ForkRequest("s", 3, 4), ForkSubOffsetBeyond),
            (ForkRequest("s", None, 1), ForkSubOffsetBeyond),
            (ForkRequest("gone"), ForkSourceGone),
        ],
    )
    def test_a_fork_that_cannot_be_leaves_no_trace(self, request_: ForkRequest, refusal: type[StreamError]) -> None:
        self.create("s", body=b"abcdef")
        self.create("gone")
        self.fork("keeps it", "gone")
        self.delete("gone")
        with pytest.raises(refusal):
            self.create("f", fork=request_)
        with pytest.raises(ContentTypeMismatch):
            self.fork("f", "s", content_type="text/plain")
        self.delete("s")
        with pytest.raises(StreamNotFound):
            self.describe("s")

    def test_the_same_fork_may_be_asked_for_again(self) -> None:
        self.create("s", body=b"abcdef")
        self.fork("f", "s", 4)
        self.append("s", b"more")
        assert not self.fork("f", "s", 4).created
        for other in (ForkRequest("s", 5), ForkRequest("s"), ForkRequest("s", 4, 1), None):
            with pytest.raises(StreamConflict):
                self.create("f", fork=other)

    def test_a_fork_that_is_refused_or_repeated_is_no_reason_to_keep_its_source(self) -> None:
        self.create("s", body=b"abcdef")
        self.create("taken")
        self.fork("f", "s", 4)
        self.fork("f", "s", 4)
        for path, position in (("taken", 4), ("f", 5)):
            with pytest.raises(StreamConflict):
                self.fork(path, "s", position)
        self.delete("f")
        self.delete("s")
        with pytest.raises(StreamNotFound):
            self.describe("s")
        assert self.create("s").created

    def test_a_fork_leads_its_own_life(self) -> None:
        """Section 4.2: it can be appended to, closed and deleted without affecting the source."""
        self.create("s", body=b"abc")
        self.fork("f", "s")
        self.append("f", b"own", close=True)
        assert (self.content("s"), self.describe("s").closed) == (b"abc", False)
        self.append("s", close=True)
        self.fork("g", "s")
        self.append("g", b"own")
        self.delete("f")
        self.delete("g")
        assert (self.content("s"), self.describe("s").closed) == (b"abc", True)

    def test_a_source_is_soft_deleted_while_forks_need_it(self) -> None:
        self.create("s", body=b"abc")
        self.fork("f", "s")
        self.delete("s")
        for refused in (self.describe, self.read, self.delete, self.append):
            with pytest.raises(StreamGone):
                refused("s")
        with pytest.raises(StreamConflict):
            self.create("s")
        assert self.content("f") == b"abc"

    def test_the_last_fork_takes_deleted_sources_with_it(self) -> None:
        self.create("a", body=b"a")
        self.fork("b", "a", body=b"b")
        self.fork("c", "b", body=b"c")
        self.delete("a")
        self.delete("b")
        assert self.content("c") == b"abc"
        self.delete("c")
        for path in "abc":
            with pytest.raises(StreamNotFound):
                self.describe(path)
            assert self.create(path).created

    @pytest.mark.parametrize("source", [{}, {"ttl": 50}, {"expires_at": BEGINNING_OF_TIME + 70.0}])
    @pytest.mark.parametrize("asked", [{}, {"ttl": 90}, {"expires_at": BEGINNING_OF_TIME + 99.0}])
    def test_a_fork_has_its_own_lifetime_or_the_sources(self, source: dict[str, Any], asked: dict[str, Any]) -> None:
        self.create("s", **source)
        fork = self.fork("f", "s", **asked).stream
        expected = asked or source
        assert (fork.ttl, fork.expires_at) == (expected.get("ttl"), expected.get("expires_at"))

    # --- deleting (Section 5.4)

    def test_a_deleted_stream_is_gone(self) -> None:
        self.create("s", body=b"abc")
        self.delete("s")
        for refused in (self.describe, self.read, self.delete):
            with pytest.raises(StreamNotFound):
                refused("s")

    # --- expiry (Sections 4 and 5.1)

    def test_a_stream_ends_at_its_time(self) -> None:
        self.create("s", expires_at=BEGINNING_OF_TIME + 100.0)
        self.clock.advance(99)
        self.read("s")
        self.clock.advance(1)
        with pytest.raises(StreamNotFound):
            self.describe("s")
        assert self.create("s").created

    @pytest.mark.parametrize("renew", ["append", "close", "producer's close", "read", "tail", "keep"])
    def test_an_access_restarts_the_sliding_window(self, renew: str) -> None:
        self.create("s", ttl=100)
        for _ in range(3):
            self.clock.advance(80)
            {
                "append": lambda: self.append("s", b"x"),
                "close": lambda: self.append("s", close=True),
                "producer's close": lambda: self.produce("s", b"", 0, 0, close=True),
                "read": lambda: self.read("s"),
                "tail": lambda: self.read("s", None),
                "keep": lambda: self.storage.keep("s"),
            }[renew]()
            if "close" in renew:
                break
        self.clock.advance(80)
        self.describe("s")
        self.clock.advance(120)
        with pytest.raises(StreamNotFound):
            self.describe("s")

    def test_a_description_is_no_access(self) -> None:
        self.create("s", ttl=100)
        self.clock.advance(80)
        self.describe("s")
        self.create("s", ttl=100)
        self.clock.advance(40)
        with pytest.raises(StreamNotFound):
            self.describe("s")

    def test_expired_streams_are_told_once(self) -> None:
        self.create("swept", ttl=10)
        self.create("found", ttl=10)
        self.create("stays", ttl=100)
        self.clock.advance(20)
        with pytest.raises(StreamNotFound):
            self.read("found")
        expired = self.outcome(self.storage.expire())
        assert sorted(expired) == ["found", "swept"]
        assert self.outcome(self.storage.expire()) == []
        self.describe("stays")

    def test_an_expired_source_stays_for_its_forks(self) -> None:
        self.create("s", ttl=10, body=b"abc")
        self.fork("f", "s", expires_at=BEGINNING_OF_TIME + 1000.0)
        self.clock.advance(20)
        self.outcome(self.storage.expire())
        assert self.content("f") == b"abc"
        with pytest.raises(StreamGone):
            self.read("s")

    # --- listing

    def test_streams_are_listed_by_prefix_in_pages(self) -> None:
        for number in range(10):
            self.create(f"logs/{number}")
        self.create("other")
        self.create("logs/expired", ttl=1)
        self.delete("logs/4")
        self.fork("fork", "logs/5")
        self.delete("logs/5")
        self.clock.advance(2)
        found: list[str] = []
        after, more = "", True
        while more:
            page = self.outcome(self.storage.list_streams("logs/", after, 3))
            found += [stream.path for stream in page.streams]
            after, more = found[-1], page.more
        assert found == [f"logs/{number}" for number in (0, 1, 2, 3, 6, 7, 8, 9)]
        assert self.outcome(self.storage.list_streams("nothing", "", 3)).streams == []

    # --- many

    @pytest.mark.parametrize("length", [256, 4096])
    def test_a_path_may_be_longer_than_a_file_name(self, length: int) -> None:
        """Section 12.2: within the limits of the service nothing of a path is cut, so no two become one."""
        one, other = "s" * length + "/1", "s" * length + "/2"
        self.create(one, body=b"1")
        self.create(other, body=b"2")
        assert (self.content(one), self.content(other)) == (b"1", b"2")
        found = self.outcome(self.storage.list_streams("s", "", 10)).streams
        assert [stream.path for stream in found] == [one, other]

    def test_thousands_of_streams_stay_apart(self) -> None:
        answers = [self.storage.create(Create(f"s/{number}", body=b"%d" % number)) for number in range(2000)]
        for answer in answers:
            self.outcome(answer)
        for number in range(0, 2000, 97):
            assert self.content(f"s/{number}") == b"%d" % number

    def test_it_agrees_with_a_naive_model(self) -> None:
        """A long random walk over a few streams: contents, closure and existence are as lists of bytes tell."""
        random = Random(7)
        model: dict[str, tuple[bytes, bool]] = {}
        for _ in range(600):
            path = random.choice("abcde")
            action = random.choice(("create", "append", "append", "append", "close", "delete", "read"))
            content, closed = model.get(path, (b"", False))
            try:
                if action == "create":
                    if self.create(path).created:
                        model[path] = (b"", False)
                elif action == "append":
                    data = random.randbytes(random.choice((1, 10, 70_000)))
                    self.append(path, data)
                    model[path] = (content + data, False)
                elif action == "close":
                    self.append(path, close=True)
                    model[path] = (content, True)
                elif action == "delete":
                    self.delete(path)
                    del model[path]
                else:
                    assert self.content(path) == content
            except StreamNotFound:
                assert path not in model
            except StreamIsClosed:
                assert closed
            except StreamConflict:
                assert closed
        for path, (content, closed) in model.items():
            assert (self.content(path), self.describe(path).closed) == (content, closed)
