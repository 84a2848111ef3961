"""The bytes in the base store: what is read is what was written, or it is refused."""

from __future__ import annotations

import sqlite3
from importlib.resources import files
from pathlib import Path
from random import Random

import pytest

from durable_streams.errors import StorageFailed
from durable_streams.protocol.commands import Create
from durable_streams.storage.local import base
from durable_streams.storage.local.base import BaseStore, connect
from durable_streams.storage.local.kept_segments import KeptSegments
from durable_streams.storage.local.migration import migrate
from durable_streams.storage.local.runs import LARGEST_RUN, BaseDamaged, Run, Runs
from tests.storage.local.bench import Bench
from tests.storage.local.lossy_files import LossyFiles


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    connection = connect(tmp_path)
    migrate(connection)
    connection.execute("begin")
    return Runs(connection, KeptSegments(connection, LossyFiles()))


def _write(connection: sqlite3.Connection, statement: str) -> None:
    assert connection.execute(statement).rowcount > 0


def test_bytes_are_read_back_from_any_position(runs: Runs) -> None:
    """However they were cut and joined, and also while they still grow."""
    random = Random(1)
    written = b""
    for _ in range(60):
        part = random.randbytes(random.choice((1, 100, 5000, 300_000)))
        runs.add(7, len(written), part)
        written += part
        start = random.randrange(len(written))
        stop = start + random.choice((1, 1000, 2_000_000))
        assert runs.read(7, start, stop) == written[start:stop]


def test_small_additions_become_few_runs(runs: Runs) -> None:
    """Ten thousand of them: reading them back must not cost ten thousand rows."""
    for number in range(10_000):
        runs.add(1, number * 100, b"x" * 100)
    assert runs._connection.execute("select count(*) from runs").fetchone()[0] < 30


def test_a_read_ends_before_a_gap(runs: Runs) -> None:
    """As when the first runs of a deleted stream are gone: other bytes are never given for those asked for."""
    for first in range(0, 3 * LARGEST_RUN, LARGEST_RUN):
        runs.add(1, first, b"x" * LARGEST_RUN)
    _write(runs._connection, f"delete from runs where start = {LARGEST_RUN}")
    assert len(runs.read(1, 0, 3 * LARGEST_RUN)) == LARGEST_RUN
    assert runs.read(1, LARGEST_RUN, 3 * LARGEST_RUN) == b""
    assert len(runs.read(1, 2 * LARGEST_RUN, 3 * LARGEST_RUN)) == LARGEST_RUN


def test_a_read_costs_what_it_gives_however_long_the_stream_is(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thirty runs, only those are fetched in which the bytes lie."""
    for number in range(30):
        runs.add(1, number * LARGEST_RUN, bytes([number]) * LARGEST_RUN)
    fetched: list[int] = []
    checked = Runs._checked

    def counted(self: Runs, stream_id: int, run: Run) -> bytes:
        fetched.append(run.start)
        return checked(self, stream_id, run)

    monkeypatch.setattr(Runs, "_checked", counted)
    assert runs.read(1, 20 * LARGEST_RUN + 5, 20 * LARGEST_RUN + 105) == bytes([20]) * 100
    assert fetched == [20 * LARGEST_RUN]


@pytest.mark.parametrize(
    "damage",
    ["update data set bytes = zeroblob(5)", "update data set bytes = x'00'", "delete from data"],
    ids=["changed", "cut", "missing"],
)
def test_damaged_bytes_are_refused(runs: Runs, damage: str) -> None:
    """By a read, and by the folding that would join them with new ones and give them a good checksum."""
    runs.add(1, 0, b"hello")
    _write(runs._connection, damage)
    with pytest.raises(BaseDamaged, match="the run of stream 1 at 0"):
        runs.read(1, 0, 5)
    with pytest.raises(BaseDamaged, match="the run of stream 1 at 0"):
        runs.add(1, 5, b" world")
    assert len(runs.faults()) == 1


def test_a_reader_of_damaged_bytes_is_told_and_others_go_on(tmp_path: Path) -> None:
    """503 for what is damaged; the bytes around it, other streams and writes are served."""
    bench = Bench(tmp_path, hot_bytes=0)
    bench.open()
    for path in ("s", "t", "filler"):
        bench.outcome(bench.storage.create(Create(path, body=path.encode() * 10)))
    bench.roll()
    bench.clock.advance(0.1)
    connection = connect(tmp_path)
    _write(connection, "update data set bytes = zeroblob(10) where bytes = x'73737373737373737373'")
    connection.close()
    with pytest.raises(StorageFailed, match="wrong checksum"):
        bench.content("s")
    assert bench.content("t") == b"t" * 10
    bench.append(b"more", "s")
    assert bench.outcome(bench.storage.read("s", 10, 100)).data == b"more"
    bench.close()


def test_removing_many_bytes_writes_few(tmp_path: Path) -> None:
    """Else a long stream that is deleted keeps the disk busy, and all who append wait for it."""
    connection = connect(tmp_path)
    migrate(connection)
    runs = Runs(connection, KeptSegments(connection, LossyFiles()))
    for first in range(0, 32 * LARGEST_RUN, LARGEST_RUN):
        runs.add(1, first, b"x" * LARGEST_RUN)
    connection.execute("pragma wal_checkpoint(truncate)")
    assert runs.remove_some(1, 100) == 32
    assert (tmp_path / f"{base.FILE_NAME}-wal").stat().st_size < LARGEST_RUN
    connection.close()


def test_a_base_store_of_the_first_version_is_migrated(tmp_path: Path) -> None:
    """Its runs have no checksums and are read as they are; those that come have them."""
    connection = connect(tmp_path)
    script = (files(base.__package__ or "") / "schema" / "0001.sql").read_text()
    connection.executescript(f"{script} pragma user_version = 1;")
    connection.execute("insert into data values (1, x'616263')")
    connection.execute("insert into runs values (5, 0, 3, 1)")
    migrate(connection)
    migrate(connection)
    store = BaseStore(connection, LossyFiles())
    assert store.runs.read(5, 0, 3) == b"abc"
    store.runs.add(5, 3, b"d" * 10)
    assert store.runs.read(5, 0, 13) == b"abc" + b"d" * 10
    assert connection.execute("select count(*) from runs where checksum is null").fetchone() == (0,)
    connection.close()
