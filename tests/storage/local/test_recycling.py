"""The file of a folded segment becomes a segment again, and nothing of what it was comes back to life."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from durable_streams.protocol.commands import Create, Delete
from durable_streams.storage.local import segment
from durable_streams.storage.local.journal import MOST_RETIRED, Journal
from durable_streams.storage.local.segment import HEADER_LENGTH, SegmentReader, SegmentWriter, header, segment_name
from tests.storage.local.bench import SEGMENT, Bench
from tests.storage.local.lossy_files import LossyFile, LossyFiles, SimulatedCrash

FATES = range(4)
PIECE = b"z" * 50_000


def _opened(directory: Path, files: LossyFiles | None = None) -> Bench:
    bench = Bench(directory, files)
    bench.open()
    return bench


def _file(bench: Bench, number: int) -> LossyFile:
    file: LossyFile = bench.files._names[segment_name(number)]
    return file


def _with_recycled_segment(directory: Path) -> tuple[Bench, int]:
    """A storage that writes into the file of a folded segment with like batches, and how many pieces ``s`` has."""
    bench = _opened(directory)
    bench.outcome(bench.storage.create(Create("s")))
    used: list[LossyFile] = []
    pieces = 0
    while True:
        active = _file(bench, bench.storage._journal.number)
        if active in used[1:-1]:
            return bench, pieces
        if active not in used:
            used.append(active)
        bench.append(PIECE)
        pieces += 1


def test_the_file_of_a_folded_segment_is_used_again(tmp_path: Path) -> None:
    """However long that goes on, no more files are there than the active one, the spare and those that wait."""
    bench, _ = _with_recycled_segment(tmp_path)
    for _ in range(6):
        bench.roll("s")
        assert len(bench.files.names()) <= 2 + MOST_RETIRED
    bench.close()


def test_the_first_segment_of_a_start_has_been_written_all_over(tmp_path: Path) -> None:
    """So that its syncs are as fast as those of a file that is used again."""
    written: list[tuple[int, int]] = []

    class Recorded(LossyFile):
        def write(self, position: int, data: bytes) -> None:
            written.append((position, position + len(data)))
            super().write(position, data)

    class RecordedFiles(LossyFiles):
        def allocate(self, name: str, size: int) -> LossyFile:
            file = super().allocate(name, size)
            file.__class__ = Recorded
            return file

    Journal(RecordedFiles(), 0, 10_000)
    assert [start for start, _ in written[1:]] == [stop for _, stop in written[:-1]]
    assert (written[0][0], written[-1][1]) == (0, 10_000)


def test_what_an_old_segment_left_where_the_next_batch_would_be_is_no_batch(tmp_path: Path) -> None:
    """All batches are of one length, so the old ones lie exactly where the new ones would, with the same numbers."""
    bench, pieces = _with_recycled_segment(tmp_path)
    number = bench.storage._journal.number
    content = bytes(_file(bench, number).current)
    assert content[bench.storage._journal._position :].startswith(b"DSBATCH\0")
    bench.end()
    again = _opened(tmp_path, bench.files)
    assert again.content() == pieces * PIECE
    again.append(b"!")
    assert again.content() == pieces * PIECE + b"!"
    again.close()


@pytest.mark.parametrize("fate", FATES)
def test_a_crash_at_any_step_of_recycling_loses_nothing(tmp_path: Path, fate: int) -> None:
    """Renaming, the new header, its sync, the roll into it, the first batch: what was acknowledged is found."""
    for fuse in range(60):
        bench, pieces = _with_recycled_segment(tmp_path / str(fuse))
        bench.files.fuse = fuse
        with suppress(SimulatedCrash):
            while True:
                bench.append(PIECE)
                pieces += 1
        bench.end()
        bench.files.crash(Random(fate))
        again = _opened(tmp_path / str(fuse), bench.files)
        assert again.content() in (pieces * PIECE, (pieces + 1) * PIECE)
        again.close()


def test_the_file_of_a_larger_segment_is_removed(tmp_path: Path) -> None:
    """Only files of the usual size are used again."""
    bench = _opened(tmp_path)
    for path in ("s", "filler"):
        bench.outcome(bench.storage.create(Create(path)))
    bench.append(b"x" * 2 * SEGMENT)
    large = bench.storage._journal.number
    assert bench.files.size(segment_name(large)) > SEGMENT
    bench.outcome(bench.storage.delete(Delete("s")))
    bench.roll("filler")
    bench.clock.advance(1)
    assert all(bench.files.size(name) == SEGMENT for name in bench.files.names())
    bench.close()


def test_a_start_removes_the_files_that_waited_to_be_used_again(tmp_path: Path) -> None:
    """They are of no use to it, and would be there for ever."""
    bench, _ = _with_recycled_segment(tmp_path)
    bench.clock.advance(1)
    bench.end()
    waiting = {name for name in bench.files.names() if name.startswith("spare-used")}
    assert waiting
    again = _opened(tmp_path, bench.files)
    assert waiting.isdisjoint(again.files.names())
    again.close()


def test_a_client_cannot_make_up_a_batch() -> None:
    """Bytes behind the end of the batches that would be a batch, if a client knew the segment's random number."""
    writer = SegmentWriter(7, salt=0, batches=3)
    records = b"".join(writer.records([b""]))
    made_up = writer.batch_header(writer.next_number(), len(records)) + records
    reader = SegmentReader(7, header(7, HEADER_LENGTH, salt=1) + bytes(24) + made_up)
    assert list(reader.events()) == []
    assert reader.end == HEADER_LENGTH


def test_a_journal_of_the_version_before_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its segments have no random number; those that follow have one."""
    monkeypatch.setattr(segment, "_MAGIC", b"DSJRNL01")
    monkeypatch.setattr("secrets.randbits", lambda bits: 0)
    bench = _opened(tmp_path)
    bench.outcome(bench.storage.create(Create("s", body=b"old")))
    bench.end()
    monkeypatch.undo()
    again = _opened(tmp_path, bench.files)
    again.append(b" and new")
    assert again.content() == b"old and new"
    assert _file(again, again.storage._journal.number).current.startswith(b"DSJRNL02")
    again.close()
