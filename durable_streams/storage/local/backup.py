"""Copies of a data directory: taken while the service runs, put back when it does not."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

from durable_streams.errors import StorageFailed
from durable_streams.storage.local.base import FILE_NAME, BaseStore, connect
from durable_streams.storage.local.directory import JOURNAL, MARKER, DataDirectory
from durable_streams.storage.local.files import OsFiles, sync_directory
from durable_streams.storage.local.journal import segment_numbers
from durable_streams.storage.local.migration import migrate
from durable_streams.storage.local.segment import (
    HEADER_LENGTH,
    SEAL_LENGTH,
    SegmentDamaged,
    SegmentReader,
    SegmentWriter,
    header,
    segment_name,
)
from durable_streams.storage.local.verification import faults

_ATTEMPTS = 20


def back_up(source: Path, destination: Path) -> None:
    """Copy a data directory as it is at one moment, also while the service writes into it.

    The journal comes first, the base store after it: a segment that vanishes meanwhile has been folded, so the copy of
    the base store has it. The segments that the copy of the base store needs come last; they do not change. Raises
    ``StorageFailed`` when the destination is not empty or the source is damaged.
    """
    if not (source / FILE_NAME).exists():
        raise StorageFailed(f"{source} is not a data directory of durable-streams")
    if destination.exists() and any(destination.iterdir()):
        raise StorageFailed(f"{destination} is not empty")
    (destination / JOURNAL).mkdir(parents=True)
    journal = OsFiles(source / JOURNAL)
    folded = _folded_segment(source)
    for number in segment_numbers(journal):
        if number > folded:
            _copy_segment(journal, number, destination / JOURNAL)
    _copy_base_and_kept_segments(source, destination)
    _complete_journal(destination)
    shutil.copy2(source / MARKER, destination / MARKER)
    _sync_all(destination)


def _folded_segment(directory: Path) -> int:
    connection = connect(directory)
    number = BaseStore(connection, OsFiles(directory / JOURNAL)).folded_segment()
    connection.close()
    return number


def _copy_segment(journal: OsFiles, number: int, destination: Path) -> None:
    """Copy what is whole; a segment is read again when a batch was written while it was read."""
    for _ in range(_ATTEMPTS):
        try:
            content = journal.read(segment_name(number))
            for _ in SegmentReader(number, content).events():
                pass
        except FileNotFoundError:
            return
        except SegmentDamaged as damage:
            reason = damage.reason
        else:
            (destination / segment_name(number)).write_bytes(content)
            return
    raise StorageFailed(f"journal file {segment_name(number)}: {reason}")


def _copy_base_and_kept_segments(source: Path, destination: Path) -> None:
    """Copy the base store, and the segments that are kept for it; once more when one of those went meanwhile."""
    copied: set[int] = set()
    missing: set[int] = set()
    while True:
        _copy_base(source, destination)
        kept = _kept_segments(destination)
        for number in copied - kept:
            (destination / JOURNAL / segment_name(number)).unlink()
        copied = {number for number in kept if number in copied or _copy_kept_segment(source, destination, number)}
        if copied == kept:
            return
        for number in sorted(missing & kept):
            raise StorageFailed(f"journal file {segment_name(number)} is missing")
        missing = kept - copied


def _kept_segments(copy: Path) -> set[int]:
    connection = connect(copy)
    # The service may be older than this program, and not know of any.
    migrate(connection)
    kept = BaseStore(connection, OsFiles(copy / JOURNAL)).kept_segments.numbers()
    connection.close()
    return kept


def _copy_kept_segment(source: Path, destination: Path, number: int) -> bool:
    """Copy a kept segment; False when it is not there."""
    name = segment_name(number)
    try:
        shutil.copyfile(source / JOURNAL / name, destination / JOURNAL / name)
    except FileNotFoundError:
        return False
    # Its file may be used for another segment, but only after it has lost its name.
    return (source / JOURNAL / name).exists()


def _copy_base(source: Path, destination: Path) -> None:
    live = connect(source)
    copy = sqlite3.connect(destination / FILE_NAME)
    live.backup(copy)
    copy.close()
    live.close()


def _complete_journal(copy: Path) -> None:
    """Add an empty segment when all that were copied have been folded meanwhile: a journal has one that is not."""
    number = _folded_segment(copy) + 1
    if not (copy / JOURNAL / segment_name(number)).exists():
        empty = header(number, HEADER_LENGTH + SEAL_LENGTH, 0) + SegmentWriter(number, 0).seal()
        (copy / JOURNAL / segment_name(number)).write_bytes(empty)


def _sync_all(directory: Path) -> None:
    """Make everything in a directory durable."""
    for path in directory.rglob("*"):
        if path.is_dir():
            sync_directory(path)
        else:
            with open(path, "rb") as file:
                os.fsync(file.fileno())
    sync_directory(directory)


def restore(backup: Path, destination: Path) -> None:
    """Make a data directory from a backup, after checking it. Raises ``StorageFailed`` naming the first fault."""
    if not (backup / MARKER).exists():
        raise StorageFailed(f"{backup} is no backup, or one that was not finished")
    for fault in faults(backup):
        raise StorageFailed(f"the backup is damaged: {fault}")
    directory = DataDirectory(destination)
    directory.claim()
    try:
        shutil.copytree(backup / JOURNAL, destination / JOURNAL)
        shutil.copy2(backup / FILE_NAME, destination / FILE_NAME)
        _sync_all(destination)
        # Last, because no service starts without it.
        directory.mark()
    finally:
        directory.close()
