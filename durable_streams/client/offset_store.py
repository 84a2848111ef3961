"""Where a reader keeps the offset up to which it has read, from one run of a program to the next (Section 8)."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import Interface, implementer


class IOffsetStore(Interface):
    """Keeps one offset for each key. A key is a stream's URL, unless the reader names another."""

    def load(key: str) -> Deferred[str | None]:
        """The offset that was saved last, or None."""

    def save(key: str, offset: str) -> Deferred[None]:
        """Keep the offset. The reader does not go on before this has fired, and ends with its failure."""


@implementer(IOffsetStore)
class MemoryOffsetStore:
    """Offsets that are forgotten with the process."""

    def __init__(self) -> None:
        self.offsets: dict[str, str] = {}

    def load(self, key: str) -> Deferred[str | None]:
        return succeed(self.offsets.get(key))

    def save(self, key: str, offset: str) -> Deferred[None]:
        self.offsets[key] = offset
        return succeed(None)


class _Kept(msgspec.Struct):
    """The content of one file; the key is there for people."""

    key: str
    offset: str


@implementer(IOffsetStore)
class FileOffsetStore:
    """One small file for each key in a directory, which is made when first needed.

    A file is replaced whole: after a crash it has the old offset or the new one. It is not synced to the device; what a
    power failure can undo is read again.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory)

    def load(self, key: str) -> Deferred[str | None]:
        """Fails with ``ValueError`` naming the file when it is not readable as an offset."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return succeed(None)
        except OSError:
            return fail()
        try:
            return succeed(msgspec.json.decode(content, type=_Kept).offset)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return fail(ValueError(f"{path} does not hold an offset; delete it to read from the beginning"))

    def save(self, key: str, offset: str) -> Deferred[None]:
        """Fails with ``OSError``."""
        path = self._path(key)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(msgspec.json.encode(_Kept(key, offset)))
            fresh.replace(path)
        except OSError:
            return fail()
        return succeed(None)

    def _path(self, key: str) -> Path:
        # A URL may be longer than a file's name.
        return self._directory / f"{sha256(key.encode()).hexdigest()}.json"
