"""The format of one journal segment: a header, then batches of records, then a seal.

All numbers are little-endian. Every checksum of a batch or record is a CRC-32 that begins with the segment's number and
a random one, so that neither bytes left over from the segment that the file was before nor bytes that a client made up
are ever taken for records of this one.

========  =====  ==============================================================
header    32     ``DSJRNL02``, segment number (8), capacity (8), random number (4), CRC of all before (4)
batch     24     ``DSBATCH`` and ``0x00`` or ``0x01`` for the seal, batch number (8), length of its records (4), CRC (4)
record    8 + n  length n (4), CRC of the payload (4), the payload: one event as MessagePack
========  =====  ==============================================================

A batch is what one sync made durable. The newest segment may end within a batch, because that one was never
acknowledged; a damaged batch that another one follows, or a segment without its seal that another one follows, is
corruption. Segments of the version before begin with ``DSJRNL01``; their random number is 0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast
from zlib import crc32

import msgspec

# Not for a few bytes: the wide registers that it computes in make what comes after it slower.
from isal.isal_zlib import crc32 as crc32_of_much
from msgspec.structs import replace

from durable_streams.protocol.events import Appended, Event, StreamCreated

HEADER_LENGTH = 32
BATCH_LENGTH = 24
RECORD_LENGTH = 8
SEAL_LENGTH = BATCH_LENGTH
LARGEST_PIECE = 1024 * 1024
NEVER = 1 << 62
"""A size from which on data is large that no data has."""

_MAGIC = b"DSJRNL02"
_MAGICS = (b"DSJRNL01", _MAGIC)
_BATCH = b"DSBATCH\x00"
_SEAL = b"DSBATCH\x01"
_HEADER_BODY = struct.Struct("<8sQQI")
_BATCH_BODY = struct.Struct("<8sQI")
_CRC = struct.Struct("<I")
_RECORD = struct.Struct("<II")

LARGE_RECORD = 64 * 1024
"""The size from which on copying a record costs more than handing it over by itself, in bytes."""

encode_event = msgspec.msgpack.Encoder().encode
_decode_event = msgspec.msgpack.Decoder(Event).decode
_NO_DATA = encode_event(b"")


class _LargeAppended(Appended, frozen=True, array_like=True, tag=2):
    data: memoryview  # type: ignore[assignment]  # a view instead of a copy, on purpose


class _LargeCreated(StreamCreated, frozen=True, array_like=True, tag=1):
    data: memoryview  # type: ignore[assignment]  # a view instead of a copy, on purpose


_decode_large = msgspec.msgpack.Decoder(_LargeAppended | _LargeCreated).decode


class LargePayload(msgspec.Struct, frozen=True):
    """An encoded event in three parts, of which the middle one is its data, uncopied."""

    head: bytes
    data: bytes
    rest: bytes

    def __len__(self) -> int:
        return len(self.head) + len(self.data) + len(self.rest)


Payload = bytes | LargePayload


def encode_append(event: Appended) -> Payload:
    """What ``encode_event`` gives, without a copy of large data."""
    data = event.data
    if len(data) < LARGE_RECORD:
        return encode_event(event)
    rest = _after_data(event)
    empty = encode_event(replace(event, data=b""))
    return LargePayload(empty[: -len(_NO_DATA + rest)] + _before_data(len(data)), data, rest)


def _before_data(length: int) -> bytes:
    """How MessagePack begins so many bytes of large data."""
    return b"\xc6" + length.to_bytes(4, "big") if length > 0xFFFF else b"\xc5" + length.to_bytes(2, "big")


def _after_data(event: Appended | StreamCreated) -> bytes:
    """What follows the data in an encoded event."""
    if isinstance(event, Appended):
        rest = encode_event((event.stream_seq, event.producer, event.closed))
    else:
        rest = encode_event((event.closed, event.retention, event.earliest))
    # The first byte is the length of the tuple.
    return rest[1:]


class Piece(NamedTuple):
    """Where some data of a record lies in a segment's file; ``checksum`` is its CRC-32, begun with ``seed``."""

    position: int
    length: int
    seed: int
    checksum: int


class Record(NamedTuple):
    """An event, and where its data lies when that is large. Then the data is a view of the segment, not a copy."""

    event: Event
    pieces: tuple[Piece, ...] = ()


def segment_name(number: int) -> str:
    return f"{number:016d}.journal"


class SegmentDamaged(Exception):
    """A segment is not as it was written; ``position`` is where."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(position, reason)
        self.position = position
        self.reason = reason


def _seed(number: int, salt: int) -> int:
    return crc32(number.to_bytes(8, "little")) ^ salt


def header(number: int, capacity: int, salt: int) -> bytes:
    """The beginning of a segment; ``salt`` is its random number, of 32 bits."""
    body = _HEADER_BODY.pack(_MAGIC, number, capacity, salt)
    return body + _CRC.pack(crc32(body))


class SegmentWriter:
    """Frames the batches of one segment, those after the first ``batches``."""

    def __init__(self, number: int, salt: int, batches: int = 0) -> None:
        self._seed = _seed(number, salt)
        self._batch = batches

    def next_number(self) -> int:
        """The number of a batch that is begun now."""
        number = self._batch
        self._batch += 1
        return number

    def batch_header(self, number: int, length: int) -> bytes:
        """What comes before a batch whose records take ``length`` bytes."""
        return self._header(_BATCH, number, length)

    def records(self, payloads: Sequence[Payload]) -> list[bytes]:
        """Encoded events as records, in parts. Their checksums take a while when they are large."""
        seed, pack = self._seed, _RECORD.pack
        parts: list[bytes] = []
        for payload in payloads:
            if isinstance(payload, bytes):
                parts += pack(len(payload), crc32(payload, seed)), payload
            else:
                head, data, rest = payload.head, payload.data, payload.rest
                checksum = crc32(rest, crc32_of_much(data, crc32(head, seed)))
                parts += pack(len(payload), checksum) + head, data, rest
        return parts

    def seal(self) -> bytes:
        """What ends the segment."""
        return self._header(_SEAL, self.next_number(), 0)

    def _header(self, magic: bytes, number: int, length: int) -> bytes:
        body = _BATCH_BODY.pack(magic, number, length)
        return body + _CRC.pack(crc32(body, self._seed))


class SegmentReader:
    """Reads a segment back. After ``records`` has been exhausted, ``end`` is where the good batches end.

    Data of ``large`` bytes or more is located and not copied; see ``Record``. ``last`` is where the last good batch
    begins, ``batches`` how many there were; ``sealed`` tells whether the seal was there, ``salt`` is the segment's
    random number.
    """

    def __init__(self, number: int, content: bytes, large: int = NEVER) -> None:
        self._number = number
        self._large = large
        self._seed = self.salt = 0
        self._content = content
        self._view = memoryview(content)
        self.last = self.end = HEADER_LENGTH
        self.batches = 0
        self.sealed = False

    def events(self) -> Iterator[Event]:
        """Every event of every good batch. Raises ``SegmentDamaged`` when what follows them cannot be a torn tail."""
        return (record.event for record in self.records())

    def records(self) -> Iterator[Record]:
        """Every record of every good batch. Raises ``SegmentDamaged`` as ``events`` does."""
        self._check_header()
        while True:
            try:
                length = self._batch_at(self.end, self.batches)
                if length is None:
                    return
                records = list(self._records(self.end + BATCH_LENGTH, length))
            except SegmentDamaged:
                self._check_nothing_follows()
                return
            yield from records
            self.last = self.end
            self.end += BATCH_LENGTH + length
            self.batches += 1

    def _check_header(self) -> None:
        content = self._content
        if len(content) < HEADER_LENGTH or content[:8] not in _MAGICS:
            raise SegmentDamaged(0, "it is not a journal segment of this version")
        _, number, capacity, self.salt = _HEADER_BODY.unpack_from(content)
        if _CRC.unpack_from(content, HEADER_LENGTH - 4)[0] != crc32(content[: HEADER_LENGTH - 4]):
            raise SegmentDamaged(0, "its header is damaged")
        if number != self._number:
            raise SegmentDamaged(0, f"its header says segment {number}")
        if len(content) < capacity:
            raise SegmentDamaged(len(content), f"it was truncated from {capacity} bytes")
        self._seed = _seed(number, self.salt)

    def _batch_at(self, position: int, number: int) -> int | None:
        """The length of the batch's records; None when it is the seal."""
        if position + BATCH_LENGTH > len(self._content):
            raise SegmentDamaged(position, "no room for a batch")
        magic, found, length = _BATCH_BODY.unpack_from(self._content, position)
        checksum = _CRC.unpack_from(self._content, position + BATCH_LENGTH - 4)[0]
        body = self._content[position : position + BATCH_LENGTH - 4]
        if magic not in (_BATCH, _SEAL) or found != number or checksum != crc32(body, self._seed):
            raise SegmentDamaged(position, "no good batch")
        if magic == _SEAL:
            self.sealed = True
            return None
        if position + BATCH_LENGTH + length > len(self._content):
            raise SegmentDamaged(position, "a batch goes beyond the segment")
        return int(length)

    def _records(self, position: int, length: int) -> Iterator[Record]:
        stop = position + length
        while position < stop:
            if position + RECORD_LENGTH > stop:
                raise SegmentDamaged(position, "a record goes beyond its batch")
            size, checksum = _RECORD.unpack_from(self._content, position)
            start = position + RECORD_LENGTH
            payload = self._view[start : start + size]
            if start + size > stop:
                raise SegmentDamaged(position, "a record is damaged")
            record = self._large_record(payload, start, checksum) if size >= self._large else None
            yield record or self._record(payload, position, checksum)
            position = start + size

    def _record(self, payload: memoryview, position: int, checksum: int) -> Record:
        if crc32(payload, self._seed) != checksum:
            raise SegmentDamaged(position, "a record is damaged")
        try:
            return Record(_decode_event(payload))
        except msgspec.DecodeError as error:
            raise SegmentDamaged(position, f"a record cannot be read: {error}") from None

    def _large_record(self, payload: memoryview, start: int, checksum: int) -> Record | None:
        """A record with large data; None when it has none, or is damaged.

        The record is read once: its checksum is worked out piece by piece, so every piece has one too.
        """
        try:
            event = _decode_large(payload)
        except msgspec.DecodeError:
            return None
        begins = _data_begins(event, payload)
        if begins is None or len(event.data) < self._large:
            return None
        found = crc32(payload[:begins], self._seed)
        ends = begins + len(event.data)
        pieces = []
        for first in range(begins, ends, LARGEST_PIECE):
            piece = payload[first : min(first + LARGEST_PIECE, ends)]
            seed, found = found, crc32_of_much(piece, found)
            pieces.append(Piece(start + first, len(piece), seed, found))
        if crc32(payload[ends:], found) != checksum:
            return None
        return Record(cast(Event, event), tuple(pieces))

    def _check_nothing_follows(self) -> None:
        """A later batch proves that the one which cannot be read had been synced."""
        position = self.end
        while (position := self._content.find(_BATCH[:7], position + 1)) >= 0:
            if position + BATCH_LENGTH > len(self._content):
                return
            _, number, _ = _BATCH_BODY.unpack_from(self._content, position)
            if number <= self.batches:
                continue
            try:
                self._batch_at(position, number)
            except SegmentDamaged:
                continue
            self.sealed = False
            raise SegmentDamaged(self.end, f"batch {self.batches} is damaged, and batch {number} follows it")


def _data_begins(event: _LargeAppended | _LargeCreated, payload: memoryview) -> int | None:
    """Where an event's data begins in its record: what follows it is encoded to the same bytes again.

    None when it is not, as in a record of a version that knew fewer fields.
    """
    rest = _after_data(event)
    length = len(event.data)
    begins = len(payload) - len(rest) - length
    prefix = _before_data(length)
    return begins if payload[begins - len(prefix) : begins] == prefix and payload[begins + length :] == rest else None
