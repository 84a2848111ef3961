"""Retention, purely: which messages are kept, and what it costs to know."""

from __future__ import annotations

from math import inf, nextafter
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_streams.errors import MalformedField
from durable_streams.protocol.content_types import Kind
from durable_streams.protocol.json_messages import stored_form
from durable_streams.protocol.retention import Boundaries, Chunk, Retention
from durable_streams.protocol.rising_numbers import RisingNumbers
from tests.short_chunks import short_chunks


class Message(NamedTuple):
    """A message as the naive model knows it."""

    start: int
    end: int
    at: float


def begins_at(messages: list[Message], policy: Retention, now: float, tail: int) -> int:
    """Where what is kept begins, as the policy's description says it, looking at all messages there ever were."""
    for index, message in enumerate(messages):
        newer = len(messages) - 1 - index
        too_old = policy.max_age is not None and message.at <= now - policy.max_age
        too_many = policy.max_messages is not None and newer >= policy.max_messages
        too_large = policy.max_bytes is not None and newer > 0 and tail - message.start > policy.max_bytes
        if not (too_old or too_many or too_large):
            return message.start
    return tail


def kept_elsewhere(boundaries: Boundaries, store: dict[int, Chunk]) -> None:
    """Keep the chunks that have changed, as a base store does."""
    store.update(boundaries.changed_chunks())
    for number in [number for number in store if number < boundaries.first_chunk]:
        del store[number]


def restored(boundaries: Boundaries, kind: Kind, store: dict[int, Chunk]) -> Boundaries:
    """What is known after a restart."""
    again = Boundaries(boundaries.policy, kind, boundaries.start)
    numbers = sorted(store)
    if numbers:
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        again.restore(numbers[0], [store[number] for number in numbers])
    return again


LIMIT = st.none() | st.integers(1, 60)
POLICIES = st.builds(Retention, LIMIT, LIMIT, st.none() | st.integers(1, 400))
APPENDS = st.lists(
    st.tuples(
        st.lists(st.integers(1, 10**6) | st.just(10**300), min_size=1, max_size=20),
        st.sampled_from((0, 0, 0.001, 1, 3, 20)),
        st.sampled_from(("", "", "keep", "restart", "drop")),
    ),
    max_size=60,
)


@given(POLICIES, APPENDS, st.sampled_from([Kind.JSON, Kind.BINARY]), st.sampled_from([1, 4, RisingNumbers.CHUNK]))
def test_it_keeps_exactly_what_the_naive_model_keeps(
    policy: Retention, appends: list[tuple[list[int], float, str]], kind: Kind, chunk: int
) -> None:
    """In chunks of any length, however often they are kept elsewhere and restored, and wherever in one the edge is."""
    with short_chunks(chunk):
        boundaries = Boundaries(policy, kind, 0)
        messages: list[Message] = []
        store: dict[int, Chunk] = {}
        tail, now = 0, 1_700_000_000.0
        for values, pause, then in appends:
            now += pause
            assert boundaries.earliest_at(now) == begins_at(messages, policy, now, tail)
            data = stored_form(repr(values).encode())
            pieces = [part + b"\x1e" for part in data.split(b"\x1e")[:-1]] if kind is Kind.JSON else [data]
            boundaries.append(tail, data, now)
            for piece in pieces:
                messages.append(Message(tail, tail + len(piece), now))
                tail += len(piece)
            if then == "drop":
                messages = messages[len(messages) // 2 :]
                boundaries.drop_before(messages[0].start)
            if then in ("keep", "restart"):
                kept_elsewhere(boundaries, store)
            if then == "restart":
                boundaries = restored(boundaries, kind, store)
            for later in (0, 1, 2.5, 70):
                assert boundaries.earliest_at(now + later) == begins_at(messages, policy, now + later, tail)
            messages = [message for message in messages if message.start >= boundaries.start]
            if policy.max_age is not None:
                assert boundaries.due == (messages[0].at + policy.max_age if messages else None)
            if policy.max_messages is not None:
                assert boundaries.messages == len(messages)


@given(
    st.builds(Retention, st.none() | st.integers(1, 5000), st.none() | st.integers(1, 6000), LIMIT | st.just(300_000)),
    st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 300), st.integers(0, 900), st.booleans()), max_size=8),
)
def test_chunks_kept_elsewhere_give_the_same_again(policy: Retention, bursts: list[tuple[int, int, int, bool]]) -> None:
    """However often it is kept and restored, nothing is different afterwards."""
    reference, boundaries = (Boundaries(policy, Kind.BINARY, 0) for _ in range(2))
    store: dict[int, Chunk] = {}
    tail, now = 0, 1000.0
    for count, length, pause, is_kept in bursts:
        now += pause
        for _ in range(count):
            reference.append(tail, b"x" * length, now)
            boundaries.append(tail, b"x" * length, now)
            tail += length
        if is_kept:
            kept_elsewhere(boundaries, store)
            boundaries = restored(boundaries, Kind.BINARY, store)
        for later in (0, 1, 1000, 10_000):
            assert boundaries.earliest_at(now + later) == reference.earliest_at(now + later)
        assert (boundaries.start, boundaries.messages, boundaries.due) == (
            reference.start,
            reference.messages,
            reference.due,
        )


def test_only_chunks_that_have_changed_are_kept_again() -> None:
    boundaries = Boundaries(Retention(max_messages=10_000), Kind.BINARY, 0)
    for number in range(6000):
        boundaries.append(number, b"x", 0.0)
    boundaries = restored(boundaries, Kind.BINARY, dict(boundaries.changed_chunks()))
    assert list(boundaries.changed_chunks()) == []
    boundaries.append(6000, b"x", 0.0)
    assert [number for number, _ in boundaries.changed_chunks()] == [6000 // RisingNumbers.CHUNK]


@pytest.mark.parametrize("kind", [Kind.JSON, Kind.BINARY])
@pytest.mark.parametrize(
    "policy",
    [Retention(max_age=8640), Retention(max_messages=200_000), Retention(max_bytes=20 * 200_000)],
)
def test_a_large_limit_is_held_to_the_message(policy: Retention, kind: Kind) -> None:
    """At every append, with a few bytes to remember for each message: here none, as all are alike, or two of a time."""
    boundaries = Boundaries(policy, kind, 0)
    data = b"x" * 19 + b"\x1e"
    pause, limit = 8640 / 200_000, 200_000
    for number in range(limit + 5000):
        boundaries.append(number * 20, data, round((1_700_000_000 + number * pause) * 2**22) / 2**22)
        if number > limit:
            assert abs(boundaries.start - (number + 1 - limit) * 20) <= (20 if policy.max_age else 0)
    assert abs(boundaries.messages - limit) <= (1 if policy.max_age else 0)
    assert boundaries.size <= 5 * limit + 2 * 8 * RisingNumbers.LOOSE


def test_the_memory_of_what_was_dropped_comes_back() -> None:
    boundaries = Boundaries(Retention(max_messages=10, max_age=10), Kind.BINARY, 0)
    for number in range(100 * RisingNumbers.CHUNK):
        boundaries.append(number, b"x", 0.0)
        assert boundaries.size <= 2 * 8 * (RisingNumbers.CHUNK + 10)


def test_a_batch_that_is_larger_than_the_limit_leaves_nothing_behind() -> None:
    boundaries = Boundaries(Retention(max_messages=10), Kind.JSON, 0)
    boundaries.append(0, b"1\x1e" * 100_000, 0.0)
    assert (boundaries.start, boundaries.messages) == (2 * 99_990, 10)
    assert boundaries.size <= 8 * (RisingNumbers.CHUNK + 10)


def test_what_is_dropped_may_be_in_the_middle_of_a_chunk() -> None:
    """Then the rest of the chunk goes one by one."""
    boundaries = Boundaries(Retention(max_messages=6000), Kind.BINARY, 0)
    for number in range(5000):
        boundaries.append(10 * number, b"x" * 10, 0.0)
    boundaries.drop_before(1230)
    assert (boundaries.start, boundaries.messages) == (1230, 4877)
    for number in range(5000, 6200):
        boundaries.append(10 * number, b"x" * 10, 0.0)
    assert (boundaries.start, boundaries.messages) == (2000, 6000)


def test_times_are_told_apart_as_finely_as_a_clock_tells_them() -> None:
    """Two moments of today's clock that follow each other are two times."""
    boundaries = Boundaries(Retention(max_age=100_000), Kind.BINARY, 0)
    first = 1_700_000_000.0
    second = nextafter(first, inf)
    boundaries.append(0, b"a", first)
    boundaries.append(1, b"b", second)
    edges = [boundaries.earliest_at(now + 100_000) for now in (nextafter(first, 0), first, second)]
    assert edges == [0, 1, 2]


def test_the_order_of_times_is_known_when_everything_was_dropped() -> None:
    """Also after a restart, so that what is worked out again is the same."""
    boundaries = Boundaries(Retention(max_age=10), Kind.BINARY, 0)
    count = RisingNumbers.CHUNK
    for number in range(count):
        boundaries.append(number, b"x", 100.0)
    boundaries.drop_before(count)
    assert (boundaries.messages, boundaries.due, boundaries.end) == (0, None, count)
    store: dict[int, Chunk] = {}
    kept_elsewhere(boundaries, store)
    for known in (boundaries, restored(boundaries, Kind.BINARY, store)):
        known.append(count, b"y", 50.0)
        assert known.due == 110.0


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
