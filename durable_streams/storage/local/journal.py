"""The journal: what was decided, in order, on disk, until it has been folded into the base store."""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec import Struct

from durable_streams.errors import StorageFailed
from durable_streams.protocol.events import Event
from durable_streams.storage.local.files import Files, JournalFile
from durable_streams.storage.local.segment import (
    BATCH_LENGTH,
    HEADER_LENGTH,
    LARGE_RECORD,
    RECORD_LENGTH,
    SEAL_LENGTH,
    Payload,
    SegmentDamaged,
    SegmentReader,
    SegmentWriter,
    header,
    segment_name,
)

SPARE = "spare"
_PAGE = 4096
MOST_RETIRED = 2
"""Files of folded segments that wait to become segments again; in steady work one is enough."""

Write = Callable[[], None]

_NAME = re.compile(r"([0-9]{16})\.journal")


def segment_numbers(files: Files) -> list[int]:
    """The numbers of the segments in a directory, in order."""
    return sorted(int(match[1]) for name in files.names() if (match := _NAME.fullmatch(name)))


@dataclass
class Recovered:
    """What replay found; ``newest`` is the number of the newest segment, ``last_stream_id`` the highest id in any."""

    segments: int = 0
    events: int = 0
    newest: int = 0
    last_stream_id: int = 0


def replay(files: Files, after: int, apply: Callable[[int, Sequence[Event]], None]) -> Recovered:
    """Read every segment numbered above ``after`` and hand its events to ``apply``; seal the newest one.

    Raises ``StorageFailed`` naming file and position when a segment that was acknowledged cannot be read.
    """
    recovered = Recovered(newest=after)
    numbers = [number for number in segment_numbers(files) if number > after]
    if after and not numbers:
        # The active segment is never folded, so there is one as soon as anything has been.
        raise StorageFailed(f"journal file {segment_name(after + 1)} is missing")
    for expected, number in enumerate(numbers, after + 1):
        name = segment_name(number)
        if number != expected:
            raise StorageFailed(f"journal file {segment_name(expected)} is missing")
        content = files.read(name)
        reader = SegmentReader(number, content)
        try:
            events = list(reader.events())
        except SegmentDamaged as damage:
            raise StorageFailed(f"journal file {name} at position {damage.position}: {damage.reason}") from None
        if number == numbers[-1]:
            _secure_end(files, name, number, reader, content)
        elif not reader.sealed:
            raise StorageFailed(f"journal file {name} at position {reader.end}: it ends too early")
        apply(number, events)
        recovered.segments += 1
        recovered.events += len(events)
        recovered.newest = number
        recovered.last_stream_id = max(recovered.last_stream_id, *(event.stream_id for event in events), 0)
    return recovered


def _secure_end(files: Files, name: str, number: int, reader: SegmentReader, content: bytes) -> None:
    """End the segment where its last good batch ends, so that nothing behind that can ever come to life.

    After a kill, or a sync that failed, the last batch or the seal may be in the page cache alone, and no sync would
    write it: so both are written again.
    """
    seal = SegmentWriter(number, reader.salt, reader.batches).seal()
    _end(files.open(name), reader.last, content[reader.last : reader.end] + seal)


def _end(file: JournalFile, position: int, ending: bytes) -> None:
    """Write what ends a segment."""
    file.write(position, ending)
    file.sync()
    file.close()


class Journal:
    """Places batches into preallocated segments.

    Two segments are kept ready: the active one and a spare. Whatever fits into one of them can be written without
    asking the file system for space, so who looks at ``room`` before deciding never meets a full disk afterwards.

    The file of a folded segment becomes a spare again: a sync of blocks that have been written before is faster,
    because the file system has nothing of its own to record.
    """

    def __init__(self, files: Files, newest: int, segment_bytes: int) -> None:
        """Begin a new segment after ``newest``. Raises ``OSError``."""
        self._files = files
        self._segment_bytes = segment_bytes
        self._retired: deque[str] = deque()
        self.number = newest + 1
        for name in files.names():
            if name.startswith(SPARE):
                files.remove(name)
        first = self.allocate(self.number, 0)
        _write_every_block(first)
        self._activate(first)
        files.rename(first.name, segment_name(self.number))
        files.sync_names()
        self._spare: SpareSegment | None = None

    def _activate(self, segment: SpareSegment) -> None:
        self._file = segment.file
        self._capacity = segment.capacity
        self._position = HEADER_LENGTH
        self._writer = SegmentWriter(self.number, segment.salt)

    def allocate(self, number: int, payload_bytes: int) -> SpareSegment:
        """Make a segment with room for a record of ``payload_bytes`` at least.

        Blocks; touches nothing of the journal but the file system, so it may run in a thread. Raises ``OSError``.
        """
        overhead = HEADER_LENGTH + BATCH_LENGTH + RECORD_LENGTH + SEAL_LENGTH
        capacity = max(self._segment_bytes, payload_bytes + overhead)
        name = f"{SPARE}-{number}"
        file = self._file_for(name, capacity)
        salt = secrets.randbits(32)
        try:
            file.write(0, header(number, capacity, salt))
            file.sync()
        except OSError:
            file.close()
            raise
        return SpareSegment(name, file, capacity, salt)

    def _file_for(self, name: str, capacity: int) -> JournalFile:
        if capacity != self._segment_bytes or not self._retired:
            return self._files.allocate(name, capacity)
        self._files.rename(self._retired.popleft(), name)
        return self._files.open(name)

    def retire(self, number: int) -> None:
        """Take away a segment that has been folded, or keep its file to be used again. Raises ``OSError``."""
        name = segment_name(number)
        if len(self._retired) < MOST_RETIRED and self._files.size(name) == self._segment_bytes:
            # Under a name that no start takes for a segment, whatever becomes of the file.
            retired = f"{SPARE}-used-{number}"
            self._files.rename(name, retired)
            self._retired.append(retired)
        else:
            self._files.remove(name)

    @property
    def has_spare(self) -> bool:
        return self._spare is not None

    def adopt_spare(self, spare: SpareSegment) -> None:
        """Keep an allocated segment ready; it must have the number that follows the active one."""
        self._spare = spare

    def drop_spare(self) -> None:
        """Give up the spare, if there is one, for a larger one."""
        if self._spare is not None:
            self._spare.file.close()
            self._spare = None

    @property
    def room(self) -> int:
        """The most bytes of records (framing of each included) that the next batch can have."""
        return max(self._rest(), self._spare.room if self._spare else 0) - BATCH_LENGTH

    def _rest(self) -> int:
        return self._capacity - SEAL_LENGTH - self._position

    def place(self, payloads: Sequence[Payload], length: int) -> Batch:
        """Give a batch, whose records take ``length`` bytes, its place."""
        if length + BATCH_LENGTH > self._rest():
            return self._roll(payloads, length)
        return self._batch(payloads, length, _nothing)

    def _roll(self, payloads: Sequence[Payload], length: int) -> Batch:
        assert self._spare is not None
        full, position, seal = self._file, self._position, self._writer.seal()
        self.number += 1
        spare, self._spare = self._spare, None
        self._activate(spare)
        name = segment_name(self.number)

        def begin() -> None:
            # In this order a segment is never found unsealed behind another one.
            _end(full, position, seal)
            self._files.rename(spare.name, name)
            self._files.sync_names()

        return self._batch(payloads, length, begin)

    def _batch(self, payloads: Sequence[Payload], length: int, begin: Write) -> Batch:
        writer = self._writer
        batch = Batch(self.number, self._file, self._position, writer, writer.next_number(), payloads, length, begin)
        self._position += length + BATCH_LENGTH
        return batch

    def can_grow(self, batch: Batch, length: int) -> bool:
        """Whether the batch that was placed last can have ``length`` more bytes of records."""
        return batch.segment == self.number and length <= self._rest()

    def grow(self, batch: Batch, payloads: Sequence[Payload], length: int) -> Write:
        """Put more records into that batch, before it is completed; the answer writes them when called."""
        self._position += length
        return batch.grow(payloads, length)

    def seal(self) -> None:
        """End the active segment for good. Blocks. Raises ``OSError``."""
        _end(self._file, self._position, self._writer.seal())

    def close(self) -> None:
        """Release the files as they are."""
        self._file.close()
        if self._spare is not None:
            self._spare.file.close()


class Batch(Struct):
    """Some records and their place in ``segment``. Writing blocks, and raises ``OSError``.

    It is made durable by ``write``; or by ``write_ahead``, which may be called while the batches before are still on
    their way, and ``complete`` after those. Until its header is there, nobody takes its records for anything, and more
    may follow them.
    """

    segment: int
    _file: JournalFile
    _position: int
    _writer: SegmentWriter
    _number: int
    _payloads: Sequence[Payload]
    _length: int
    _begin: Write

    def write(self) -> None:
        self._begin()
        self._put(self._position, [self._header(), *self._writer.records(self._payloads)])
        self._file.sync()

    def write_ahead(self) -> None:
        self._put(self._position + BATCH_LENGTH, self._writer.records(self._payloads))

    def grow(self, payloads: Sequence[Payload], length: int) -> Write:
        """More records; the answer writes them ahead as well."""
        position = self._position + BATCH_LENGTH + self._length
        self._length += length
        return lambda: self._put(position, self._writer.records(payloads))

    def complete(self) -> None:
        self._begin()
        self._file.write(self._position, self._header())
        self._file.sync()

    def _header(self) -> bytes:
        return self._writer.batch_header(self._number, self._length)

    def _put(self, position: int, parts: list[bytes]) -> None:
        """Copying small parts together is cheaper than to hand over each of them; of large ones nothing is copied."""
        if max(map(len, parts)) >= LARGE_RECORD:
            self._file.write_parts(position, parts)
        else:
            self._file.write(position, b"".join(parts))


def _nothing() -> None:
    """What there is to do before a batch in the segment that is active already."""


@dataclass(frozen=True)
class SpareSegment:
    """An allocated segment whose header alone is its own; what follows may be left over from another one."""

    name: str
    file: JournalFile
    capacity: int
    salt: int

    @property
    def room(self) -> int:
        return self.capacity - HEADER_LENGTH - SEAL_LENGTH


def _write_every_block(segment: SpareSegment) -> None:
    """Write zeros to a segment of a new file, as no segment has been folded that could be used again.

    By pages: what is written in one piece is one piece of Linux's page cache, and counts whole for each small write.
    """
    zeros = bytes(_PAGE)
    for position in range(HEADER_LENGTH, segment.capacity, _PAGE):
        segment.file.write(position, zeros[: segment.capacity - position])
    segment.file.sync()
