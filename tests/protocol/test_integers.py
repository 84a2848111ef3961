"""Integers in header fields (Sections 5.1 and 5.2.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_streams.errors import MalformedField
from durable_streams.protocol.integers import LARGEST, parse_integer


@given(st.integers(min_value=0, max_value=2**53 - 1))
def test_plain_decimals_are_taken(number: int) -> None:
    """Section 5.2.1: a non-negative integer up to 2^53-1."""
    assert parse_integer(str(number), "Producer-Seq") == number


def test_the_largest_is_exact_in_javascript() -> None:
    """Section 5.2.1: up to 2^53-1, for JavaScript."""
    assert LARGEST == 9007199254740991


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-1",
        "+3600",
        "03600",
        "00",
        "3600.0",
        "3.6e3",
        "0x10",
        "1_000",
        " 1",
        "1 ",
        "1\n",
        "٣",
        "²",
        "Infinity",
        "9007199254740992",
        "9999999999999999",
        "10000000000000000",
        "1" * 5000,
    ],
)
def test_every_other_spelling_is_malformed(value: str) -> None:
    """Section 5.1: no signs, no leading zeros, no points, no exponents; Section 5.2.1: nothing above 2^53-1."""
    with pytest.raises(MalformedField) as refusal:
        parse_integer(value, "Producer-Epoch")
    assert refusal.value.field == "Producer-Epoch"
