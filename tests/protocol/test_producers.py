"""Idempotent producers: the validation table (Section 5.2.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_streams.errors import ProducerEpochStart, ProducerFenced, ProducerSequenceGap, StreamError
from durable_streams.protocol.producers import ProducerClaim, ProducerState, is_duplicate

STATE = ProducerState(epoch=3, last_seq=7)


def claim(epoch: int, seq: int) -> ProducerClaim:
    return ProducerClaim("order-service-1", epoch, seq)


@pytest.mark.parametrize("epoch", [0, 5])
def test_an_unknown_producer_begins_at_zero_in_any_epoch(epoch: int) -> None:
    """Section 5.2.1, "Bootstrap": (0, 0) establishes the producer; a restarted one may come with a later epoch."""
    assert not is_duplicate(None, claim(epoch, 0))


def test_an_unknown_producer_that_begins_later_has_a_gap() -> None:
    """Section 5.2.1: seq 1 before seq 0 is a sequence gap."""
    with pytest.raises(ProducerSequenceGap) as refusal:
        is_duplicate(None, claim(0, 2))
    assert (refusal.value.expected, refusal.value.received) == (0, 2)


def test_the_next_batch_is_new() -> None:
    """Section 5.2.1: ``seq == lastSeq + 1`` is accepted."""
    assert not is_duplicate(STATE, claim(3, 8))


@pytest.mark.parametrize("seq", [0, 6, 7])
def test_an_earlier_batch_is_a_duplicate(seq: int) -> None:
    """Section 5.2.1: ``seq <= lastSeq`` is an idempotent success."""
    assert is_duplicate(STATE, claim(3, seq))


def test_a_batch_that_comes_too_early_is_told_what_is_missing() -> None:
    """Section 5.2.1: a gap is a conflict with the expected and the received number."""
    with pytest.raises(ProducerSequenceGap) as refusal:
        is_duplicate(STATE, claim(3, 9))
    assert refusal.value.producer_id == "order-service-1"
    assert (refusal.value.expected, refusal.value.received) == (8, 9)


@pytest.mark.parametrize("epoch", [4, 2**53 - 1])
def test_a_new_epoch_begins_at_zero(epoch: int) -> None:
    """Section 5.2.1, "Restart": a greater epoch at seq 0 is accepted."""
    assert not is_duplicate(STATE, claim(epoch, 0))


@pytest.mark.parametrize("seq", [1, 8])
def test_a_new_epoch_that_begins_later_is_refused(seq: int) -> None:
    """Section 5.2.1: a new epoch must start at seq 0."""
    with pytest.raises(ProducerEpochStart) as refusal:
        is_duplicate(STATE, claim(4, seq))
    assert refusal.value.received == seq


@pytest.mark.parametrize("seq", [0, 7, 8, 9])
def test_a_stale_epoch_is_fenced_whatever_its_number(seq: int) -> None:
    """Section 5.2.1, "Zombie fencing": the refusal carries the current epoch."""
    with pytest.raises(ProducerFenced) as refusal:
        is_duplicate(STATE, claim(2, seq))
    assert refusal.value.current_epoch == 3


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=60))
def test_whatever_arrives_an_epoch_is_accepted_in_order_without_gap_or_repeat(arrivals: list[tuple[int, int]]) -> None:
    """Section 5.2.1: exactly once, under any reordering and repetition."""
    state = None
    accepted = []
    for epoch, seq in arrivals:
        try:
            duplicate = is_duplicate(state, claim(epoch, seq))
        except StreamError:
            continue
        if not duplicate:
            state = ProducerState(epoch, seq)
            accepted.append((epoch, seq))
    assert accepted == sorted(set(accepted))
    for epoch in {epoch for epoch, _ in accepted}:
        numbers = [seq for of, seq in accepted if of == epoch]
        assert numbers == list(range(len(numbers)))
