"""Idempotent producers: exactly-once appends by (id, epoch, sequence number) (Section 5.2.1)."""

from __future__ import annotations

from msgspec import Struct

from durable_streams.errors import (
    ProducerEpochStart,
    ProducerFenced,
    ProducerSequenceGap,
)


class ProducerClaim(Struct, frozen=True, array_like=True):
    """What one append says of its producer."""

    producer_id: str
    epoch: int
    seq: int


class ProducerState(Struct, frozen=True, array_like=True):
    """What a stream knows of one producer: its epoch, and the last sequence number accepted in it."""

    epoch: int
    last_seq: int


def is_duplicate(state: ProducerState | None, claim: ProducerClaim) -> bool:
    """Whether the claim's batch was accepted before; False when it is the next one.

    Raises ``ProducerFenced``, ``ProducerEpochStart`` or ``ProducerSequenceGap`` when it is neither.
    """
    if state is None:
        if claim.seq:
            raise ProducerSequenceGap(claim.producer_id, 0, claim.seq)
        return False
    if claim.epoch < state.epoch:
        raise ProducerFenced(claim.producer_id, state.epoch)
    if claim.epoch > state.epoch:
        if claim.seq:
            raise ProducerEpochStart(claim.producer_id, claim.seq)
        return False
    if claim.seq > state.last_seq + 1:
        raise ProducerSequenceGap(claim.producer_id, state.last_seq + 1, claim.seq)
    return claim.seq <= state.last_seq
