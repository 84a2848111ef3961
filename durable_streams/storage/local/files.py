"""What the journal asks of a file system; tests put one in its place that loses what was not synced."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

_MOST_PARTS = os.sysconf("SC_IOV_MAX")


class JournalFile(Protocol):
    """An open file of fixed length, written at positions."""

    def write(self, position: int, data: bytes) -> None:
        """Write all of ``data``. Raises ``OSError``."""

    def write_parts(self, position: int, parts: Sequence[bytes]) -> None:
        """Write some bytes behind each other. Raises ``OSError``."""

    def sync(self) -> None:
        """Make every byte written so far durable. Raises ``OSError``; what was written is then in doubt for ever."""

    def close(self) -> None: ...


class Files(Protocol):
    """A flat directory of journal files. Every member may raise ``OSError``."""

    def allocate(self, name: str, size: int) -> JournalFile:
        """Make a file of ``size`` zero bytes, all of its space reserved, and open it for writing."""

    def open(self, name: str) -> JournalFile:
        """Open an existing file for writing."""

    def read(self, name: str) -> bytes:
        """The whole content of a file."""

    def read_at(self, name: str, position: int, length: int) -> bytes:
        """Some bytes of a file, fewer where it ends before."""

    def size(self, name: str) -> int:
        """The length of a file in bytes."""

    def names(self) -> list[str]:
        """The files in the directory, in any order."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""

    def remove(self, name: str) -> None:
        """Take a file away."""

    def sync_names(self) -> None:
        """Make all that was allocated, renamed or removed durable."""


class OsFile:
    """A file of the operating system."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, position: int, data: bytes) -> None:
        written = os.pwrite(self._descriptor, data, position)
        view = memoryview(data)
        while written < len(data):
            written += os.pwrite(self._descriptor, view[written:], position + written)

    def write_parts(self, position: int, parts: Sequence[bytes]) -> None:
        if len(parts) > _MOST_PARTS:
            self.write(position, b"".join(parts))
            return
        written = os.pwritev(self._descriptor, parts, position)
        if written < sum(map(len, parts)):
            self.write(position + written, b"".join(parts)[written:])

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file; a later write or sync fails and reaches no other file that got the same descriptor."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


class OsFiles:
    """A directory of the operating system, made when it is not there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        make_directory(directory)

    def allocate(self, name: str, size: int) -> OsFile:
        descriptor = os.open(self._directory / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            os.posix_fallocate(descriptor, 0, size)
            os.fsync(descriptor)
        except OSError:
            os.close(descriptor)
            os.unlink(self._directory / name)
            raise
        return OsFile(descriptor)

    def open(self, name: str) -> OsFile:
        return OsFile(os.open(self._directory / name, os.O_RDWR | os.O_CLOEXEC))

    def read(self, name: str) -> bytes:
        return (self._directory / name).read_bytes()

    def read_at(self, name: str, position: int, length: int) -> bytes:
        descriptor = os.open(self._directory / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, length, position)
        finally:
            os.close(descriptor)

    def size(self, name: str) -> int:
        return (self._directory / name).stat().st_size

    def names(self) -> list[str]:
        return os.listdir(self._directory)

    def rename(self, old: str, new: str) -> None:
        os.rename(self._directory / old, self._directory / new)

    def remove(self, name: str) -> None:
        os.unlink(self._directory / name)

    def sync_names(self) -> None:
        sync_directory(self._directory)


def make_directory(directory: Path) -> None:
    """Make a directory and those above it, durably. Raises ``OSError``."""
    if directory.is_dir():
        return
    make_directory(directory.parent)
    directory.mkdir(exist_ok=True)
    sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. Raises ``OSError``."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
