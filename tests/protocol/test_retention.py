"""Retention, purely: which messages are kept, and what it costs to know."""

from __future__ import annotations

from array import array
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_streams.errors import MalformedField
from durable_streams.protocol.content_types import Kind
from durable_streams.protocol.json_messages import stored_form
from durable_streams.protocol.retention import CHUNK, FINENESS, Boundaries, Retention


class Message(NamedTuple):
    """A message as the naive model knows it."""

    start: int
    end: int
    at: float


def begins_at(messages: list[Message], policy: Retention, now: float) -> int:
    """Where what is kept begins, as the policy's description says it, looking at all messages there ever were."""
    tail = messages[-1].end if messages else 0
    for index, message in enumerate(messages):
        newer = len(messages) - 1 - index
        too_old = policy.max_age is not None and message.at <= now - policy.max_age
        too_many = policy.max_messages is not None and newer >= policy.max_messages
        too_large = policy.max_bytes is not None and newer > 0 and tail - message.start > policy.max_bytes
        if not (too_old or too_many or too_large):
            return message.start
    return tail


LIMIT = st.none() | st.integers(1, 30)
POLICIES = st.builds(Retention, LIMIT, LIMIT, LIMIT)
APPENDS = st.lists(st.tuples(st.lists(st.integers(1, 10**6), min_size=1, max_size=6), st.integers(0, 20)), max_size=60)


@given(POLICIES, APPENDS, st.sampled_from([Kind.JSON, Kind.BINARY]))
def test_it_keeps_what_the_naive_model_keeps(
    policy: Retention, appends: list[tuple[list[int], int]], kind: Kind
) -> None:
    boundaries = Boundaries(policy, kind, 0)
    messages: list[Message] = []
    tail, now = 0, 1000.0
    for values, pause in appends:
        now += pause
        assert boundaries.earliest_at(now) == begins_at(messages, policy, now)
        data = stored_form(repr(values).encode())
        pieces = [part + b"\x1e" for part in data.split(b"\x1e")[:-1]] if kind is Kind.JSON else [data]
        boundaries.append(tail, data, now)
        for piece in pieces:
            messages.append(Message(tail, tail + len(piece), now))
            tail += len(piece)
        assert boundaries.start == boundaries.earliest_at(now) == begins_at(messages, policy, now)


def kept_elsewhere(boundaries: Boundaries, store: dict[int, tuple[array[int], array[float], array[int]]]) -> None:
    """Keep the chunks that have changed, as a base store does."""
    store.update(boundaries.changed_chunks())
    for number in [number for number in store if number < boundaries.first_chunk]:
        del store[number]


def restored(boundaries: Boundaries, store: dict[int, tuple[array[int], array[float], array[int]]]) -> Boundaries:
    again = Boundaries(boundaries.policy, Kind.BINARY, boundaries.start)
    numbers = sorted(store)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
    ends, times, counts = array("Q"), array("d"), array("I")
    for number in numbers:
        more = store[number]
        ends.extend(more[0])
        times.extend(more[1])
        counts.extend(more[2])
    again.restore(numbers[0] if numbers else 0, (ends, times, counts))
    return again


@given(
    st.builds(
        Retention, st.none() | st.integers(1, 5000), st.none() | st.integers(1, 900), LIMIT | st.just(9 * FINENESS)
    ),
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 50), st.integers(0, 900), st.booleans()), max_size=8),
)
def test_chunks_kept_elsewhere_give_the_same_again(policy: Retention, bursts: list[tuple[int, int, int, bool]]) -> None:
    """However often it is kept and restored, nothing is different afterwards."""
    reference, boundaries = (Boundaries(policy, Kind.BINARY, 0) for _ in range(2))
    store: dict[int, tuple[array[int], array[float], array[int]]] = {}
    tail, now = 0, 1000.0
    for count, length, pause, is_kept in bursts:
        now += pause
        for _ in range(count):
            reference.append(tail, b"x" * length, now)
            boundaries.append(tail, b"x" * length, now)
            tail += length
        if is_kept:
            kept_elsewhere(boundaries, store)
            boundaries = restored(boundaries, store)
        for later in (0, 1, 1000, 10_000):
            assert boundaries.earliest_at(now + later) == reference.earliest_at(now + later)
        assert (boundaries.start, boundaries.messages, boundaries.due) == (
            reference.start,
            reference.messages,
            reference.due,
        )


@pytest.mark.parametrize(
    "policy",
    [Retention(max_age=86_400), Retention(max_messages=10 * FINENESS), Retention(max_bytes=10 * 20 * FINENESS)],
)
def test_large_limits_are_held_in_bounded_memory_and_nearly_exactly(policy: Retention) -> None:
    """Never by more than a 65,536th wrong, always where a message ends, with at most 65,536 groups to remember."""
    boundaries = Boundaries(policy, Kind.BINARY, 0)
    data = b"x" * 20
    pause, count = 86_400 / (10 * FINENESS), 12 * FINENESS
    for number in range(count):
        boundaries.append(number * 20, data, number * pause)
    exact = (count - 10 * FINENESS) * 20
    assert boundaries.start % 20 == 0
    assert abs(boundaries.start - exact) <= 10 * 20
    assert len(boundaries) <= FINENESS + 1


def test_the_memory_of_what_was_dropped_comes_back() -> None:
    boundaries = Boundaries(Retention(max_messages=10), Kind.BINARY, 0)
    for number in range(100 * CHUNK):
        boundaries.append(number, b"x", 0.0)
    assert len(boundaries._ends) < 2 * CHUNK + 10


def test_times_follow_each_other_even_when_the_clock_does_not() -> None:
    boundaries = Boundaries(Retention(max_age=10), Kind.BINARY, 0)
    boundaries.append(0, b"a", 100.0)
    boundaries.append(1, b"b", 50.0)
    assert [boundaries.earliest_at(now) for now in (109.0, 110.0)] == [0, 2]


@pytest.mark.parametrize(("index", "name"), [(0, "Max-Age"), (1, "Max-Messages"), (2, "Max-Bytes")])
@pytest.mark.parametrize("limit", [0, -1, 2**53])
def test_a_limit_is_a_whole_number_above_zero(index: int, name: str, limit: int) -> None:
    limits: list[int | None] = [None, None, None]
    limits[index] = limit
    with pytest.raises(MalformedField) as refusal:
        Retention(limits[0], limits[1], limits[2])
    assert refusal.value.field == f"Stream-Retention-{name}"
