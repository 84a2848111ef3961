"""Offsets and positions (Section 8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_streams.errors import MalformedField
from durable_streams.protocol.offsets import BEGINNING, NOW, offset_of, position_of

POSITIONS = st.integers(min_value=0, max_value=10**16 - 1)


@given(POSITIONS)
def test_an_offset_names_the_position_that_it_was_made_of(position: int) -> None:
    """Section 8, "Unique": each offset identifies exactly one position."""
    assert position_of(offset_of(position)) == position


@given(POSITIONS, POSITIONS)
def test_offsets_sort_as_strings_in_the_order_of_their_positions(one: int, other: int) -> None:
    """Section 8, "Lexicographically Sortable" and "Strictly Increasing"."""
    assert (offset_of(one) < offset_of(other)) == (one < other)


@given(POSITIONS)
def test_an_offset_can_stand_in_a_url_as_it_is(position: int) -> None:
    """Section 8, "Format": none of the reserved characters, shorter than 256; "Reserved Values": never a sentinel."""
    offset = offset_of(position)
    assert not set(offset) & set(",&=?/")
    assert offset.replace("_", "").isalnum()
    assert offset.isascii()
    assert len(offset) < 256
    assert offset not in (BEGINNING, NOW)


def test_minus_one_is_the_beginning() -> None:
    """Section 8, "Sentinel Values": ``-1`` represents the beginning of the stream."""
    assert position_of("-1") == 0


@pytest.mark.parametrize(
    "offset",
    [
        "",
        "now",
        "0",
        "-2",
        " -1",
        "-1\n",
        "0000000000000000_000000000000000",
        "0000000000000000_00000000000000000",
        "0000000000000001_0000000000000000",
        "0000000000000000-0000000000000000",
        "0000000000000000_000000000000000a",
        "0000000000000000_0000000000000005\n",
        "0000000000000000_000000000000000\u0665",
        "0000000000000000_0000000000000000,1",
    ],
)
def test_what_was_not_minted_here_is_malformed(offset: str) -> None:
    """Section 5.6: a malformed offset is refused."""
    with pytest.raises(MalformedField) as refusal:
        position_of(offset)
    assert refusal.value.field == "offset"


def test_the_refusal_names_the_field_that_held_the_offset() -> None:
    """Section 4.2: the offset of a fork comes in a header of its own."""
    with pytest.raises(MalformedField) as refusal:
        position_of("later", "Stream-Fork-Offset")
    assert refusal.value.field == "Stream-Fork-Offset"
