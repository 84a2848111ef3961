"""What is written into a segment is read back from it, however it was put together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from durable_streams.protocol.events import Appended, Event
from durable_streams.protocol.producers import ProducerClaim
from durable_streams.storage.local.segment import (
    LARGE_RECORD,
    LargePayload,
    SegmentReader,
    SegmentWriter,
    encode_append,
    encode_event,
    header,
)

_claims = st.none() | st.builds(ProducerClaim, st.text(max_size=40), st.integers(0, 2**53), st.integers(0, 2**53))
_lengths = st.integers(0, 300) | st.integers(LARGE_RECORD - 3, LARGE_RECORD + 3) | st.just(1_000_000)
_appends = st.builds(
    Appended,
    stream_id=st.integers(1, 2**63),
    at=st.floats(0, 1e10),
    start=st.integers(0, 2**63),
    data=_lengths.map(lambda length: b"\xc6" * length),
    stream_seq=st.none() | st.text(max_size=40),
    producer=_claims,
    closed=st.booleans(),
)


@given(_appends)
def test_an_append_is_the_same_record_whether_its_data_is_copied_or_not(event: Appended) -> None:
    """So a reader need not know how large data was handed over."""
    payload = encode_append(event)
    parts = [payload.head, payload.data, payload.rest] if isinstance(payload, LargePayload) else [payload]
    assert isinstance(payload, LargePayload) == (len(event.data) >= LARGE_RECORD)
    assert b"".join(parts) == encode_event(event)
    assert len(payload) == len(encode_event(event))


@given(st.lists(_appends, min_size=1, max_size=4))
def test_a_batch_is_read_back(events: list[Appended]) -> None:
    """With its checksums, which run through the parts of a large record."""
    writer = SegmentWriter(7, 99)
    records = b"".join(writer.records([encode_append(event) for event in events]))
    batch = writer.batch_header(writer.next_number(), len(records)) + records
    content = header(7, 0, 99) + batch + writer.seal()
    reader = SegmentReader(7, content)
    found: list[Event] = list(reader.events())
    assert found == events
    assert reader.sealed
