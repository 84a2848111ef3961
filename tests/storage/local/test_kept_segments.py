"""Large records are never copied: their segments are kept as long as something in them is needed."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from durable_streams.errors import StorageFailed
from durable_streams.protocol.commands import Append, Create, Delete, ForkRequest
from durable_streams.protocol.retention import Retention
from durable_streams.storage.local import backup
from durable_streams.storage.local.base import FILE_NAME, BaseStore, connect
from durable_streams.storage.local.files import OsFiles
from durable_streams.storage.local.kept_segments import KeptSegments
from durable_streams.storage.local.runs import Runs
from durable_streams.storage.local.segment import segment_name
from durable_streams.storage.local.verification import faults, figures
from tests.storage.local.bench import Bench, on_disk

LARGE = 100_000
JSON = "application/json"


def _large(number: int) -> bytes:
    return bytes([number]) * LARGE


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A storage on the real disk, with the streams ``s``, ``t`` and ``filler``; nothing stays in memory."""
    bench = on_disk(tmp_path / "data", hot_bytes=0)
    for path in ("s", "t", "filler"):
        bench.outcome(bench.storage.create(Create(path)))
    return bench


def _folded(bench: Bench) -> None:
    """Fold all that is in the journal, by small appends that nobody keeps a segment for, and collect garbage."""
    before = bench.storage._journal.number
    while bench.storage._journal.number == before:
        bench.append(b"z" * 60_000, "filler")
    bench.clock.advance(1)


def _kept(directory: Path) -> list[int]:
    """The kept segments, whose files are there and alone with those that are not folded."""
    connection = connect(directory)
    base = BaseStore(connection, OsFiles(directory / "journal"))
    kept, folded = base.kept_segments.numbers(), base.folded_segment()
    connection.close()
    on_the_disk = {int(path.stem) for path in (directory / "journal").glob("*.journal")}
    assert {number for number in on_the_disk if number <= folded} == kept
    return sorted(kept)


def _one(directory: Path, query: str) -> Any:
    connection = sqlite3.connect(directory / FILE_NAME)
    found = connection.execute(query).fetchone()[0]
    connection.close()
    return found


def test_large_appends_stay_where_they_are_and_small_ones_are_folded(bench: Bench, tmp_path: Path) -> None:
    """Both are read back, also after a restart, and verification reads them all."""
    content = b""
    for number in range(5):
        bench.append(_large(number), "s")
        bench.append(b"small", "s")
        content += _large(number) + b"small"
    _folded(bench)
    assert _kept(tmp_path / "data") == [1]
    assert _one(tmp_path / "data", "select sum(length(bytes)) from data") < LARGE
    assert bench.content("s") == content
    found = figures(tmp_path / "data")
    assert (found.kept_segments, found.kept_bytes_needed) == (1, 5 * LARGE)
    bench.close()
    again = on_disk(tmp_path / "data", hot_bytes=0)
    assert again.content("s") == content
    again.append(b"!", "s")
    assert again.content("s") == content + b"!"
    again.close()
    assert list(faults(tmp_path / "data")) == []


def test_a_body_that_is_longer_than_a_run_is_read_in_parts(bench: Bench, tmp_path: Path) -> None:
    """Each part has its own checksum, so a read in the middle costs what it gives."""
    body = bytes(range(256)) * 12_000
    bench.append(body, "s")
    _folded(bench)
    _folded(bench)
    assert _one(tmp_path / "data", "select count(*) from runs where segment is not null") == 3
    assert bench.outcome(bench.storage.read("s", 2_000_000, 10)).data == body[2_000_000:2_000_010]
    assert bench.content("s") == body
    bench.close()


def test_a_segment_with_mostly_small_records_is_not_kept(bench: Bench, tmp_path: Path) -> None:
    """A large one in it is copied, and the file is used again."""
    bench.append(_large(1), "s")
    _folded(bench)
    assert _kept(tmp_path / "data") == []
    assert bench.content("s") == _large(1)
    bench.close()


def test_the_file_goes_with_the_last_stream_in_it(bench: Bench, tmp_path: Path) -> None:
    """Not before: half of a segment is enough to keep it."""
    bench.append(_large(9), "s")
    for number in range(4):
        bench.append(_large(number), "t")
    _folded(bench)
    bench.outcome(bench.storage.delete(Delete("s")))
    _folded(bench)
    assert _kept(tmp_path / "data") == [1]
    assert bench.content("t") == b"".join(map(_large, range(4)))
    bench.outcome(bench.storage.delete(Delete("t")))
    _folded(bench)
    assert _kept(tmp_path / "data") == []
    bench.close()
    assert list(faults(tmp_path / "data")) == []


def test_what_is_left_of_a_segment_leaves_it(bench: Bench, tmp_path: Path) -> None:
    """When less than half is needed, it is copied, and the file goes."""
    bench.append(_large(0), "t")
    for number in range(4):
        bench.append(_large(number), "s")
    _folded(bench)
    assert _kept(tmp_path / "data") == [1]
    bench.outcome(bench.storage.delete(Delete("s")))
    _folded(bench)
    assert _kept(tmp_path / "data") == []
    assert bench.content("t") == _large(0)
    bench.close()
    assert list(faults(tmp_path / "data")) == []


def test_retention_lets_files_go(bench: Bench, tmp_path: Path) -> None:
    """Also of JSON, whose messages have to be found in the large records."""
    bench.outcome(bench.storage.create(Create("j", JSON, retention=Retention(None, 5, None))))
    message = b'"' + b"x" * LARGE + b'"'
    for _ in range(2):
        for _ in range(5):
            bench.outcome(bench.storage.append(Append("j", message, JSON)))
        _folded(bench)
    _folded(bench)
    assert _kept(tmp_path / "data") == [2]
    earliest = bench.outcome(bench.storage.describe("j")).earliest
    assert bench.outcome(bench.storage.read("j", earliest, 10**6)).data == 5 * (message + b"\x1e")
    bench.close()
    assert list(faults(tmp_path / "data")) == []


def test_a_fork_keeps_what_it_inherits(bench: Bench, tmp_path: Path) -> None:
    """Although the source has been deleted."""
    for number in range(5):
        bench.append(_large(number), "s")
    _folded(bench)
    bench.outcome(bench.storage.create(Create("fork", fork=ForkRequest("s", 3 * LARGE))))
    bench.outcome(bench.storage.delete(Delete("s")))
    _folded(bench)
    assert bench.content("fork") == _large(0) + _large(1) + _large(2)
    bench.outcome(bench.storage.delete(Delete("fork")))
    _folded(bench)
    assert _kept(tmp_path / "data") == []
    bench.close()


@pytest.mark.parametrize("damage", ["changed", "cut", "missing"])
def test_damage_is_named_and_everything_else_is_served(bench: Bench, tmp_path: Path, damage: str) -> None:
    """By reads, with file and position, and by verification; never silently."""
    for number in range(5):
        bench.append(_large(number), "s")
    _folded(bench)
    file = tmp_path / "data" / "journal" / segment_name(1)
    if damage == "changed":
        content = bytearray(file.read_bytes())
        content[3 * LARGE] ^= 1
        file.write_bytes(content)
    elif damage == "cut":
        with open(file, "r+b") as opened:
            opened.truncate(3 * LARGE)
    else:
        file.unlink()
    with pytest.raises(StorageFailed, match=rf"in journal file {segment_name(1)} at position \d+"):
        bench.content("s")
    bench.append(b"!", "t")
    assert bench.content("t") == b"!"
    bench.close()
    assert any(segment_name(1) in fault for fault in faults(tmp_path / "data"))


def test_what_cannot_be_read_is_left_where_it_is(bench: Bench, tmp_path: Path) -> None:
    """It is not copied out of its segment with a good checksum, and keeps nothing from being folded."""
    bench.append(_large(0), "t")
    for number in range(4):
        bench.append(_large(number), "s")
    _folded(bench)
    file = tmp_path / "data" / "journal" / segment_name(1)
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)
    bench.outcome(bench.storage.delete(Delete("s")))
    _folded(bench)
    assert _kept(tmp_path / "data") == [1]
    with pytest.raises(StorageFailed, match="wrong checksum"):
        bench.content("t")
    bench.outcome(bench.storage.delete(Delete("t")))
    _folded(bench)
    assert _kept(tmp_path / "data") == []
    bench.close()


def test_a_start_removes_what_nothing_refers_to(bench: Bench, tmp_path: Path) -> None:
    """As after a kill between the commit that needed a file no more and its removal."""
    for number in range(5):
        bench.append(_large(number), "s")
    _folded(bench)
    bench.close()
    leftover = tmp_path / "data" / "journal" / segment_name(1)
    connection = sqlite3.connect(tmp_path / "data" / FILE_NAME)
    connection.executescript("delete from kept_segments; delete from runs where segment is not null;")
    connection.close()
    assert leftover.exists()
    again = on_disk(tmp_path / "data")
    assert not leftover.exists()
    again.close()


def test_a_reader_finds_what_has_moved_while_it_read(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpointer copies a run out of its segment, and the file goes, between two looks of a reader."""
    bench.append(_large(7), "t")
    for number in range(4):
        bench.append(_large(number), "s")
    _folded(bench)
    read = KeptSegments.read
    moved: list[int] = []

    def late(self: KeptSegments, segment: int, position: int, length: int) -> bytes:
        if not moved:
            moved.append(segment)
            connection = connect(tmp_path / "data")
            Runs(connection, KeptSegments(connection, OsFiles(tmp_path / "data" / "journal"))).leave(segment, 10)
            connection.close()
            (tmp_path / "data" / "journal" / segment_name(segment)).unlink()
        return read(self, segment, position, length)

    monkeypatch.setattr(KeptSegments, "read", late)
    assert bench.content("t") == _large(7)
    assert moved == [1]
    bench.close()


def test_what_is_read_ahead_is_read_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that goes on finds the next large appends in memory, however many there are."""
    for number in range(40):
        bench.append(_large(number), "s")
    _folded(bench)
    read = KeptSegments.read
    reads: list[int] = []

    def counted(self: KeptSegments, segment: int, position: int, length: int) -> bytes:
        reads.append(segment)
        return read(self, segment, position, length)

    monkeypatch.setattr(KeptSegments, "read", counted)
    content = b""
    while len(content) < 40 * LARGE:
        content += bench.outcome(bench.storage.read("s", len(content), LARGE)).data
    assert content == b"".join(map(_large, range(40)))
    assert len(reads) <= 40
    bench.close()


def _restored(tmp_path: Path) -> Bench:
    assert list(faults(tmp_path / "copy")) == []
    backup.restore(tmp_path / "copy", tmp_path / "restored")
    return on_disk(tmp_path / "restored", hot_bytes=0)


def test_a_backup_has_the_kept_segments(bench: Bench, tmp_path: Path) -> None:
    """Those that the copy of the base store needs, and no others."""
    content = b"".join(map(_large, range(12)))
    for number in range(12):
        bench.append(_large(number), "s")
    _folded(bench)
    backup.back_up(tmp_path / "data", tmp_path / "copy")
    bench.close()
    restored = _restored(tmp_path)
    assert restored.content("s") == content
    restored.close()


def test_a_backup_whose_segments_are_folded_or_go_meanwhile_is_whole(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The active segment is copied in part and then kept; another kept one goes after the base store was copied."""
    copy_base = backup._copy_base
    for number in range(5):
        bench.append(_large(number), "s")
    _folded(bench)
    bench.append(_large(0), "t")
    steps = iter(("fill", "delete"))

    def busy(source: Path, destination: Path) -> None:
        step = next(steps, "nothing")
        if step == "fill":
            for number in range(1, 12):
                bench.append(_large(number), "t")
            _folded(bench)
        copy_base(source, destination)
        if step == "fill":
            bench.outcome(bench.storage.delete(Delete("s")))
            _folded(bench)

    monkeypatch.setattr(backup, "_copy_base", busy)
    backup.back_up(tmp_path / "data", tmp_path / "copy")
    bench.close()
    restored = _restored(tmp_path)
    assert restored.content("t") == b"".join(map(_large, range(12)))
    assert _kept(tmp_path / "restored") == _kept(tmp_path / "data")
    restored.close()


def test_a_backup_of_damage_is_refused(bench: Bench, tmp_path: Path) -> None:
    """A kept segment that is missing for good is named."""
    for number in range(5):
        bench.append(_large(number), "s")
    _folded(bench)
    (tmp_path / "data" / "journal" / segment_name(1)).unlink()
    with pytest.raises(StorageFailed, match=f"{segment_name(1)} is missing"):
        backup.back_up(tmp_path / "data", tmp_path / "copy")
    bench.close()


DAMAGES = {
    "update kept_segments set needed = needed + 1": "bytes that are needed",
    "delete from kept_segments": "it is not known, and has runs",
    "update runs set position = (select min(position) from runs) where segment is not null": "more than one run",
    "update kept_segments set segment = 77": "it has not been folded",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=DAMAGES.values())
def test_what_does_not_fit_is_named(bench: Bench, tmp_path: Path, damage: str) -> None:
    """Between the base store's runs and the segments that are kept for them."""
    for number in range(5):
        bench.append(_large(number), "s")
    _folded(bench)
    bench.close()
    connection = sqlite3.connect(tmp_path / "data" / FILE_NAME)
    assert connection.execute(damage).rowcount > 0
    connection.commit()
    connection.close()
    assert any(DAMAGES[damage] in fault for fault in faults(tmp_path / "data"))
