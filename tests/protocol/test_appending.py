"""Appending and closing (Sections 5.2, 5.2.1 and 5.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_streams.errors import (
    ContentTypeMismatch,
    EmptyAppend,
    InvalidMessages,
    PreconditionFailed,
    ProducerEpochStart,
    ProducerFenced,
    ProducerSequenceGap,
    StreamError,
    StreamIsClosed,
    StreamSeqRegression,
)
from durable_streams.protocol.appending import decide_append
from durable_streams.protocol.commands import Append
from durable_streams.protocol.etags import etag
from durable_streams.protocol.events import Appended, StreamCreated
from durable_streams.protocol.producers import ProducerClaim, ProducerState
from durable_streams.protocol.stream import Stream

PATH = "logs/today"
CREATED_AT = 1000.0
AT = 2000.0


def new_stream(content_type: str = "text/plain", data: bytes = b"") -> Stream:
    return Stream.created_by(StreamCreated(1, CREATED_AT, PATH, content_type, None, None, None, data, False))


def claim(seq: int, epoch: int = 0, producer: str = "p") -> ProducerClaim:
    return ProducerClaim(producer, epoch, seq)


def append(
    body: bytes = b"",
    content_type: str | None = None,
    *,
    stream_seq: str | None = None,
    producer: ProducerClaim | None = None,
    close: bool = False,
) -> Append:
    return Append(PATH, body, content_type, stream_seq, producer, close)


def perform(stream: Stream, command: Append) -> Appended | None:
    """Decide and apply, as a storage does."""
    event = decide_append(stream, command, AT)
    if event is not None:
        stream.apply_append(event)
    return event


class TestAnAppend:
    def test_adds_its_bytes_at_the_tail(self) -> None:
        """Section 5.2: bytes are appended to the end."""
        stream = new_stream(data=b"12345")
        assert perform(stream, append(b"678")) == Appended(1, AT, 5, b"678", None, None, False)
        assert stream.tail == 8

    def test_is_an_access(self) -> None:
        """Section 5.1: each write restarts the window of a TTL."""
        stream = new_stream()
        perform(stream, append(b"1"))
        assert stream.accessed_at == AT

    def test_without_bytes_is_refused(self) -> None:
        """Section 5.2: an empty body is refused unless it closes."""
        with pytest.raises(EmptyAppend):
            decide_append(new_stream(), append(), AT)

    @pytest.mark.parametrize("content_type", [None, "text/plain", "TEXT/Plain", "text/plain; charset=utf-8"])
    def test_of_the_streams_type_is_taken(self, content_type: str | None) -> None:
        """Section 5.2: content types must match; they do when their media types are equal."""
        assert decide_append(new_stream("text/plain;charset=ascii"), append(b"1", content_type), AT) is not None

    def test_of_another_type_is_a_conflict(self) -> None:
        """Sections 5.2 and 12.4: the refusal names both types."""
        with pytest.raises(ContentTypeMismatch) as refusal:
            decide_append(new_stream("text/plain"), append(b"1", "text/html"), AT)
        assert (refusal.value.expected, refusal.value.received) == ("text/plain", "text/html")


class TestAnAppendOfJson:
    def test_stores_each_element_as_a_message(self) -> None:
        """Section 9.1.2: exactly one level of an array is flattened."""
        event = decide_append(new_stream("application/json"), append(b'[{"a":1}, [2]]'), AT)
        assert event is not None
        assert event.data == b'{"a":1}\x1e[2]\x1e'

    @pytest.mark.parametrize("close", [False, True])
    def test_of_an_empty_array_is_refused(self, close: bool) -> None:
        """Section 9.1.3: it appends nothing, so it is a mistake, even where it would close."""
        stream = new_stream("application/json")
        with pytest.raises(EmptyAppend):
            perform(stream, append(b" [] ", close=close))
        assert not stream.closed

    def test_that_is_none_is_refused(self) -> None:
        """Section 9.1.4: appended data is validated."""
        with pytest.raises(InvalidMessages):
            decide_append(new_stream("application/json"), append(b'{"a":'), AT)


class TestStreamSeq:
    @pytest.mark.parametrize(("last", "next_one"), [("09", "10"), ("a", "b"), ("Z", "a"), ("a", "aa"), ("2", "\xe9")])
    def test_must_grow_byte_by_byte(self, last: str, next_one: str) -> None:
        """Section 5.2: byte-wise lexicographic order."""
        stream = new_stream()
        perform(stream, append(b"1", stream_seq=last))
        perform(stream, append(b"2", stream_seq=next_one))
        assert stream.stream_seq == next_one

    @pytest.mark.parametrize(("last", "next_one"), [("2", "10"), ("a", "a"), ("a", "Z"), ("aa", "a")])
    def test_that_does_not_grow_is_a_conflict(self, last: str, next_one: str) -> None:
        """Sections 5.2 and 12.6: less or equal is a regression."""
        stream = new_stream()
        perform(stream, append(b"1", stream_seq=last))
        with pytest.raises(StreamSeqRegression) as refusal:
            decide_append(stream, append(b"2", stream_seq=next_one), AT)
        assert (refusal.value.last, refusal.value.received) == (last, next_one)

    def test_is_one_sequence_for_all_writers_of_a_stream(self) -> None:
        """Section 5.2: the scope is documented; here it is the stream, not the producer."""
        stream = new_stream()
        perform(stream, append(b"1", stream_seq="5", producer=claim(0, producer="one")))
        with pytest.raises(StreamSeqRegression):
            decide_append(stream, append(b"2", stream_seq="4", producer=claim(0, producer="other")), AT)

    def test_may_be_left_out_in_between(self) -> None:
        """Section 5.2: the header is optional, and the last value stays."""
        stream = new_stream()
        perform(stream, append(b"1", stream_seq="5"))
        perform(stream, append(b"2"))
        assert stream.stream_seq == "5"


class TestAProducer:
    def test_is_known_after_its_first_batch(self) -> None:
        """Section 5.2.1: data and producer state change in one event."""
        stream = new_stream()
        event = perform(stream, append(b"1", producer=claim(0, epoch=2)))
        assert event is not None
        assert (event.data, event.producer) == (b"1", claim(0, epoch=2))
        assert stream.producers == {"p": ProducerState(2, 0)}

    def test_that_repeats_a_batch_changes_nothing(self) -> None:
        """Section 5.2.1: a duplicate is an idempotent success, whatever body and type it carries this time."""
        stream = new_stream()
        perform(stream, append(b"1", producer=claim(0)))
        perform(stream, append(b"2", stream_seq="b", producer=claim(1)))
        assert perform(stream, append(b"other", "text/html", stream_seq="a", producer=claim(0))) is None
        assert (stream.tail, stream.stream_seq) == (2, "b")

    def test_does_not_disturb_another(self) -> None:
        """Section 5.2.1: state is kept per producer."""
        stream = new_stream()
        perform(stream, append(b"1", producer=claim(0, producer="one")))
        perform(stream, append(b"2", producer=claim(0, producer="other")))
        assert stream.tail == 2

    @pytest.mark.parametrize(
        ("wrong", "refusal"),
        [
            (claim(5, epoch=1), ProducerSequenceGap),
            (claim(1, epoch=2), ProducerEpochStart),
            (claim(1, epoch=0), ProducerFenced),
        ],
    )
    def test_out_of_turn_is_refused(self, wrong: ProducerClaim, refusal: type[StreamError]) -> None:
        """Section 5.2.1: the validation table."""
        stream = new_stream()
        perform(stream, append(b"1", producer=claim(0, epoch=1)))
        with pytest.raises(refusal):
            decide_append(stream, append(b"2", producer=wrong), AT)

    @pytest.mark.parametrize(
        "failing",
        [
            append(b"{", producer=claim(0)),
            append(b"[]", producer=claim(0)),
            append(b"1", "text/plain", producer=claim(0)),
            append(b"1", stream_seq="a", producer=claim(0)),
        ],
        ids=["no JSON", "no messages", "another type", "sequence regression"],
    )
    def test_may_use_the_number_of_a_refused_batch_again(self, failing: Append) -> None:
        """Section 5.2.1: state and data change together, so a refusal uses no number up."""
        stream = new_stream("application/json")
        perform(stream, append(b"0", stream_seq="b"))
        with pytest.raises(StreamError):
            perform(stream, failing)
        assert perform(stream, append(b"1", producer=claim(0))) is not None


class TestClosing:
    @pytest.mark.parametrize("content_type", ["text/plain", "application/json", "application/octet-stream"])
    def test_without_a_body_appends_nothing(self, content_type: str) -> None:
        """Section 5.3: the tail is unchanged, and no body is no bad JSON."""
        stream = new_stream(content_type, b"12345")
        event = perform(stream, append(close=True))
        assert event is not None
        assert (event.start, event.data, event.closed) == (5, b"", True)
        assert (stream.tail, stream.closed) == (5, True)

    def test_with_a_body_is_one_step(self) -> None:
        """Section 5.2: the body is the final data, in the same event."""
        stream = new_stream()
        event = perform(stream, append(b"end", close=True))
        assert event is not None
        assert (event.data, event.closed) == (b"end", True)

    def test_again_succeeds_and_changes_nothing(self) -> None:
        """Section 5.2: close-only requests are idempotent."""
        stream = new_stream()
        perform(stream, append(close=True))
        assert perform(stream, append(close=True)) is None

    def test_with_a_refused_body_leaves_the_stream_open(self) -> None:
        """Section 5.2: append and close are atomic."""
        stream = new_stream()
        with pytest.raises(ContentTypeMismatch):
            perform(stream, append(b"1", "text/html", close=True))
        assert not stream.closed

    def test_by_a_producer_uses_its_next_number(self) -> None:
        """Section 5.2.1, "Close without append": the producer headers count for it too."""
        stream = new_stream()
        perform(stream, append(b"1", producer=claim(0)))
        perform(stream, append(producer=claim(1), close=True))
        assert stream.producers == {"p": ProducerState(0, 1)}
        assert stream.closed_by == claim(1)


class TestAClosedStream:
    @pytest.fixture
    def closed(self) -> Stream:
        """Closed by batch 1 of epoch 1 of the producer ``p``, at position 5."""
        stream = new_stream("application/json")
        perform(stream, append(b"1", stream_seq="b", producer=claim(0, epoch=1)))
        perform(stream, append(b"22", producer=claim(1, epoch=1), close=True))
        assert stream.tail == 5
        return stream

    @pytest.mark.parametrize(
        "command",
        [
            append(b"3"),
            append(b"3", close=True),
            append(b"3", "text/html"),
            append(b"3", stream_seq="a"),
            append(b"{"),
            append(b"[]"),
            append(),
        ],
        ids=["append", "append and close", "another type", "sequence regression", "no JSON", "no messages", "nothing"],
    )
    def test_refuses_every_append_with_its_end(self, closed: Stream, command: Append) -> None:
        """Section 5.2, "Error Precedence": closed comes first, and the refusal tells the final offset."""
        with pytest.raises(StreamIsClosed) as refusal:
            decide_append(closed, command, AT)
        assert refusal.value.tail == 5

    @pytest.mark.parametrize("close", [True, False])
    def test_knows_the_batch_that_closed_it(self, closed: Stream, close: bool) -> None:
        """Section 5.2.1: the same (producer, epoch, seq) is a deduplicated success."""
        assert perform(closed, append(b"22", producer=claim(1, epoch=1), close=close)) is None

    @pytest.mark.parametrize(
        "other",
        [claim(0, epoch=1), claim(2, epoch=1), claim(3, epoch=1), claim(0, epoch=2), claim(1, epoch=1, producer="q")],
        ids=["earlier batch", "next batch", "gap", "new epoch", "other producer"],
    )
    @pytest.mark.parametrize("close", [True, False])
    def test_refuses_every_other_batch(self, closed: Stream, other: ProducerClaim, close: bool) -> None:
        """Section 5.2.1: "Otherwise, return 409": only the closing batch is repeated."""
        with pytest.raises(StreamIsClosed):
            decide_append(closed, append(b"3", producer=other, close=close), AT)

    def test_tells_a_zombie_that_it_is_fenced(self, closed: Stream) -> None:
        """Section 5.2.1, "Zombie fencing": a stale epoch learns the current one, closed or not."""
        with pytest.raises(ProducerFenced) as refusal:
            decide_append(closed, append(b"3", producer=claim(0, epoch=0)), AT)
        assert refusal.value.current_epoch == 1

    def test_that_no_producer_closed_refuses_every_producer(self) -> None:
        """Section 5.2.1: there is no closing batch that could be repeated."""
        stream = new_stream()
        perform(stream, append(b"1", producer=claim(0)))
        perform(stream, append(close=True))
        with pytest.raises(StreamIsClosed):
            decide_append(stream, append(b"1", producer=claim(0)), AT)


class TestTheOrderOfRefusals:
    """Section 5.2, "Error Precedence"."""

    def test_a_producer_out_of_turn_comes_before_its_content_type(self) -> None:
        """Section 5.2.1: fencing does not depend on what a zombie sends."""
        stream = new_stream()
        perform(stream, append(b"1", producer=claim(0, epoch=1)))
        with pytest.raises(ProducerFenced):
            decide_append(stream, append(b"2", "text/html", producer=claim(1)), AT)

    def test_a_content_type_comes_before_a_sequence_regression(self) -> None:
        """Section 5.2: content type mismatch, then sequence regression."""
        stream = new_stream()
        perform(stream, append(b"1", stream_seq="b"))
        with pytest.raises(ContentTypeMismatch):
            decide_append(stream, append(b"2", "text/html", stream_seq="a"), AT)


REQUESTS = st.builds(
    append,
    st.sampled_from([b"", b"1", b"22"]),
    st.sampled_from([None, "text/plain", "text/html"]),
    stream_seq=st.sampled_from([None, "a", "b", "c"]),
    producer=st.none() | st.builds(claim, st.integers(0, 3), st.integers(0, 2), st.sampled_from(["p", "q"])),
    close=st.integers(0, 9).map(lambda number: number == 0),
)


@given(st.lists(REQUESTS, max_size=25))
def test_whatever_is_asked_the_stream_only_grows_and_never_opens_again(requests: list[Append]) -> None:
    """Section 4: bytes are only appended, closure is monotonic, and what is refused leaves no trace."""
    stream = new_stream()
    for request in requests:
        before = (stream.tail, stream.closed, stream.stream_seq, dict(stream.producers), stream.accessed_at)
        try:
            event = perform(stream, request)
        except StreamError:
            event = None
        if event is None:
            after = (stream.tail, stream.closed, stream.stream_seq, dict(stream.producers), stream.accessed_at)
            assert after == before
        else:
            assert not before[1]
            assert event.start == before[0]
            assert stream.tail == before[0] + len(request.body)
            assert stream.closed == request.close


def test_an_append_may_insist_on_the_state_that_it_knows() -> None:
    """RFC 9110, 13.1.1: of two that know the same state, the second one is refused, and told the state of now."""
    stream = new_stream(data=b"data")
    known = (etag(1, 0, 4, False),)
    perform(stream, Append(PATH, b"first", if_match=known))
    with pytest.raises(PreconditionFailed) as refusal:
        perform(stream, Append(PATH, b"second", if_match=known))
    assert refusal.value.etag == etag(1, 9, 9, False)
    perform(stream, Append(PATH, b"second", if_match=(refusal.value.etag,)))
    assert stream.tail == 15


def test_a_repeated_batch_is_recognised_although_the_state_has_changed_by_it() -> None:
    """Section 5.2.1: a producer may repeat what it does not know to have arrived, its condition included."""
    stream = new_stream()
    command = Append(PATH, b"data", producer=claim(0), if_match=(etag(1, 0, 0, False),))
    assert perform(stream, command) is not None
    assert perform(stream, command) is None
