"""What each failure of the disk looks like: refused or fatal, told, and nothing lost that was acknowledged."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs

from durable_streams.errors import StorageFailed, StorageUnavailable
from durable_streams.protocol.commands import Append, Create
from durable_streams.storage.local.directory import DataDirectory
from durable_streams.storage.local.files import OsFiles
from durable_streams.storage.local.journal import Batch
from tests.storage.local.bench import SEGMENT, Bench

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")
BROKEN = OSError(errno.EIO, "Input/output error")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path / "data")
    bench.open()
    bench.outcome(bench.storage.create(Create("s")))
    return bench


def test_a_full_disk_refuses_and_changes_nothing(bench: Bench) -> None:
    """No space: 503 with Retry-After, readers go on, health tells; with space again, writes go on."""
    written = bytearray()
    # Folded segments would be used again, for as long as the base store has room.
    bench.workers.fold_delay = 1e6
    bench.files.fault["allocate"] = NO_SPACE
    with pytest.raises(StorageUnavailable) as refusal:
        bench.fill(written)
    assert refusal.value.retry_after > 0
    assert bench.content() == written
    assert "no space for the journal" in str(bench.storage.failure())
    bench.files.fault.clear()
    bench.append(b"z" * 50_000)
    assert bench.content() == written + b"z" * 50_000
    assert bench.storage.failure() is None
    bench.close()


@pytest.mark.parametrize("operation", ["write", "sync"])
@pytest.mark.parametrize("inline", [0.0, 1e9], ids=["writer thread", "on the reactor"])
def test_a_failed_write_or_sync_is_final(tmp_path: Path, operation: str, inline: float) -> None:
    """EIO: the append is refused, no later one is accepted even when the disk seems well again, readers go on."""
    bench = Bench(tmp_path / "data", inline_seconds=inline)
    bench.open()
    bench.outcome(bench.storage.create(Create("s")))
    bench.append(b"safe")
    bench.files.fault[operation] = BROKEN
    with pytest.raises(StorageFailed, match="Input/output error"):
        bench.append(b"lost")
    assert bench.content() == b"safe"
    bench.files.fault.clear()
    with pytest.raises(StorageFailed):
        bench.append(b"never")
    assert bench.content() == b"safe"
    assert "Input/output error" in str(bench.storage.failure())
    bench.close()


def test_what_comes_while_a_batch_is_synced_shares_the_next_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often something was written for it before."""
    completed: list[None] = []
    complete = Batch.complete
    monkeypatch.setattr(Batch, "complete", lambda batch: completed.append(complete(batch)))
    bench = Bench(tmp_path / "data", inline_seconds=0, large_batch=1)
    bench.open()
    bench.outcome(bench.storage.create(Create("s")))
    bench.workers.fold_delay = 0.02
    appends = []
    for number in range(4):
        appends.append(bench.storage.append(Append("s", b"%d" % number)))
        bench.clock.advance(0.001)
    assert [bench.outcome(done).tail for done in appends] == [1, 2, 3, 4]
    assert len(completed) == 1
    bench.end()
    again = Bench(tmp_path / "data", bench.files)
    again.open()
    assert again.content() == b"0123"
    again.close()


def test_what_is_written_ahead_may_fail_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO for a batch that is written while the one before is synced: that one is acknowledged, nothing after it is."""

    def fail(batch: Batch) -> None:
        raise BROKEN

    monkeypatch.setattr(Batch, "write_ahead", fail)
    bench = Bench(tmp_path / "data", inline_seconds=0, large_batch=1)
    bench.open()
    bench.outcome(bench.storage.create(Create("s")))
    bench.workers.fold_delay = 0.02
    synced = bench.storage.append(Append("s", b"safe"))
    bench.clock.advance(0)
    ahead = bench.storage.append(Append("s", b"lost"))
    bench.clock.advance(0)
    joined = bench.storage.append(Append("s", b"lost too"))
    bench.clock.advance(0)
    behind = bench.storage.append(Append("s", b"never"))
    with capturedLogs() as logs:
        assert bench.outcome(synced).tail == 4
    assert [event["log_level"] for event in logs if "log_level" in event].count(LogLevel.critical) == 1
    for refused in (ahead, joined, behind):
        with pytest.raises(StorageFailed, match="Input/output error"):
            bench.outcome(refused)
    assert bench.content() == b"safe"
    bench.close()


def test_what_was_acknowledged_before_a_failed_sync_survives_the_restart(tmp_path: Path) -> None:
    """After EIO and a restart on a sound disk, the service goes on from what was acknowledged."""
    bench = Bench(tmp_path / "data")
    bench.open()
    bench.outcome(bench.storage.create(Create("s")))
    bench.append(b"safe")
    bench.files.fault["sync"] = BROKEN
    with pytest.raises(StorageFailed):
        bench.append(b"doubtful")
    bench.close()
    bench.files.fault.clear()
    again = Bench(tmp_path / "data", bench.files)
    again.open()
    assert again.content().startswith(b"safe")
    again.append(b"!")
    again.close()


def test_overload_slows_down_and_then_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the checkpointer does not come along, writes get 503 instead of filling the disk."""
    bench = Bench(tmp_path / "data", slow_segments=1, most_segments=3)
    monkeypatch.setattr(bench.workers, "folder", lambda directory, folded, free: Asleep())
    bench.open()
    bench.outcome(bench.storage.create(Create("s")))
    with pytest.raises(StorageUnavailable) as refusal:
        bench.fill(bytearray())
    assert refusal.value.retry_after > 0
    assert len(bench.content()) > 2 * SEGMENT
    bench.close()


class Asleep:
    """A folder that folds nothing."""

    trouble = None

    def fold(self, segment: int) -> None:
        pass

    def stop(self) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done


def _filled(directory: Path) -> Path:
    """A data directory on the real disk with some appends, closed; returns its newest journal segment."""
    bench = Bench(directory)
    bench.storage._make_files = OsFiles
    bench.open()
    bench.outcome(bench.storage.create(Create("s")))
    for number in range(20):
        bench.append(b"%03d" % number)
    bench.close()
    return max((directory / "journal").glob("*.journal"))


def _reopened(directory: Path) -> Bench:
    bench = Bench(directory, OsFiles(directory / "journal"))
    bench.open()
    return bench


def _flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


def _record_position(segment: Path) -> int:
    return segment.read_bytes().index(b"010")


@pytest.mark.parametrize(
    "damage",
    [
        lambda segment: _flip(segment, _record_position(segment)),
        lambda segment: _flip(segment, 10),
        lambda segment: os.truncate(segment, 200),
    ],
    ids=["a flipped byte", "a damaged header", "a truncated file"],
)
def test_a_damaged_journal_refuses_to_start(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """What was acknowledged cannot be read: the refusal names the file and the position."""
    segment = _filled(tmp_path / "data")
    damage(segment)
    with pytest.raises(StorageFailed, match=rf"{segment.name} at position \d+"):
        _reopened(tmp_path / "data")


def test_a_missing_journal_segment_refuses_to_start(tmp_path: Path) -> None:
    """A gap in the numbers is a loss, not an empty journal."""
    segment = _filled(tmp_path / "data")
    segment.rename(segment.with_name(f"{2:016d}.journal"))
    with pytest.raises(StorageFailed, match="is missing"):
        _reopened(tmp_path / "data")


def test_a_damaged_base_store_refuses_to_start(tmp_path: Path) -> None:
    """SQLite says that its file is no database: one clear line."""
    _filled(tmp_path / "data")
    (tmp_path / "data" / "base.sqlite").write_bytes(b"garbage" * 1000)
    for leftover in ("base.sqlite-wal", "base.sqlite-shm"):
        (tmp_path / "data" / leftover).unlink(missing_ok=True)
    with pytest.raises(StorageFailed, match="not a database"):
        _reopened(tmp_path / "data")


def test_a_base_store_from_the_future_refuses_to_start(tmp_path: Path) -> None:
    """An older program does not touch what a newer one has written."""
    _filled(tmp_path / "data")
    connection = sqlite3.connect(tmp_path / "data" / "base.sqlite")
    connection.execute("pragma user_version = 99")
    connection.close()
    with pytest.raises(StorageFailed, match="newer than this program"):
        _reopened(tmp_path / "data")


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """One data directory, one process; the refusal names the other."""
    first = DataDirectory(tmp_path / "data")
    first.open()
    with pytest.raises(StorageFailed, match=rf"in use by process {os.getpid()}"):
        DataDirectory(tmp_path / "data").open()
    first.close()
    second = DataDirectory(tmp_path / "data")
    second.open()
    second.close()


def test_another_format_is_refused(tmp_path: Path) -> None:
    """A directory of a later format, or one that is not ours at all, is left alone."""
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "letters.txt").write_text("private")
    with pytest.raises(StorageFailed, match="not a data directory"):
        DataDirectory(directory).open()
    (directory / "format").write_text("durable-streams 7\n")
    with pytest.raises(StorageFailed, match="durable-streams 7"):
        DataDirectory(directory).open()


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """One line with the reason; here the place is taken by a file, which not even root can write into."""
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StorageFailed, match="cannot be used"):
        DataDirectory(tmp_path / "data").open()


def test_a_clock_that_jumps_back_breaks_nothing(bench: Bench) -> None:
    """Ids still grow, so a re-created stream is another one; a sliding window is never cut short."""
    first = bench.outcome(bench.storage.create(Create("t", ttl=100))).stream
    bench.clock.rightNow -= 50_000
    second = bench.outcome(bench.storage.create(Create("u"))).stream
    assert second.stream_id > first.stream_id
    assert bench.outcome(bench.storage.describe("t")).stream_id == first.stream_id
    bench.append(b"x")
    assert bench.content() == b"x"
    bench.close()


def test_a_restart_expires_no_sliding_window_early(tmp_path: Path) -> None:
    """Accesses are kept with bounded staleness, and the bound is added after a restart."""
    bench = Bench(tmp_path / "data")
    bench.open()
    bench.outcome(bench.storage.create(Create("s", ttl=160)))
    for _ in range(30):
        bench.clock.advance(9)
        bench.content()
    bench.close()
    again = Bench(tmp_path / "data", bench.files)
    again.clock.rightNow = bench.clock.rightNow + 159
    again.open()
    assert again.outcome(again.storage.describe("s")).ttl == 160
    again.clock.advance(30)
    assert again.outcome(again.storage.expire()) == ["s"]
    again.close()
