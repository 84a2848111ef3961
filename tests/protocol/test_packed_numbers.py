"""Numbers that never fall, packed."""

from __future__ import annotations

from array import array
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_streams.protocol.packed_numbers import last_and_count, pack, unpack

STEP = st.integers(0, 300) | st.integers(0, 2**16) | st.integers(0, 2**34)
HEADER = 19


@given(st.integers(0, 2**53), st.lists(STEP, max_size=300))
def test_they_come_back(first: int, steps: list[int]) -> None:
    numbers = array("Q", accumulate(steps, initial=first))
    packed = pack(numbers)
    assert unpack(packed) == numbers
    assert last_and_count(packed) == (numbers[-1], len(numbers))


@pytest.mark.parametrize(
    ("steps", "length"),
    [
        ([], 0),
        ([0, 0, 0], 0),
        ([2**40] * 3, 0),
        ([0, 255, 1], 3),
        ([0, 256, 1], 6),
        ([0, 65_536, 1], 12),
        ([0, 2**32, 1], 24),
    ],
)
def test_they_take_few_bytes(steps: list[int], length: int) -> None:
    assert len(pack(array("Q", accumulate(steps, initial=7)))) == HEADER + length


def test_they_are_little_endian() -> None:
    """A data directory may be carried to another machine."""
    assert pack(array("Q", [1, 2, 258]))[HEADER:] == b"\x01\x00\x00\x01"


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        bytes(18),
        bytes(19),
        pack(array("Q", [1, 2, 9])) + b"\x00",
        pack(array("Q", [1, 2, 9]))[:-1],
        pack(array("Q", [1, 2, 9]))[:18] + b"\x03" + bytes(6),
        pack(array("Q", [1, 2, 9]))[8:16] + pack(array("Q", [1, 2, 9]))[:8] + pack(array("Q", [1, 2, 9]))[16:],
    ],
)
def test_what_is_none_is_refused(damaged: bytes) -> None:
    for look in (unpack, last_and_count):
        with pytest.raises(ValueError, match="packed numbers"):
            look(damaged)
