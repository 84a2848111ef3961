"""The subscription store in the copies of a data directory: taken while the service runs, checked, put back.

Take the snapshot of the subscriptions before the streams are copied. Then no cursor lies behind a tail of the copy:
after a restoration some events may come once more, but none is missed.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from durable_streams.errors import StorageFailed
from durable_streams.subscriptions.sqlite_store import FILE_NAME, connect, kept_events

_OWNER_ONLY = 0o600

_UNREADABLE = (sqlite3.Error, msgspec.MsgspecError, ValueError)
_ORPHANS = {
    table: f"select distinct subscription_id from {table} "
    "where subscription_id not in (select subscription_id from definitions)"
    for table in ("progress", "links")
}


class Snapshot:
    """The subscriptions of a data directory as they were at one moment, if it has any; in memory until ``write``."""

    def __init__(self, source: Path) -> None:
        """Raises ``StorageFailed``."""
        self._copy: sqlite3.Connection | None = None
        if not (source / FILE_NAME).exists():
            return
        try:
            live = connect(source / FILE_NAME)
            self._copy = sqlite3.connect(":memory:")
            live.backup(self._copy)
            live.close()
        except sqlite3.Error as error:
            raise StorageFailed(f"{FILE_NAME}: {error}") from None

    def write(self, destination: Path) -> None:
        """Keep it beside the copy of the streams, for its owner alone, because it holds the keys."""
        copy, self._copy = self._copy, None
        if copy is None:
            return
        path = destination / FILE_NAME
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _OWNER_ONLY))
        written = sqlite3.connect(path)
        copy.backup(written)
        written.close()
        copy.close()


def restore(backup: Path, destination: Path) -> None:
    """Put the subscriptions of a backup, if it has any, into a data directory that has none."""
    if (backup / FILE_NAME).exists():
        shutil.copy2(backup / FILE_NAME, destination / FILE_NAME)


def faults(directory: Path) -> Iterator[str]:
    """One sentence for everything that is wrong with the subscriptions. They must not be in use."""
    if not (directory / FILE_NAME).exists():
        return
    try:
        connection = connect(directory / FILE_NAME)
    except sqlite3.Error as error:
        yield f"{FILE_NAME}: {error}"
        return
    try:
        for (line,) in connection.execute("pragma integrity_check"):
            if line != "ok":
                yield f"{FILE_NAME}: {line}"
        for table, query in _ORPHANS.items():
            for (subscription_id,) in connection.execute(query):
                yield f"{FILE_NAME}: {table} of subscription {subscription_id}, which is not there"
        for _ in kept_events(connection):
            pass
    except _UNREADABLE as error:
        yield f"{FILE_NAME}: {error}"
    finally:
        connection.close()
