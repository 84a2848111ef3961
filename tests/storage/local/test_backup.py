"""Backups: taken while all is in motion, whole when they are there, and nothing when they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from durable_streams.errors import StorageFailed
from durable_streams.protocol.commands import Create
from durable_streams.storage.local import backup
from durable_streams.storage.local.directory import DataDirectory
from durable_streams.storage.local.verification import faults
from tests.storage.local.bench import Bench, on_disk


@pytest.fixture
def running(tmp_path: Path) -> Bench:
    bench = on_disk(tmp_path / "data")
    for path in ("s", "filler"):
        bench.outcome(bench.storage.create(Create(path, body=b"abc")))
    return bench


def test_a_backup_whose_journal_was_folded_meanwhile_can_be_restored(
    running: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All segments that were copied are in the copy of the base store already: that is no lost journal."""
    copy_base = backup._copy_base

    def late(source: Path, destination: Path) -> None:
        running.append(b"def", "s")
        running.roll()
        running.clock.advance(1)
        copy_base(source, destination)

    monkeypatch.setattr(backup, "_copy_base", late)
    backup.back_up(tmp_path / "data", tmp_path / "copy")
    running.close()
    assert list(faults(tmp_path / "copy")) == []
    backup.restore(tmp_path / "copy", tmp_path / "restored")
    restored = on_disk(tmp_path / "restored")
    assert restored.content("s") == b"abcdef"
    restored.append(b"!", "s")
    restored.close()


def test_a_backup_that_was_not_finished_is_not_restored(
    running: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told by its marker, which comes last."""

    def interrupted(copy: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backup, "_complete_journal", interrupted)
    with pytest.raises(KeyboardInterrupt):
        backup.back_up(tmp_path / "data", tmp_path / "copy")
    running.close()
    with pytest.raises(StorageFailed, match="not finished"):
        backup.restore(tmp_path / "copy", tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_no_service_starts_on_half_a_restore(running: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until all is there and synced, the directory is not one of durable-streams."""
    backup.back_up(tmp_path / "data", tmp_path / "copy")
    running.close()

    def interrupted(directory: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backup, "_sync_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        backup.restore(tmp_path / "copy", tmp_path / "restored")
    with pytest.raises(StorageFailed, match="not a data directory"):
        DataDirectory(tmp_path / "restored").open()
