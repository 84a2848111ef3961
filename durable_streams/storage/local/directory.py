"""The data directory: one process at a time, of a format that this program knows."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from durable_streams.errors import StorageFailed
from durable_streams.storage.local.files import make_directory, sync_directory

FORMAT = "durable-streams 2\n"
MARKER = "format"
JOURNAL = "journal"
"""The folder of the journal's segments."""


class DataDirectory:
    """Holds the directory for this process from ``open`` to ``close``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def open(self) -> None:
        """Make the directory if need be, lock it and check its format. Raises ``StorageFailed``."""
        self._hold(self._check_format)

    def claim(self) -> None:
        """Make the directory if need be and lock it; it must be empty. No service opens it before ``mark``.

        Raises ``StorageFailed``.
        """
        self._hold(self._check_empty)

    def _hold(self, check: Callable[[], None]) -> None:
        try:
            make_directory(self.path)
            self._take_lock()
            check()
        except OSError as error:
            self.close()
            raise StorageFailed(f"the data directory {self.path} cannot be used: {error.strerror or error}") from None
        except StorageFailed:
            self.close()
            raise

    def _take_lock(self) -> None:
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._lock, 20).decode("ascii", "replace").strip() or "unknown"
            raise StorageFailed(f"the data directory {self.path} is in use by process {owner}") from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, b"%d\n" % os.getpid(), 0)

    def _check_format(self) -> None:
        marker = self.path / MARKER
        if not marker.exists():
            if self._has_content():
                raise StorageFailed(f"{self.path} is not empty and is not a data directory of durable-streams")
            self.mark()
        elif (found := marker.read_text("ascii", "replace")) != FORMAT:
            raise StorageFailed(f"{self.path} has the format {found.strip()!r}, this program knows {FORMAT.strip()!r}")

    def _check_empty(self) -> None:
        if self._has_content():
            raise StorageFailed(f"{self.path} is not empty")

    def _has_content(self) -> bool:
        return any(entry.name not in ("lock", "format.new") for entry in self.path.iterdir())

    def mark(self) -> None:
        """Say durably that this is a data directory of this format. Raises ``OSError``."""
        marker = self.path / MARKER
        draft = marker.with_suffix(".new")
        with open(draft, "w", encoding="ascii") as file:
            file.write(FORMAT)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(marker)
        sync_directory(self.path)

    def close(self) -> None:
        """Let the directory go."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)
