"""The local storage lives through crashes: nothing acknowledged is lost, nothing is done half or twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from durable_streams.protocol.events import Appended, StreamCreated
from durable_streams.protocol.stream import Stream
from durable_streams.storage.local import base, segment
from durable_streams.storage.local.base import BaseStore
from durable_streams.storage.local.committer import Commit, Committer
from durable_streams.storage.local.folding import Folding
from durable_streams.storage.local.hot_stream import HotStream
from durable_streams.storage.local.journal import Batch, Journal
from durable_streams.storage.local.kept_segments import KeptSegments
from durable_streams.storage.local.residents import Residents
from durable_streams.storage.local.segment import segment_name
from tests.storage.local.simulation import Simulation, simulate

ENOUGH_TO_FIND_A_BUG = 200


def test_no_seed_breaks_a_promise(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """Random commands, crashes at any write, sync or rename, recovery by the real code, several generations a seed."""
    first, count = pytestconfig.getoption("--first-seed"), pytestconfig.getoption("--seeds")
    crashes = 0
    for seed in range(first, first + count):
        try:
            crashes += simulate(seed, tmp_path / str(seed)).crashes
        except Exception as error:
            raise AssertionError(f"seed {seed} (run it alone with --first-seed={seed} --seeds=1): {error}") from error
    assert crashes > count


def _is_found(tmp_path: Path, prepare: Any = lambda simulation: None) -> bool:
    for seed in range(ENOUGH_TO_FIND_A_BUG):
        try:
            simulate(seed, tmp_path / str(seed), prepare)
        except Exception:
            return True
    return False


def test_it_finds_a_sync_that_does_nothing(tmp_path: Path) -> None:
    """Planted: every sync returns without having written."""

    def lie(simulation: Simulation) -> None:
        simulation.files.syncs_are_lies = True

    assert _is_found(tmp_path, lie)


def test_it_finds_an_early_acknowledgement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: writers are told before their batch is written."""

    def commit(self: Committer, commit: Commit) -> None:
        self._tell(commit.entries)
        commit.batch.write()

    monkeypatch.setattr(Committer, "_commit", commit)
    assert _is_found(tmp_path)


def test_it_finds_a_batch_that_counts_before_the_one_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: what is written ahead has its header already, so that a hole may lie before it."""

    def write_ahead(self: Batch) -> None:
        self._put(self._position, [self._header(), *self._writer.records(self._payloads)])

    monkeypatch.setattr(Journal, "can_grow", lambda self, batch, length: False)
    monkeypatch.setattr(Batch, "write_ahead", write_ahead)
    monkeypatch.setattr(Batch, "complete", lambda self: self._begin() or self._file.sync())
    assert _is_found(tmp_path)


def test_it_finds_a_segment_that_is_applied_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: folding forgets to record how far it has come."""
    monkeypatch.setattr(BaseStore, "record_progress", lambda self, segment, stream_id: None)
    assert _is_found(tmp_path)


def test_it_finds_a_delete_that_is_not_journaled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: one record in ten never reaches the journal."""
    submit = Committer.submit

    def forgetful(self: Committer, payload: bytes, entry: Any) -> None:
        if crc32(payload) % 10:
            submit(self, payload, entry)
        else:
            self.wait(entry)

    monkeypatch.setattr(Committer, "submit", forgetful)
    assert _is_found(tmp_path)


def test_it_finds_boundaries_that_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the base store forgets where messages end, so nothing of what it holds is dropped any more."""
    monkeypatch.setattr(base, "write_boundaries", lambda connection, stream_id, boundaries: None)
    assert _is_found(tmp_path)


def test_it_finds_a_fork_whose_bytes_are_given_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the source's dropped bytes are removed although a fork has inherited them."""

    def lend_nothing(self: Stream, fork: StreamCreated) -> None:
        self.forks += 1

    monkeypatch.setattr(Stream, "lend", lend_nothing)
    assert _is_found(tmp_path)


def test_it_finds_bytes_that_are_dropped_too_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: readers are told that a stream begins later before the append that makes it so is durable."""
    append = Residents.append

    def hasty(self: Residents, hot: HotStream, event: Appended) -> None:
        append(self, hot, event)
        self.begins_at(hot, hot.stream.earliest)

    monkeypatch.setattr(Residents, "append", hasty)
    assert _is_found(tmp_path)


def test_it_finds_batches_of_an_older_segment_that_are_taken_for_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: checksums begin with nothing that tells segments apart, and files are used again."""
    monkeypatch.setattr(segment, "_seed", lambda number, salt: 0)
    assert _is_found(tmp_path)


def test_it_finds_a_kept_segment_that_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the file of every folded segment is let go, although runs lie in it."""
    monkeypatch.setattr(Folding, "free_files", lambda self, segment: self._free(segment))
    assert _is_found(tmp_path)


def test_it_finds_a_segment_that_is_not_noted_as_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: runs lie in a segment that the base store does not count as kept."""
    monkeypatch.setattr(KeptSegments, "keep", lambda self, segment, size: None)
    assert _is_found(tmp_path)


def test_it_finds_a_kept_file_that_goes_before_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the last run of a segment takes the file with it at once, and then the checkpointer is killed."""
    count = KeptSegments.count

    def hasty(self: KeptSegments, segment: int, length: int) -> None:
        count(self, segment, length)
        if length < 0 and segment == self.one_to_free():
            self._files.remove(segment_name(segment))

    monkeypatch.setattr(KeptSegments, "count", hasty)
    assert _is_found(tmp_path)


def test_it_finds_bytes_of_a_kept_segment_that_nobody_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: runs that go are not taken off what is needed of their segment, so its file would stay for ever."""
    count = KeptSegments.count
    monkeypatch.setattr(KeptSegments, "count", lambda self, segment, length: count(self, segment, max(0, length)))
    assert _is_found(tmp_path)
