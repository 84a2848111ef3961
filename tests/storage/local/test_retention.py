"""Retention on the local disk: it survives restarts, and room comes back."""

from __future__ import annotations

import sqlite3
from itertools import accumulate
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from durable_streams.errors import OffsetTrimmed
from durable_streams.interfaces import IStorage
from durable_streams.protocol.offsets import EARLIEST
from durable_streams.protocol.retention import Retention
from durable_streams.protocol.rising_numbers import RisingNumbers
from durable_streams.storage.local.base import FILE_NAME
from durable_streams.storage.local.directory import JOURNAL, DataDirectory
from durable_streams.storage.local.files import OsFiles
from durable_streams.storage.local.settings import LocalSettings
from durable_streams.storage.local.storage import LocalStorage
from durable_streams.storage.local.verification import faults
from durable_streams.testing.storage_driver import StorageDriver
from tests.short_chunks import short_chunks
from tests.storage.local.simulated_workers import ClockWorkers

SEGMENT = 300_000


class TestRetentionOnDisk(StorageDriver):
    """Segments are small, nothing stays in memory that need not."""

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "data"

    def make_storage(self, clock: Clock) -> IStorage:
        made = DataDirectory(self.directory)
        made.open()
        made.close()
        files = OsFiles(self.directory / JOURNAL)
        settings = LocalSettings(segment_bytes=SEGMENT, hot_bytes=0)
        return LocalStorage(self.directory, clock, ClockWorkers(clock, files), settings)

    def settle(self) -> None:
        self.clock.advance(0.001)

    def restart(self) -> None:
        self.outcome(self.storage.close())
        self.storage = self.make_storage(self.clock)
        self.outcome(self.storage.open())

    def fold(self) -> None:
        """Fill journal segments with another stream until all before is folded, and garbage collected."""
        filler = f"filler {self.clock.seconds()}"
        self.create(filler, expires_at=self.clock.seconds() + 10**9)
        for _ in range(4):
            self.append(filler, bytes(SEGMENT // 2))
        for _ in range(10):
            self.settle()
        self.delete(filler)

    def sweep(self) -> None:
        """Sweep what is in memory, and what is not: that comes into memory first."""
        for _ in range(3):
            self.outcome(self.storage.expire())
            self.clock.advance(5)
        for _ in range(5):
            self.settle()

    def on_disk(self, path: str) -> list[tuple[int, int]]:
        """Where the runs of a stream in the base store begin and end."""
        connection = sqlite3.connect(self.directory / FILE_NAME)
        query = "select start, start + length from runs join streams using (stream_id) where path = ? order by start"
        spans = connection.execute(query, (path,)).fetchall()
        connection.close()
        return spans

    def check_sound(self) -> None:
        """Nothing is wrong with the directory, before and after another start."""
        for _ in range(2):
            self.outcome(self.storage.close())
            assert list(faults(self.directory)) == []
            self.storage = self.make_storage(self.clock)
            self.outcome(self.storage.open())

    # --- restarts

    @pytest.mark.parametrize("is_folded", [False, True])
    @pytest.mark.parametrize(
        ("policy", "kept", "kept_later"),
        [
            (Retention(max_messages=5), b"34567", b"45678"),
            (Retention(max_bytes=3), b"567", b"678"),
            (Retention(max_age=6), b"234567", b"5678"),
            (Retention(max_age=100), b"01234567", b"012345678"),
        ],
    )
    def test_a_restart_changes_nothing(
        self, policy: Retention, kept: bytes, kept_later: bytes, is_folded: bool
    ) -> None:
        """The policy, where the stream begins, and what goes next: from the journal, and from the base store."""
        self.create("s", retention=policy)
        for number in range(8):
            self.append("s", b"%d" % number)
            self.clock.advance(1)
        self.clock.advance(-0.5)
        if is_folded:
            self.fold()
        before = self.describe("s")
        self.restart()
        assert (self.describe("s"), self.content("s")) == (before, kept)
        self.clock.advance(3)
        self.append("s", b"8")
        assert self.content("s") == kept_later
        self.check_sound()
        assert self.content("s") == kept_later

    def test_boundaries_of_many_messages_come_back(self) -> None:
        """In several chunks, of which the first ones go."""
        self.create("s", content_type="application/json", retention=Retention(max_messages=1000))
        for first in range(0, 3000, 100):
            self.append("s", b"[%b]" % b",".join(b"%d" % number for number in range(first, first + 100)))
            if first % 700 == 0:
                self.fold()
                self.restart()
        assert self.content("s") == b"".join(b"%d\x1e" % number for number in range(2000, 3000))
        self.append("s", b"[3000,3001]")
        self.fold()
        assert self.content("s").startswith(b"2002\x1e")
        self.check_sound()

    def test_a_restart_in_the_middle_of_a_chunk_keeps_limits_exact(self) -> None:
        """Of messages and of bytes, with appends of many lengths, some folded, and some in the journal alone."""
        lengths = [number * 7 % 9 + 1 for number in range(300)]
        with short_chunks(16):
            self.create("s", retention=Retention(max_messages=100))
            self.create("t", retention=Retention(max_bytes=400))
            for number, length in enumerate(lengths, 1):
                self.append("s", b"x" * length)
                self.append("t", b"x" * length)
                if number in (70, 137, 200, 201):
                    self.fold()
                if number in (30, 90, 150, 200, 210, 214):
                    self.restart()
                kept = lengths[max(0, number - 100) : number]
                assert (number, len(self.content("s"))) == (number, sum(kept))
                sums = accumulate(reversed(lengths[:number]))
                assert (number, len(self.content("t"))) == (number, max(kept for kept in sums if kept <= 400))
            self.check_sound()

    def test_boundaries_that_cannot_be_read_are_a_fault(self) -> None:
        self.create("s", retention=Retention(max_messages=2))
        self.append("s", b"a")
        self.fold()
        self.outcome(self.storage.close())
        with sqlite3.connect(self.directory / FILE_NAME) as connection:
            connection.execute("update boundaries set ends = x'00'")
        connection.close()
        assert any("where the messages of s end cannot be read" in fault for fault in faults(self.directory))
        self.storage = self.make_storage(self.clock)
        self.outcome(self.storage.open())

    # --- room

    def test_what_is_known_of_messages_counts_as_memory(self) -> None:
        """While the stream is in memory; when it goes, nothing is left."""
        assert isinstance(self.storage, LocalStorage)
        residents = self.storage._residents
        self.create("s", retention=Retention(max_messages=10_000))
        before = residents.bytes
        for _ in range(1000):
            self.append("s", b"x")
        assert residents.bytes - before >= 1000 + 8 * 1000
        assert residents.bytes == sum(1024 + hot.boundaries_size + len(hot.log) for hot in residents.hot.values())
        self.fold()
        assert (len(residents.hot), residents.bytes) == (0, 0)
        assert self.content("s") == b"x" * 1000
        self.append("s", b"x")
        assert residents.bytes >= 1024 + 8 * (1001 % RisingNumbers.CHUNK)
        self.delete("s")
        assert (len(residents.hot), residents.bytes) == (0, 0)

    def test_room_comes_back_from_the_base_store(self) -> None:
        """However often the stream is written over, its runs stay within twice what is kept."""
        self.create("s", retention=Retention(max_bytes=400_000))
        for number in range(60):
            self.append("s", bytes([number]) * 100_000)
        self.fold()
        spans = self.on_disk("s")
        assert spans[-1][1] == 6_000_000
        assert sum(end - start for start, end in spans) <= 800_000
        assert self.content("s") == b"".join(bytes([number]) * 100_000 for number in range(56, 60))
        self.check_sound()

    def test_a_run_is_shortened_when_most_of_it_is_dropped(self) -> None:
        self.create("s", retention=Retention(max_messages=10))
        for _ in range(10):
            self.append("s", bytes(1000))
        self.fold()
        assert self.on_disk("s") == [(0, 10_000)]
        for _ in range(9):
            self.append("s", bytes(10))
        self.fold()
        assert self.on_disk("s") == [(9_000, 10_000), (10_000, 10_090)]
        self.check_sound()

    def test_what_is_too_old_leaves_the_disk_though_nobody_looks(self) -> None:
        """Streams that nobody touches are swept where they are, in the base store."""
        for number in range(5):
            self.create(f"s{number}", retention=Retention(max_age=100), body=bytes(10_000))
        self.fold()
        self.restart()
        assert [self.on_disk(f"s{number}") for number in range(5)] == [[(0, 10_000)]] * 5
        self.clock.advance(200)
        self.sweep()
        self.fold()
        assert [self.on_disk(f"s{number}") for number in range(5)] == [[]] * 5
        found = self.read("s0", EARLIEST)
        assert (found.start, found.data) == (10_000, b"")
        self.check_sound()

    def test_what_was_dropped_before_it_was_folded_is_never_written(self) -> None:
        self.create("s", retention=Retention(max_messages=1))
        for _ in range(50):
            self.append("s", bytes(2000))
        self.fold()
        assert self.on_disk("s") == [(98_000, 100_000)]

    def test_memory_comes_back_before_anything_is_folded(self) -> None:
        self.create("s", retention=Retention(max_messages=1))
        for _ in range(50):
            self.append("s", bytes(2000))
        assert isinstance(self.storage, LocalStorage)
        assert self.storage._residents.bytes < 10_000

    # --- forks

    def test_what_a_fork_has_inherited_stays_and_what_lies_between_goes(self) -> None:
        self.create("s", retention=Retention(max_messages=2), body=bytes(1000))
        self.append("s", b"a" * 1000)
        self.fork("f", "s")
        for letter in (b"b", b"c", b"d", b"e", b"f"):
            self.append("s", letter * 300_000)
            self.fold()
        assert self.content("f") == bytes(1000) + b"a" * 1000
        assert self.content("s") == b"e" * 300_000 + b"f" * 300_000
        spans = self.on_disk("s")
        assert spans[0] == (0, 2000)
        assert sum(end - start for start, end in spans[1:]) <= 2 * 600_000
        self.check_sound()
        assert self.content("f") == bytes(1000) + b"a" * 1000
        self.delete("f")
        self.fold()
        assert self.on_disk("s")[0][0] > 2000
        self.check_sound()
        with pytest.raises(OffsetTrimmed):
            self.read("s", 0)

    def test_a_fork_keeps_what_only_the_journal_had(self) -> None:
        """The source drops it before it is folded; the fork has it all the same, also after a restart."""
        self.create("s", retention=Retention(max_messages=1), body=b"inherited")
        self.fork("f", "s")
        self.append("s", b"x" * 5000)
        for again in (lambda: None, self.restart, self.fold, self.restart):
            again()
            assert (self.content("f"), self.content("s")) == (b"inherited", b"x" * 5000)
        self.check_sound()

    # --- older directories

    def test_a_directory_of_the_first_schema_is_migrated(self) -> None:
        """Its streams and forks keep everything, and new ones may have a policy."""
        self.create("s", body=b"abc")
        self.fork("f", "s", 2, body=b"!")
        self.fold()
        self.outcome(self.storage.close())
        connection = sqlite3.connect(self.directory / FILE_NAME)
        connection.executescript(
            "drop index streams_by_trim; drop table boundaries; drop table trimmed; drop index runs_in_segments; "
            "drop table kept_segments; pragma user_version = 1;"
        )
        for column in ("earliest", "lent_from", "lent_to", "retention", "trim_at"):
            connection.execute(f"alter table streams drop column {column}")
        for column in ("checksum", "segment", "position", "seed"):
            connection.execute(f"alter table runs drop column {column}")
        connection.close()
        self.storage = self.make_storage(self.clock)
        self.outcome(self.storage.open())
        assert (self.content("s"), self.content("f")) == (b"abc", b"ab!")
        self.create("new", retention=Retention(max_messages=1), body=b"1")
        self.append("new", b"2")
        self.fold()
        assert self.content("new") == b"2"
        self.check_sound()

    # --- verification

    @pytest.mark.parametrize(
        ("damage", "said"),
        [
            ("update streams set earliest = 99 where path = 's'", "it begins at 99, behind its tail 8"),
            ("delete from boundaries", "its messages end at"),
            (
                "update runs set start = start + 1 where stream_id = (select stream_id from streams where path = 's')",
                "s",
            ),
            ("delete from runs where stream_id = (select stream_id from streams where path = 's')", "its bytes end at"),
        ],
    )
    def test_faults_are_named(self, damage: str, said: str) -> None:
        self.create("s", retention=Retention(max_messages=2))
        for number in range(8):
            self.append("s", b"%d" % number)
        self.fold()
        self.outcome(self.storage.close())
        connection = sqlite3.connect(self.directory / FILE_NAME)
        connection.execute(damage)
        connection.commit()
        connection.close()
        assert any("stream s: " in fault and said in fault for fault in faults(self.directory))
        self.storage = self.make_storage(self.clock)
        self.outcome(self.storage.open())

    def test_the_file_becomes_smaller(self) -> None:
        """Pages that were used by what is dropped go back to the file system, but for some that are used again."""
        self.create("s", retention=Retention(max_age=100))
        for _ in range(700):
            self.append("s", bytes(60_000))
        self.fold()
        file = self.directory / FILE_NAME
        size = file.stat().st_size
        assert size > 40_000_000
        self.clock.advance(200)
        self.sweep()
        self.fold()
        self.outcome(self.storage.close())
        assert file.stat().st_size < size / 2
        assert list(faults(self.directory)) == []
        self.storage = self.make_storage(self.clock)
        self.outcome(self.storage.open())
