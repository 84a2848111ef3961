"""Cursors of live responses (Section 10.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_streams.protocol.cursors import EPOCH, INTERVAL, current_interval, next_cursor, parse_cursor

SECONDS = st.integers(min_value=1, max_value=3600)
NOW = EPOCH + 1000 * INTERVAL + 7.5


def never(low: int, high: int) -> int:
    raise AssertionError("no jitter is due")


def test_intervals_are_counted_from_the_ninth_of_october_2024() -> None:
    """Section 10.1: 20 seconds each, from October 9, 2024 00:00:00 UTC."""
    assert EPOCH == 1728432000
    assert [current_interval(EPOCH + seconds) for seconds in (0, 19.999, 20, 40)] == [0, 0, 1, 2]


def test_a_clock_that_is_wrong_by_years_gives_a_cursor_that_can_be_echoed() -> None:
    """Section 10.1: a cursor is a decimal number, and must come back as one."""
    assert parse_cursor(str(current_interval(0.0))) == 0


@pytest.mark.parametrize("echoed", [None, 0, 999])
def test_the_cursor_is_the_current_interval(echoed: int | None) -> None:
    """Section 10.1: without a cursor, or with one of the past, the answer is the interval number."""
    assert next_cursor(NOW, echoed, never) == 1000


@given(st.integers(min_value=1000, max_value=10**12), SECONDS)
def test_a_client_that_is_level_or_ahead_gets_a_greater_cursor(echoed: int, jitter: int) -> None:
    """Section 10.1, "Monotonic Progression": strictly greater, whatever the dice say."""
    cursor = next_cursor(NOW, echoed, lambda low, high: jitter)
    assert echoed < cursor <= echoed + 3600 // INTERVAL


def test_the_jitter_is_drawn_from_one_second_to_an_hour() -> None:
    """Section 10.1: random jitter of 1-3600 seconds."""
    drawn = []

    def draw(low: int, high: int) -> int:
        drawn.append((low, high))
        return 3600

    assert next_cursor(NOW, 1000, draw) == 1180
    assert drawn == [(1, 3600)]


@given(st.lists(st.tuples(st.floats(min_value=0, max_value=100), SECONDS), min_size=1, max_size=20))
def test_cursors_of_one_client_never_stand_still_within_an_interval(steps: list[tuple[float, int]]) -> None:
    """Section 10.1: cursors never go backwards, so that no cache serves one empty answer for ever."""
    now = NOW
    echoed = next_cursor(now, None, never)
    for wait, jitter in steps:
        now += wait
        cursor = next_cursor(now, echoed, lambda low, high, jitter=jitter: jitter)  # type: ignore[misc]  # bound early
        assert cursor > echoed
        echoed = cursor


@pytest.mark.parametrize(("value", "cursor"), [("0", 0), ("1000", 1000), ("007", 7), ("999999999999999", 10**15 - 1)])
def test_an_echoed_cursor_is_a_number(value: str, cursor: int) -> None:
    """Section 10.1: the cursor is a decimal string."""
    assert parse_cursor(value) == cursor


@pytest.mark.parametrize("value", [None, "", "abc", "-1", "1.5", " 1", "1\n", "٣", "1" * 16, "1" * 5000])
def test_what_is_not_one_of_our_cursors_counts_as_none(value: str | None) -> None:
    """Section 5.7: the cursor is only a collapsing key, so a foreign one is no error."""
    assert parse_cursor(value) is None
