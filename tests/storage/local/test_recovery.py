"""What a start finds: all that was acknowledged, and nothing that only seems to be on the disk."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from random import Random

import pytest

from durable_streams.errors import StorageFailed, StreamGone, StreamNotFound
from durable_streams.protocol.commands import Append, Create, Delete, ForkRequest
from durable_streams.protocol.producers import ProducerClaim
from durable_streams.storage.local.directory import DataDirectory
from durable_streams.storage.local.files import OsFiles
from tests.storage.local.bench import Bench
from tests.storage.local.lossy_files import LossyFiles, SimulatedCrash
from tests.storage.local.simulated_workers import fold

FATES = range(8)


def _started(directory: Path, files: LossyFiles | None = None) -> Bench:
    """A storage whose checkpointer does nothing, so that all rests on the journal."""
    bench = Bench(directory, files)
    bench.workers.fold_delay = 1e6
    bench.open()
    return bench


def _with_stream(directory: Path) -> Bench:
    bench = _started(directory)
    bench.outcome(bench.storage.create(Create("s")))
    bench.append(b"safe")
    return bench


@pytest.mark.parametrize("fate", FATES)
def test_a_batch_whose_sync_failed_is_written_again_before_anything_is_built_on_it(tmp_path: Path, fate: int) -> None:
    """After a failed sync the page cache shows bytes that the disk does not have; a restart reads them from there."""
    bench = _with_stream(tmp_path)
    bench.files.fault["sync"] = OSError("Input/output error")
    with pytest.raises(StorageFailed):
        bench.append(b", doubtful")
    bench.end()
    bench.files.fault.clear()
    second = _started(tmp_path, bench.files)
    second.append(b", acknowledged")
    content = second.content()
    second.end()
    second.files.crash(Random(fate))
    third = _started(tmp_path, second.files)
    assert third.content() == content == b"safe, doubtful, acknowledged"
    third.close()


@pytest.mark.parametrize("fate", FATES)
def test_a_torn_batch_is_there_whole_or_not_at_all_and_nothing_is_written_behind_it(tmp_path: Path, fate: int) -> None:
    """The power fails between write and sync: what comes later is found again, however much of the batch was kept."""
    bench = _with_stream(tmp_path)
    bench.files.fuse = 1
    with pytest.raises(SimulatedCrash):
        bench.append(b"torn" * 2000)
    bench.end()
    bench.files.crash(Random(fate))
    second = _started(tmp_path, bench.files)
    content = second.content()
    assert content in (b"safe", b"safe" + b"torn" * 2000)
    second.append(b", later")
    second.end()
    second.files.crash(Random(fate))
    third = _started(tmp_path, second.files)
    assert third.content() == content + b", later"
    third.close()


@pytest.mark.parametrize("power_fails", [False, True])
def test_a_producer_may_repeat_what_a_failed_sync_left_in_doubt(tmp_path: Path, power_fails: bool) -> None:
    """Section 5.2.1: number and bytes are one record: a restart finds both or none, and in the end the batch once."""
    bench = _with_stream(tmp_path)
    batch = Append("s", b", once", producer=ProducerClaim("p", 0, 0))
    bench.files.fault["sync"] = OSError("Input/output error")
    with pytest.raises(StorageFailed):
        bench.outcome(bench.storage.append(batch))
    assert bench.content() == b"safe"
    bench.end()
    bench.files.fault.clear()
    if power_fails:
        bench.files.crash(Random(0))
    again = _started(tmp_path, bench.files)
    assert again.content() == (b"safe" if power_fails else b"safe, once")
    assert again.outcome(again.storage.append(batch)).duplicate is not power_fails
    assert again.content() == b"safe, once"
    again.close()


@pytest.mark.parametrize("fate", FATES)
def test_a_deleted_stream_does_not_come_back_and_its_successor_stays(tmp_path: Path, fate: int) -> None:
    """Section 5.4: both were acknowledged, so no crash may undo either."""
    bench = _with_stream(tmp_path)
    bench.outcome(bench.storage.create(Create("t", body=b"deleted")))
    for path in ("s", "t"):
        bench.outcome(bench.storage.delete(Delete(path)))
    bench.outcome(bench.storage.create(Create("s", body=b"new")))
    bench.end()
    bench.files.crash(Random(fate))
    again = _started(tmp_path, bench.files)
    assert again.content() == b"new"
    with pytest.raises(StreamNotFound):
        again.content("t")
    again.close()


@pytest.mark.parametrize("is_folded", [False, True])
def test_forks_find_what_they_inherited_after_a_restart(tmp_path: Path, is_folded: bool) -> None:
    """Section 4.2: from the journal and from the base store; deleted sources too, until their last fork is gone."""
    bench = Bench(tmp_path, hot_bytes=0)
    bench.open()
    for command in (
        Create("filler"),
        Create("a", body=b"aaaa"),
        Create("b", body=b"bb", fork=ForkRequest("a", 3)),
        Create("c", body=b"c", fork=ForkRequest("b", 4)),
    ):
        bench.outcome(bench.storage.create(command))
    for path in ("a", "b"):
        bench.outcome(bench.storage.delete(Delete(path)))
    if is_folded:
        bench.roll()
    bench.close()
    again = Bench(tmp_path, bench.files, hot_bytes=0)
    again.open()
    assert again.content("c") == b"aaabc"
    for path in ("a", "b"):
        with pytest.raises(StreamGone):
            again.content(path)
    again.outcome(again.storage.delete(Delete("c")))
    for path in ("a", "b", "c"):
        with pytest.raises(StreamNotFound):
            again.content(path)
    again.close()


@pytest.mark.parametrize("fate", FATES)
def test_a_seal_that_was_written_and_not_synced_is_synced_by_the_next_start(tmp_path: Path, fate: int) -> None:
    """A kill between the two, a start, and then the power fails: the service must start."""
    bench = _with_stream(tmp_path)
    while bench.storage._journal._rest() > 60_000:
        bench.append(b"x" * 50_000)
    content = bench.content()
    bench.files.fuse = 1
    with pytest.raises(SimulatedCrash):
        bench.append(b"y" * 100_000)
    bench.end()
    bench.files.fuse = None
    second = _started(tmp_path, bench.files)
    second.append(b"acknowledged")
    second.end()
    second.files.crash(Random(fate))
    third = _started(tmp_path, second.files)
    assert third.content() == content + b"acknowledged"
    third.close()


def test_a_checkpointer_that_outlived_its_service_confuses_no_start(tmp_path: Path) -> None:
    """It folds a segment while the next service recovers: each event is taken once, from the journal."""
    bench = _with_stream(tmp_path)
    bench.outcome(bench.storage.create(Create("filler")))
    bench.roll()
    fold(tmp_path, bench.files, 1)
    bench.append(b" and sound")
    bench.roll()
    bench.end()
    bench.files.upon_read = partial(fold, tmp_path, bench.files, 2)
    again = _started(tmp_path, bench.files)
    assert again.content() == b"safe and sound"
    again.append(b"!")
    assert again.content() == b"safe and sound!"
    again.close()


def test_the_id_of_a_deleted_stream_is_not_given_away_again(tmp_path: Path) -> None:
    """Created, deleted, restarted, and the clock has gone back: only the journal knows the id that was used."""
    bench = _with_stream(tmp_path)
    bench.clock.advance(1000)
    created = bench.clock.seconds()
    deleted = bench.outcome(bench.storage.create(Create("t"))).stream
    bench.outcome(bench.storage.delete(Delete("t")))
    bench.end()
    again = _started(tmp_path, bench.files)
    again.clock.rightNow = created
    assert again.outcome(again.storage.create(Create("t"))).stream.stream_id > deleted.stream_id
    again.close()


def test_a_journal_that_is_gone_refuses_to_start(tmp_path: Path) -> None:
    """The base store says that there was one; its last segment is never folded before another is there."""
    bench = _with_stream(tmp_path)
    bench.outcome(bench.storage.create(Create("filler")))
    bench.roll()
    bench.close()
    fold(tmp_path, bench.files, 1)
    with pytest.raises(StorageFailed, match=r"0000000000000002\.journal is missing"):
        _started(tmp_path, LossyFiles())


def test_every_directory_that_is_made_is_synced_into_the_one_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the whole data directory could vanish with the power."""
    synced: list[int] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    data = tmp_path / "a" / "b"
    directory = DataDirectory(data)
    directory.open()
    OsFiles(data / "journal")
    directory.close()
    assert {path.stat().st_ino for path in (tmp_path, tmp_path / "a", data)} <= set(synced)


def test_a_closed_journal_file_writes_into_no_other(tmp_path: Path) -> None:
    """Its descriptor may belong to another file by then."""
    files = OsFiles(tmp_path)
    first = files.allocate("first", 100)
    first.close()
    files.allocate("second", 100)
    with pytest.raises(OSError, match="Bad file descriptor"):
        first.write(0, b"stray")
    assert files.read("second") == bytes(100)
