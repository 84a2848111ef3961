"""Whole numbers that never fall, in few bytes: the steps between them, each in one, two, four or eight bytes.

Where all steps are alike they take nothing. All is little-endian, so that it can be kept.
"""

from __future__ import annotations

import sys
from array import array
from itertools import accumulate
from operator import sub
from struct import Struct

_HEADER = Struct("<QQHB")
"""The first number and the last, how many there are, and the bytes of a step."""

_TYPECODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


def pack(numbers: array[int]) -> bytes:
    """One number or more, below 2^64."""
    plain = numbers.tolist()
    steps = list(map(sub, plain[1:], plain))
    width = 0 if len(set(steps)) <= 1 else _width(max(steps))
    header = _HEADER.pack(plain[0], plain[-1], len(plain), width)
    return header + _little_endian(array(_TYPECODES[width], steps)).tobytes() if width else header


def _width(step: int) -> int:
    return next(width for width in _TYPECODES if step < 1 << 8 * width)


def unpack(packed: bytes) -> array[int]:
    """The numbers again. Raises ``ValueError`` for what is no packed numbers."""
    last, count = last_and_count(packed)
    first, _, _, width = _HEADER.unpack_from(packed)
    if width:
        steps = _little_endian(array(_TYPECODES[width], packed[_HEADER.size :]))
        return array("Q", accumulate(steps, initial=first))
    if first == last:
        return array("Q", [first]) * count
    return array("Q", range(first, last + 1, (last - first) // (count - 1)))


def last_and_count(packed: bytes) -> tuple[int, int]:
    """The last number, and how many there are, without unpacking. Raises ``ValueError`` as ``unpack`` does."""
    if len(packed) < _HEADER.size:
        raise ValueError(f"packed numbers in {len(packed)} bytes")
    first, last, count, width = _HEADER.unpack_from(packed)
    if not count or (width and width not in _TYPECODES) or len(packed) != _HEADER.size + width * (count - 1):
        raise ValueError(f"{count} packed numbers of {width} bytes in {len(packed)} bytes")
    if last < first or (count == 1 and last != first):
        raise ValueError(f"{count} packed numbers from {first} to {last}")
    return last, count


def _little_endian(numbers: array[int]) -> array[int]:
    """Turn the bytes of numbers between the machine's order and that at rest."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
