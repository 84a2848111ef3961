"""A long row of numbers against a list that forgets nothing."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_streams.protocol.rising_numbers import RisingNumbers
from tests.short_chunks import short_chunks


@given(st.lists(st.tuples(st.lists(st.integers(0, 400), min_size=1, max_size=12), st.integers(0, 12)), max_size=20))
def test_it_is_a_list_whose_beginning_is_forgotten(additions: list[tuple[list[int], int]]) -> None:
    with short_chunks():
        row, everything, known = RisingNumbers(), [0], 0
        row.append(0)
        for steps, forgotten in additions:
            more = list(accumulate(steps, initial=everything[-1]))[1:]
            row.extend(more)
            everything.extend(more)
            row.pack()
            known = min(known + forgotten, len(everything) - 1)
            row.forget_before(known)
            assert (row.count, row.last) == (len(everything), everything[-1])
            assert [row[place] for place in range(known, row.count)] == everything[known:]
            for number in {everything[known], everything[known] + 1, everything[-1] - 1, everything[-1] + 1}:
                if number >= everything[known]:
                    assert row.count_up_to(number) == bisect_right(everything, number)
            assert row.first_chunk == known // row.CHUNK


@pytest.mark.parametrize("count", [1, 256, 257, 600, 10_000])
def test_chunks_make_it_again(count: int) -> None:
    row = RisingNumbers()
    row.extend([7 * number for number in range(count)])
    row.pack()
    row.forget_before(count // 2)
    again = RisingNumbers()
    last_chunk = (count - 1) // row.CHUNK
    again.restore(row.first_chunk, [row.chunk(number) for number in range(row.first_chunk, last_chunk + 1)])
    assert (again.count, again.last, again.first_chunk) == (row.count, row.last, row.first_chunk)
    assert all(again[place] == row[place] for place in range(count // 2, count))


def test_a_chunk_that_is_not_full_is_refused_before_the_last() -> None:
    row = RisingNumbers()
    row.extend(range(300))
    with pytest.raises(ValueError, match="a chunk of 44 numbers"):
        RisingNumbers().restore(0, [row.chunk(1), row.chunk(0)])
