"""What ``durable-streams-admin verify`` finds: every checksum, and everything that must hold between the parts."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from durable_streams.protocol.commands import Append, Create, Delete, ForkRequest
from durable_streams.protocol.producers import ProducerClaim
from durable_streams.storage.local.base import FILE_NAME
from durable_streams.storage.local.files import OsFiles
from durable_streams.storage.local.verification import faults, figures
from tests.storage.local.bench import on_disk


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a fork of a deleted stream and a producer, folded, and a journal."""
    bench = on_disk(tmp_path / "data")
    for path in ("source", "other", "filler"):
        bench.outcome(bench.storage.create(Create(path, body=b"abc")))
    bench.outcome(bench.storage.create(Create("fork", fork=ForkRequest("source", 2), body=b"!")))
    bench.outcome(bench.storage.append(Append("fork", b"x", producer=ProducerClaim("p", 0, 0))))
    bench.outcome(bench.storage.delete(Delete("source")))
    bench.roll()
    bench.clock.advance(1)
    bench.append(b"unfolded", "fork")
    bench.close()
    return tmp_path / "data"


def test_a_sound_directory_has_no_faults(data: Path) -> None:
    """Nothing is reported that is as it must be."""
    assert list(faults(data)) == []


DAMAGES = {
    "update data set bytes = x'ffffff' where bytes = x'616263'": "wrong checksum",
    "update runs set length = length + 1": "bytes",
    "delete from runs where stream_id = (select stream_id from streams where path = 'fork')": "its bytes end at",
    "update runs set start = start + 1 where stream_id = (select stream_id from streams where path = 'fork')": "fork",
    "update streams set tail = tail + 1 where path = 'filler'": "filler",
    "update streams set forks = 2 where path = 'source'": "counts 2 forks",
    "delete from streams where path = 'source'": "which is not there",
    "delete from streams where path = 'filler'": "it is not there, and has runs",
    "insert into producers values (7, 'p', 0, 0)": "it is not there, and has producers",
    "insert into boundaries values (7, 0, x'00', null)": "it is not there, and has boundaries",
    "insert into data (bytes) values (x'00')": "belong to no run",
    "update runs set data_id = (select max(data_id) from runs)": "belong to more than one run",
    "update streams set soft_deleted = 1 where path = 'fork'": "no fork needs it",
    "update progress set last_stream_id = 5": "higher than the last one given away",
    "insert into garbage select stream_id from streams where path = 'fork'": "its bytes are to be removed",
    "update progress set folded_segment = 7": "0000000000000008.journal is missing",
    "update streams set fork = x'00' where path = 'fork'": "base.sqlite",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=DAMAGES.values())
def test_what_does_not_fit_in_the_base_store_is_named(data: Path, damage: str) -> None:
    """Each table, and what it says of the others."""
    connection = sqlite3.connect(data / FILE_NAME)
    assert connection.execute(damage).rowcount > 0
    connection.commit()
    connection.close()
    assert any(DAMAGES[damage] in fault for fault in faults(data)), list(faults(data))


def test_a_journal_that_does_not_fit_is_named(data: Path) -> None:
    """A flipped byte, a missing segment, and one that ends too early although another follows it."""
    newest = max((data / "journal").glob("*.journal"))
    content = newest.read_bytes()
    damaged = bytearray(content)
    damaged[content.index(b"unfolded")] ^= 1
    newest.write_bytes(damaged)
    assert any(newest.name in fault and "position" in fault for fault in faults(data))
    newest.write_bytes(content)
    number = int(newest.stem)
    later = newest.with_name(f"{number + 1:016d}.journal")
    later.write_bytes(content)
    assert any("its header says" in fault for fault in faults(data))
    newest.rename(later)
    assert any("is missing" in fault for fault in faults(data))
    later.unlink()
    assert any("is missing" in fault for fault in faults(data))


def test_figures_beside_a_service_that_removes_segments(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What vanishes while it is counted is not counted."""
    numbers = OsFiles.names
    monkeypatch.setattr(OsFiles, "names", lambda files: [*numbers(files), "0000000000000077.journal"])
    found = figures(data)
    assert (found.streams, found.soft_deleted, found.unfolded_segments) == (4, 1, 1)
    assert found.unfolded_events > 0
