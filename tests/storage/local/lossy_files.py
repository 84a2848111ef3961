"""A file layer that behaves as badly as a disk may: what was not synced can be lost, torn, or kept in part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

SECTOR = 512


class SimulatedCrash(BaseException):
    """The power went. Not an ``Exception``, so that no code under test can live on after it."""


class LossyFile:
    """One file: what is durable, and what was written since the last sync."""

    def __init__(self, disk: LossyFiles, size: int) -> None:
        self._disk = disk
        self.durable = bytearray(size)
        self.current = bytearray(size)
        self.unsynced: list[tuple[int, bytes]] = []

    def write(self, position: int, data: bytes) -> None:
        self.current[position : position + len(data)] = data
        self.unsynced.append((position, bytes(data)))
        self._disk.step("write")

    def write_parts(self, position: int, parts: Sequence[bytes]) -> None:
        self.write(position, b"".join(parts))

    def sync(self) -> None:
        try:
            self._disk.step("sync")
        except OSError:
            # As Linux does it: the pages count as clean now, so no later sync writes them.
            self.unsynced.clear()
            raise
        if not self._disk.syncs_are_lies:
            self.settle()

    def settle(self) -> None:
        for position, data in self.unsynced:
            self.durable[position : position + len(data)] = data
        self.unsynced.clear()

    def close(self) -> None:
        """Closing syncs nothing."""

    def crash(self, random: Random) -> None:
        """Keep any part of what was not synced, sector by sector, in any order."""
        for position, data in self.unsynced:
            start = position
            while start < position + len(data):
                stop = min((start // SECTOR + 1) * SECTOR, position + len(data))
                if random.random() < 0.5:
                    self.durable[start:stop] = data[start - position : stop - position]
                start = stop
        self.unsynced.clear()
        self.current[:] = self.durable


class LossyFiles:
    """A directory. ``fuse`` is the number of operations until the power goes; ``fault`` raises an ``OSError`` instead.

    With ``syncs_are_lies`` no sync has an effect, which is a bug that the simulation must find. ``upon_read`` is called
    at the next reading of a file, once.
    """

    def __init__(self) -> None:
        self.fuse: int | None = None
        self.fault: dict[str, OSError] = {}
        self.syncs_are_lies = False
        self.upon_read: Callable[[], None] = lambda: None
        self._names: dict[str, LossyFile] = {}
        self._durable_names: dict[str, LossyFile] = {}
        self._name_changes: list[dict[str, LossyFile]] = []

    def step(self, operation: str) -> None:
        if operation in self.fault:
            raise self.fault[operation]
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise SimulatedCrash

    def _changed(self) -> None:
        self._name_changes.append(dict(self._names))

    def allocate(self, name: str, size: int) -> LossyFile:
        self.step("allocate")
        file = self._names[name] = LossyFile(self, size)
        self._changed()
        return file

    def open(self, name: str) -> LossyFile:
        return self._existing(name)

    def read(self, name: str) -> bytes:
        upon_read, self.upon_read = self.upon_read, lambda: None
        upon_read()
        return bytes(self._existing(name).current)

    def read_at(self, name: str, position: int, length: int) -> bytes:
        return bytes(self._existing(name).current[position : position + length])

    def size(self, name: str) -> int:
        return len(self._existing(name).current)

    def _existing(self, name: str) -> LossyFile:
        if name not in self._names:
            raise FileNotFoundError(2, "No such file", name)
        return self._names[name]

    def names(self) -> list[str]:
        return list(self._names)

    def rename(self, old: str, new: str) -> None:
        self.step("rename")
        self._names[new] = self._existing(old)
        del self._names[old]
        self._changed()

    def remove(self, name: str) -> None:
        self.step("remove")
        self._existing(name)
        del self._names[name]
        self._changed()

    def sync_names(self) -> None:
        self.step("sync")
        self._durable_names = dict(self._names)
        self._name_changes.clear()

    def crash(self, random: Random) -> None:
        """The machine comes back: names as after some of the changes since the last sync, files in part."""
        self.fuse = None
        states = [self._durable_names, *self._name_changes]
        self._names = dict(random.choice(states))
        self._durable_names = dict(self._names)
        self._name_changes.clear()
        for file in self._names.values():
            file.crash(random)
