"""Streams come into memory and leave it, and commands wait for that and for room: nobody sees a difference."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from durable_streams.errors import StorageUnavailable, StreamNotFound
from durable_streams.protocol.commands import Append, Create, ForkRequest
from durable_streams.storage.local.residents import STREAM_COST
from tests.storage.local.bench import Bench
from tests.storage.local.simulated_workers import ClockFolder


def _bench(directory: Path, **settings: Any) -> Bench:
    bench = Bench(directory, **settings)
    bench.open()
    bench.outcome(bench.storage.create(Create("filler")))
    return bench


def _folded(bench: Bench) -> None:
    """Have all that was written so far folded."""
    bench.roll()
    bench.clock.advance(2 * bench.workers.fold_delay + 0.01)
    bench.clock.advance(2 * bench.workers.fold_delay + 0.01)


def test_a_row_that_was_read_before_a_stream_left_does_not_replace_what_it_became(tmp_path: Path) -> None:
    """A fork is looked up with its source; meanwhile the source's newest bytes are folded and it could leave."""
    bench = _bench(tmp_path, hot_bytes=0)
    bench.outcome(bench.storage.create(Create("source", body=b"old")))
    bench.outcome(bench.storage.create(Create("fork", fork=ForkRequest("source"))))
    _folded(bench)
    bench.append(b" and new", "source")
    bench.workers.fold_delay = 5
    bench.roll()
    bench.workers.read_delay = 30
    looked_up = bench.storage.describe("fork")
    for _ in range(200):
        bench.clock.advance(0.2)
    bench.workers.read_delay = 0
    assert bench.outcome(looked_up).tail == 3
    assert bench.append(b"!", "source").tail == len(b"old and new!")
    assert bench.content("source") == b"old and new!"
    bench.close()


def test_a_fork_that_waits_for_room_finds_its_source(tmp_path: Path) -> None:
    """The source stays in memory, or comes back, although nothing of it is on its way."""
    bench = _bench(tmp_path, hot_bytes=0)
    bench.outcome(bench.storage.create(Create("source", body=b"old")))
    _folded(bench)
    bench.workers.allocate_delay = 5
    bench.roll()
    created = bench.storage.create(Create("fork", body=b"n" * 500_000, fork=ForkRequest("source")))
    for _ in range(120):
        bench.clock.advance(0.1)
    assert bench.outcome(created).stream.tail == 500_003
    bench.close()


def test_commands_for_paths_without_a_stream_pass_when_there_is_room(tmp_path: Path) -> None:
    """Nothing remembers that nothing is there, so each is looked up once more; none goes to the end of the line."""
    bench = _bench(tmp_path, hot_bytes=0)
    _folded(bench)
    bench.workers.allocate_delay = 5
    bench.roll()
    created = [bench.storage.create(Create(f"new-{number}", body=b"n" * 400_000)) for number in range(3)]
    lost = bench.storage.append(Append("nothing", b"n" * 400_000))
    for _ in range(300):
        bench.clock.advance(0.1)
    assert [bench.outcome(done).stream.tail for done in created] == 3 * [400_000]
    with pytest.raises(StreamNotFound):
        bench.outcome(lost)
    bench.close()


def test_who_was_refused_room_leaves_nothing_behind(tmp_path: Path) -> None:
    """A stream whose append was refused may leave memory, and answers do not wait for anything."""
    bench = _bench(tmp_path)
    bench.workers.fold_delay = 1e6
    bench.files.fault["allocate"] = OSError("No space left on device")
    with pytest.raises(StorageUnavailable):
        bench.fill(bytearray(), "filler")
    hot = bench.storage._residents.find("filler")
    assert hot is not None
    assert hot.pending == 0
    bench.close()


def test_a_service_that_stops_accepts_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it waits for the checkpointer's end, no command gets behind the last batch."""
    ended: Deferred[None] = Deferred()
    monkeypatch.setattr(ClockFolder, "stop", lambda folder: ended)
    bench = _bench(tmp_path)
    closing = bench.storage.close()
    bench.clock.advance(0.1)
    with pytest.raises(StorageUnavailable) as refusal:
        bench.append(b"late", "filler")
    assert "stopping" in refusal.value.reason
    ended.callback(None)
    bench.outcome(closing)


def test_what_is_read_stays_longest(tmp_path: Path) -> None:
    """Of two streams of the same age the one that nobody reads leaves memory."""
    bench = _bench(tmp_path)
    for path in ("read", "unread"):
        bench.outcome(bench.storage.create(Create(path, body=b"x")))
    _folded(bench)
    bench.content("read")
    residents = bench.storage._residents
    filler = residents.find("filler")
    assert filler is not None
    residents._budget = filler.log.end - filler.folded_tail + 2 * STREAM_COST + 1
    residents.trim()
    assert residents.find("read") is not None
    assert residents.find("unread") is None
    bench.close()


class Counted(OrderedDict[int, None]):
    """Counts how many of its keys were looked at."""

    looked_at = 0

    def __iter__(self) -> Iterator[int]:
        for key in super().__iter__():
            self.looked_at += 1
            yield key


def test_a_stream_that_comes_costs_a_look_at_the_one_that_goes(tmp_path: Path) -> None:
    """Not at all that are there: a store with very many streams would take its time for each."""
    bench = _bench(tmp_path)
    for number in range(1000):
        bench.outcome(bench.storage.create(Create(f"s{number}")))
    _folded(bench)
    residents = bench.storage._residents
    line = residents._evictable = Counted(residents._evictable)
    before = len(line)
    residents._budget = residents.bytes - STREAM_COST
    residents.trim()
    assert (len(line), line.looked_at) == (before - 1, 1)
    bench.close()


def test_streams_that_must_stay_are_not_looked_at_again_and_again(tmp_path: Path) -> None:
    """Sources of forks in memory, for example; those behind them go all the same."""
    bench = _bench(tmp_path)
    for number in range(300):
        bench.outcome(bench.storage.create(Create(f"s{number}", body=b"x")))
    _folded(bench)
    residents = bench.storage._residents
    stuck = [residents.find(f"s{number}") for number in range(250)]
    for hot in stuck:
        assert hot is not None
        hot.children += 1
    line = residents._evictable = Counted(residents._evictable)
    residents._budget = 0
    residents.trim()
    assert line.looked_at < 110
    for _ in range(5):
        residents.trim()
    assert [residents.find(f"s{number}") for number in range(250, 300)] == 50 * [None]
    assert len(line) == 250
    for hot in stuck:
        assert hot is not None
        hot.children -= 1
    bench.close()


def test_more_expired_streams_than_one_look_finds_all_go(tmp_path: Path) -> None:
    """Their rows stay in the base store until a segment is folded, which may be days; the sweep goes on behind them."""
    bench = _bench(tmp_path, hot_bytes=0)
    end = bench.clock.seconds() + 60
    created = [bench.storage.create(Create(f"s{number}", expires_at=end)) for number in range(1200)]
    bench.outcome(created[-1])
    _folded(bench)
    assert bench.storage._residents.find("s0") is None
    bench.clock.advance(60)
    gone: list[str] = []
    for _ in range(30):
        gone += bench.outcome(bench.storage.expire())
        bench.clock.advance(0.5)
    assert sorted(gone) == sorted(f"s{number}" for number in range(1200))
    bench.close()


def test_expired_streams_that_cannot_go_yet_go_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room in the journal for the deletions: all of them are tried again."""
    bench = _bench(tmp_path)
    end = bench.clock.seconds() + 60
    for path in ("a", "b", "c"):
        bench.outcome(bench.storage.create(Create(path, expires_at=end)))
    bench.clock.advance(60)
    with monkeypatch.context() as full:
        full.setattr(bench.storage._space, "admits_internal", lambda: False)
        assert bench.outcome(bench.storage.expire()) == []
        with pytest.raises(StreamNotFound):
            bench.content("a")
    assert bench.outcome(bench.storage.expire()) == ["a", "b", "c"]
    bench.close()


def test_a_read_after_coming_back_counts_for_the_sliding_window(tmp_path: Path) -> None:
    """Nothing expires early: what is added for lost accesses when a stream comes back is not taken for one on disk."""
    bench = _bench(tmp_path, hot_bytes=0)
    created = bench.clock.seconds()
    bench.outcome(bench.storage.create(Create("s", ttl=160)))
    _folded(bench)
    assert bench.storage._residents.find("s") is None
    bench.clock.advance(created + 18.5 - bench.clock.seconds())
    bench.content()
    bench.end()
    again = Bench(tmp_path, bench.files, now=bench.clock.seconds() + 155)
    again.open()
    assert again.outcome(again.storage.describe("s")).ttl == 160
    again.close()


def test_appends_to_a_stream_that_is_coming_keep_their_order(tmp_path: Path) -> None:
    """All wait for the base store; none overtakes another."""
    bench = _bench(tmp_path, hot_bytes=0)
    bench.outcome(bench.storage.create(Create("s")))
    _folded(bench)
    bench.workers.read_delay = 1
    answers = [bench.storage.append(Append("s", b"%d" % number)) for number in range(10)]
    bench.clock.advance(1)
    bench.workers.read_delay = 0
    assert bench.outcome(answers[-1]).tail == 10
    assert bench.content() == b"0123456789"
    bench.close()
