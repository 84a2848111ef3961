"""What every storage must do about retention: part of the suite that providers inherit."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import Any

import pytest

from durable_streams.errors import OffsetBeyondTail, OffsetTrimmed, StreamConflict, StreamGone
from durable_streams.protocol.commands import ForkRequest
from durable_streams.protocol.offsets import EARLIEST
from durable_streams.protocol.retention import Retention
from durable_streams.testing.storage_driver import BEGINNING_OF_TIME, StorageDriver

_JSON = "application/json"


class RetentionSuite(StorageDriver):
    """A limit drops whole messages from the front, and nobody reads across a gap."""

    def earliest(self, path: str) -> int:
        return self.describe(path).earliest

    def sweep(self) -> None:
        self.outcome(self.storage.expire())

    def append_each(self, path: str, *bodies: bytes) -> None:
        for body in bodies:
            self.append(path, body)

    # --- limits

    def test_a_stream_without_a_policy_keeps_everything(self) -> None:
        self.create("s")
        self.append_each("s", b"one", b"two")
        self.clock.advance(10**9)
        self.sweep()
        stream = self.describe("s")
        assert (stream.earliest, stream.retention, self.content("s")) == (0, None, b"onetwo")

    def test_the_newest_appends_are_kept(self) -> None:
        self.create("s", retention=Retention(max_messages=2), body=b"a")
        self.append_each("s", b"bb", b"ccc", b"dddd")
        assert (self.content("s"), self.earliest("s")) == (b"cccdddd", 3)

    def test_messages_of_a_batch_are_counted_one_by_one(self) -> None:
        self.create("s", content_type=_JSON, retention=Retention(max_messages=2))
        self.append("s", b"[1,2,3,4,5]")
        assert self.read("s", EARLIEST).messages == [b"4", b"5"]

    def test_bytes_are_kept_by_whole_messages(self) -> None:
        self.create("s", content_type=_JSON, retention=Retention(max_bytes=9))
        self.append("s", b'["aa","bb"]')  # five bytes each, with their ends
        assert self.read("s", EARLIEST).messages == [b'"bb"']
        self.append("s", b"1")
        assert self.read("s", EARLIEST).messages == [b'"bb"', b"1"]

    def test_the_newest_message_stays_however_large(self) -> None:
        self.create("s", retention=Retention(max_bytes=4))
        self.append_each("s", b"abc", b"0123456789")
        assert self.content("s") == b"0123456789"

    def test_what_is_too_old_is_not_seen_even_when_nobody_has_swept(self) -> None:
        self.create("s", retention=Retention(max_age=10))
        self.append("s", b"old")
        self.clock.advance(6)
        self.append("s", b"new")
        self.clock.advance(3.5)
        assert self.content("s") == b"oldnew"
        self.clock.advance(0.5)
        assert (self.content("s"), self.earliest("s")) == (b"new", 3)

    def test_everything_may_be_too_old(self) -> None:
        self.create("s", retention=Retention(max_age=10), body=b"abc")
        self.append("s", b"def")
        for _ in range(2):
            self.clock.advance(20)
            self.sweep()
            found = self.read("s", EARLIEST)
            assert (found.start, found.data, found.up_to_date) == (6, b"", True)
        assert self.append("s", b"ghi").tail == 9
        assert (self.content("s"), self.earliest("s")) == (b"ghi", 6)

    def test_a_closed_stream_grows_old_too(self) -> None:
        self.create("s", retention=Retention(max_age=10), body=b"abc", closed=True)
        self.clock.advance(20)
        self.sweep()
        assert self.read("s", EARLIEST).at_end
        with pytest.raises(OffsetTrimmed):
            self.read("s", 1)

    @pytest.mark.parametrize(
        ("policy", "kept"),
        [
            (Retention(max_age=10, max_messages=1, max_bytes=100), b"3"),
            (Retention(max_age=10, max_messages=3, max_bytes=2), b"23"),
            (Retention(max_age=2, max_messages=3, max_bytes=100), b"23"),
            (Retention(max_age=1, max_messages=9, max_bytes=9), b"3"),
        ],
    )
    def test_the_strictest_limit_wins(self, policy: Retention, kept: bytes) -> None:
        self.create("s", retention=policy)
        for body in (b"1", b"2", b"3"):
            self.append("s", body)
            self.clock.advance(0.9)
        assert self.content("s") == kept

    def test_what_was_dropped_does_not_come_back_when_the_clock_jumps_back(self) -> None:
        self.create("s", retention=Retention(max_age=10), body=b"abc")
        self.clock.advance(20)
        self.sweep()
        for _ in range(5):
            self.settle()
        self.clock.rightNow = BEGINNING_OF_TIME + 1
        assert self.earliest("s") == 3

    def test_closing_and_repeating_drop_nothing(self) -> None:
        self.create("s", retention=Retention(max_messages=1))
        self.produce("s", b"a", 0, 0)
        self.produce("s", b"a", 0, 0)
        self.append("s", close=True)
        assert self.content("s") == b"a"

    # --- readers

    def test_below_the_earliest_position_nothing_can_be_read(self) -> None:
        self.create("s", retention=Retention(max_messages=1), body=b"abc")
        self.append("s", b"def")
        for position in range(3):
            with pytest.raises(OffsetTrimmed) as refusal:
                self.read("s", position)
            assert (refusal.value.position, refusal.value.earliest) == (position, 3)
        with pytest.raises(OffsetBeyondTail):
            self.read("s", 7)

    def test_who_is_exactly_at_the_earliest_position_goes_on(self) -> None:
        self.create("s", retention=Retention(max_messages=1), body=b"abc")
        self.append("s", b"def")
        assert self.read("s", 3).data == b"def"
        assert self.read("s", None).start == 6

    # --- creating

    @pytest.mark.parametrize(
        ("asked", "differing"),
        [
            (None, ["Stream-Retention-Max-Age", "Stream-Retention-Max-Messages"]),
            (Retention(max_age=10, max_messages=6), ["Stream-Retention-Max-Messages"]),
            (
                Retention(max_messages=5, max_bytes=7),
                ["Stream-Retention-Max-Age", "Stream-Retention-Max-Bytes"],
            ),
        ],
    )
    def test_another_policy_is_a_conflict(self, asked: Retention | None, differing: list[str]) -> None:
        policy = Retention(max_age=10, max_messages=5)
        assert self.create("s", retention=policy).stream.retention == policy
        assert not self.create("s", retention=policy).created
        with pytest.raises(StreamConflict) as refusal:
            self.create("s", retention=asked)
        assert list(refusal.value.differing) == differing

    def test_who_names_no_limit_asks_for_the_default_whatever_it_is_today(self) -> None:
        first = Retention(max_age=10, is_default=True)
        self.create("s", retention=first)
        for asked in (None, first, Retention(max_age=20, is_default=True), Retention(max_age=10)):
            assert not self.create("s", retention=asked).created
        with pytest.raises(StreamConflict):
            self.create("s", retention=Retention(max_age=20))

    # --- forks

    def test_a_fork_keeps_what_it_has_inherited(self) -> None:
        self.create("s", retention=Retention(max_messages=2), body=b"a")
        self.append_each("s", b"b", b"c")
        self.fork("f", "s")
        self.append_each("s", b"d", b"e", b"f")
        self.append_each("f", b"F", b"G", b"H")
        assert (self.content("s"), self.content("f")) == (b"ef", b"bcFGH")
        assert self.earliest("f") == 1
        with pytest.raises(OffsetTrimmed):
            self.read("f", 0)
        self.delete("s")
        assert self.content("f") == b"bcFGH"

    def test_a_forks_own_policy_counts_what_it_appends_itself(self) -> None:
        self.create("s", body=b"inherited")
        self.fork("f", "s", retention=Retention(max_messages=2))
        self.append_each("f", b"1", b"2")
        assert self.content("f") == b"inherited12"
        self.append("f", b"3")
        assert (self.content("f"), self.content("s")) == (b"23", b"inherited")

    def test_a_forks_age_counts_from_its_own_appends(self) -> None:
        self.create("s", body=b"inherited")
        self.clock.advance(100)
        self.fork("f", "s", retention=Retention(max_age=10))
        self.clock.advance(100)
        assert self.content("f") == b"inherited"
        self.append("f", b"own")
        self.clock.advance(10)
        assert self.content("f") == b""

    def test_a_fork_takes_no_policy_from_its_source(self) -> None:
        self.create("s", retention=Retention(max_messages=1))
        assert self.fork("f", "s").stream.retention is None
        assert not self.fork("f", "s").created

    @pytest.mark.parametrize(
        "request_", [ForkRequest("s", 1), ForkRequest("s", 2), ForkRequest("s", 1, 4), ForkRequest("s", 0, 4)]
    )
    def test_what_is_gone_cannot_be_forked(self, request_: ForkRequest) -> None:
        self.create("s", retention=Retention(max_messages=1), body=b"abc")
        self.append("s", b"def")
        with pytest.raises(OffsetTrimmed) as refusal:
            self.create("f", fork=request_)
        assert (refusal.value.path, refusal.value.earliest) == ("s", 3)
        assert self.create("f", body=b"free").created

    def test_forks_at_the_edge_and_at_the_very_beginning_inherit_nothing(self) -> None:
        self.create("s", retention=Retention(max_messages=1), body=b"abc")
        self.append("s", b"def")
        for path, position in (("edge", 3), ("beginning", 0)):
            self.fork(path, "s", position)
            self.append(path, b"own")
            assert (self.content(path), self.earliest(path)) == (b"own", position)

    def test_chains_of_forks_keep_what_they_need(self) -> None:
        self.create("a", retention=Retention(max_messages=3), body=b"0")
        self.append_each("a", b"1", b"2", b"3", b"4")
        self.fork("b", "a", 4, retention=Retention(max_messages=2))
        self.append_each("b", b"x", b"y")
        self.fork("c", "b", 5)
        self.append_each("a", b"5", b"6", b"7", b"8")
        self.append("b", b"z")
        self.append("c", b"!")
        assert [self.content(path) for path in "abc"] == [b"678", b"yz", b"23x!"]
        self.delete("b")
        with pytest.raises(StreamGone):
            self.read("b")
        assert self.content("c") == b"23x!"

    def test_a_source_drops_what_no_fork_needs_any_more(self) -> None:
        self.create("s", retention=Retention(max_messages=1), body=b"a")
        self.fork("f", "s", 1)
        self.append_each("s", b"b", b"c")
        self.delete("f")
        self.append("s", b"d")
        assert (self.content("s"), self.earliest("s")) == (b"d", 3)
        self.fork("g", "s")
        self.append("s", b"e")
        assert (self.content("g"), self.content("s")) == (b"d", b"e")

    # --- much

    def test_large_streams_are_trimmed_to_the_last_bytes(self) -> None:
        self.create("s", retention=Retention(max_bytes=150_000))
        block = bytes(range(250)) * 40
        for number in range(100):
            self.append("s", number.to_bytes(2, "big") * 2 + block)
        first = 100 - 150_000 // 10_004
        kept = b"".join(number.to_bytes(2, "big") * 2 + block for number in range(first, 100))
        assert (self.content("s"), self.earliest("s")) == (kept, first * 10_004)

    @pytest.mark.parametrize("policy", [Retention(max_messages=200_000), Retention(max_bytes=1_200_000)])
    def test_a_large_limit_is_held_to_the_message(self, policy: Retention) -> None:
        """After every append, with messages of many lengths."""
        self.create("s", content_type=_JSON, retention=policy)
        messages = [b"1" * (number * 7 % 9 + 1) for number in range(210_000)]
        ends = list(accumulate([len(message) + 1 for message in messages]))
        count = 0
        for batch in [5000] * 41 + [1, 1, 11, 256, 1]:
            self.append("s", b"[%b]" % b",".join(messages[count : count + batch]))
            count += batch
            tail = ends[count - 1]
            edge = tail - 1_200_000 if policy.max_bytes else ends[max(0, count - 200_001)]
            earliest = ends[bisect_left(ends, edge)] if count > 200_000 else 0
            assert (self.describe("s").tail, self.earliest("s")) == (tail, earliest)

    def test_other_streams_are_listed_and_trimmed_apart(self) -> None:
        policies: dict[str, Any] = {"a": Retention(max_messages=1), "b": None, "c": Retention(max_age=5)}
        for path, policy in policies.items():
            self.create(path, retention=policy)
            self.append_each(path, b"1", b"2")
        self.clock.advance(5)
        self.sweep()
        page = self.outcome(self.storage.list_streams("", "", 10))
        assert [(stream.path, stream.earliest) for stream in page.streams] == [("a", 1), ("b", 0), ("c", 2)]
