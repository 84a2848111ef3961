"""Idempotent producers (Section 5.2.1)."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from durable_streams.client import (
    BadRequest,
    Batching,
    ClientError,
    ConnectionFailed,
    InvalidArgument,
    PayloadTooLarge,
    Producer,
    ProducerBatch,
    ProducerFenced,
    ProducerSequenceGap,
    ProducerStopped,
    ServerFailure,
    StreamClosed,
    StreamHandle,
    StreamNotFound,
)
from durable_streams.testing import MemoryServer
from tests.client.outcomes import error_of, is_waiting, result_of
from tests.client.scripted_server import Asked, Script, ScriptedServer, answer

ONE_EACH = Batching(max_items=1, max_in_flight=10)
DUPLICATE = answer(204, {"Stream-Next-Offset": "9"})


def accepted(offset: str = "9") -> bytes:
    return answer(200, {"Stream-Next-Offset": offset})


def gap(expected: int, received: int) -> bytes:
    return answer(409, {"Producer-Expected-Seq": str(expected), "Producer-Received-Seq": str(received)})


def fenced(epoch: int) -> bytes:
    return answer(403, {"Producer-Epoch": str(epoch)})


def hold(asked: Asked) -> None:
    """Answers later, by hand."""


def cut(asked: Asked) -> None:
    asked.cut()


def claims(server: ScriptedServer) -> list[tuple[int, int, bytes]]:
    """Epoch, sequence number and body of every request."""
    return [
        (int(asked.headers["producer-epoch"]), int(asked.headers["producer-seq"]), asked.body) for asked in server.asked
    ]


def producer_on(server: ScriptedServer, **options: Any) -> Producer:
    return server.stream(content_type="text/plain").producer("p", **options)


@pytest.fixture
def text(server: MemoryServer) -> StreamHandle:
    stream = server.stream("text")
    result_of(stream.create(content_type="text/plain"))
    return stream


@pytest.fixture
def json(server: MemoryServer) -> StreamHandle:
    stream = server.stream("json")
    result_of(stream.create(content_type="application/json"))
    return stream


class TestBatching:
    def test_appends_of_one_turn_travel_together(self) -> None:
        """One request for what was appended before the reactor's next turn."""
        server = ScriptedServer([accepted()])
        producer = producer_on(server)
        batches = {producer.append(letter) for letter in "abc"}
        assert server.asked == []
        server.advance()
        assert claims(server) == [(0, 0, b"abc")]
        (batch,) = batches
        receipt = result_of(batch.when_settled())
        assert (receipt.offset, receipt.duplicate, receipt.epoch, receipt.seq) == ("9", False, 0, 0)

    def test_linger_waits_for_more(self) -> None:
        """Within ``linger`` seconds a batch is filled."""
        server = ScriptedServer([accepted()])
        producer = producer_on(server, batching=Batching(linger=0.5))
        producer.append("a")
        server.advance(0.4)
        producer.append("b")
        assert server.asked == []
        server.advance(0.1)
        assert claims(server) == [(0, 0, b"ab")]

    def test_flush_does_not_linger(self) -> None:
        """What is waiting goes at once, and the Deferred fires when it has arrived."""
        server = ScriptedServer([hold])
        producer = producer_on(server, batching=Batching(linger=60))
        producer.append("a")
        flushed = producer.flush()
        assert is_waiting(flushed)
        server.asked[0].say(accepted())
        server.advance()
        assert result_of(flushed) is None

    def test_flush_of_nothing_fires_at_once(self) -> None:
        """There is nothing to wait for."""
        assert result_of(producer_on(ScriptedServer([])).flush()) is None

    def test_a_batch_is_sealed_at_its_size(self) -> None:
        """An append that does not fit begins the next batch; a large one travels alone."""
        server = ScriptedServer.always(accepted())
        producer = producer_on(server, batching=Batching(max_bytes=4, max_in_flight=1))
        for piece in ("aa", "bb", "c", "dddd", "eeeeeeee", "f"):
            producer.append(piece)
        result_of(producer.flush())
        assert [body for _, _, body in claims(server)] == [b"aabb", b"c", b"dddd", b"eeeeeeee", b"f"]

    def test_a_batch_is_sealed_at_its_count(self) -> None:
        """``max_items`` bounds the appends of one request."""
        server = ScriptedServer.always(accepted())
        producer = producer_on(server, batching=Batching(max_items=2))
        for letter in "abcde":
            producer.append(letter)
        result_of(producer.flush())
        assert [body for _, _, body in claims(server)] == [b"ab", b"cd", b"e"]

    def test_a_batch_grows_while_all_requests_are_under_way(self) -> None:
        """The slower the server, the larger the batches."""
        server = ScriptedServer([hold, accepted()])
        producer = producer_on(server, batching=Batching(max_in_flight=1))
        for letter in "abcd":
            producer.append(letter)
            server.advance()
        server.asked[0].say(accepted())
        server.advance()
        assert [body for _, _, body in claims(server)] == [b"a", b"bcd"]

    def test_many_batches_do_not_use_up_the_stack(self, server: MemoryServer, text: StreamHandle) -> None:
        """Thousands of waiting batches are sent one after the other, not one within the other."""
        producer = text.producer("p", batching=ONE_EACH)
        for _ in range(3000):
            producer.append("x")
        flushed = producer.flush()
        server.advance()
        assert result_of(flushed) is None
        assert len(result_of(text.read().collect())) == 3000

    def test_ready_waits_while_too_much_is_buffered(self) -> None:
        """A producer that outruns its server can hold on."""
        server = ScriptedServer([hold])
        producer = producer_on(server, batching=Batching(max_buffered=10))
        assert result_of(producer.ready()) is None
        producer.append("x" * 10)
        waiting = producer.ready()
        server.advance()
        assert is_waiting(waiting)
        assert producer.buffered == 10
        server.asked[0].say(accepted())
        server.advance()
        assert result_of(waiting) is None
        assert producer.buffered == 0

    @pytest.mark.parametrize("name", ["max_bytes", "max_items", "max_in_flight", "max_buffered", "linger"])
    def test_nonsense_is_refused_by_name(self, name: str) -> None:
        """The error names the parameter."""
        options: dict[str, Any] = {name: -1}
        with pytest.raises(InvalidArgument) as refusal:
            Batching(**options)
        assert refusal.value.parameter == name

    @pytest.mark.parametrize(("options", "name"), [({"epoch": -1}, "epoch"), ({"epoch": 2**53}, "epoch")])
    def test_an_impossible_epoch_is_refused(self, options: dict[str, int], name: str) -> None:
        """From 0 to 2^53-1."""
        with pytest.raises(InvalidArgument) as refusal:
            producer_on(ScriptedServer([]), **options)
        assert refusal.value.parameter == name


class TestContent:
    def test_each_json_append_is_one_message(self, server: MemoryServer, json: StreamHandle) -> None:
        """Messages travel in an array, so that an array stays one message (Section 9.1.2)."""
        producer = json.producer("p")
        producer.append_json({"n": 1})
        producer.append_json([1, 2])
        producer.append('{"n": 2}')
        result_of(producer.flush())
        assert result_of(json.read_json().collect()) == [{"n": 1}, [1, 2], {"n": 2}]

    def test_the_content_type_is_learned_before_the_first_batch(self, server: MemoryServer, json: StreamHandle) -> None:
        """A fresh handle knows nothing of the stream."""
        producer = server.stream("json").producer("p")
        producer.append_json(1)
        result_of(producer.flush())
        assert result_of(json.read_json().collect()) == [1]

    def test_a_stream_that_is_not_there(self, server: MemoryServer) -> None:
        """Nothing can follow, and the producer says so."""
        producer = server.stream("nothing").producer("p")
        producer.append("x")
        error_of(producer.flush(), StreamNotFound)
        with pytest.raises(ProducerStopped):
            producer.append("y")


class TestOrder:
    def test_the_first_batch_goes_alone(self) -> None:
        """Until the epoch is established a later sequence number would be refused (Section 5.2.1)."""
        server = ScriptedServer([hold, *[accepted()] * 3])
        producer = producer_on(server, batching=ONE_EACH)
        for letter in "abcd":
            producer.append(letter)
        server.advance()
        assert len(server.asked) == 1
        server.asked[0].say(accepted())
        server.advance()
        assert claims(server) == [(0, 0, b"a"), (0, 1, b"b"), (0, 2, b"c"), (0, 3, b"d")]

    def test_at_most_so_many_are_under_way(self) -> None:
        """``max_in_flight`` bounds the requests without an answer."""
        server = ScriptedServer([accepted(), *[hold] * 6])
        producer = producer_on(server, batching=Batching(max_items=1, max_in_flight=3))
        for letter in "abcdefg":
            producer.append(letter)
        server.advance()
        assert len(server.asked) == 1 + 3
        server.asked[2].say(accepted())
        server.advance()
        assert len(server.asked) == 1 + 4
        for asked in server.asked[1:]:
            if asked is not server.asked[2]:
                asked.say(accepted())
        server.advance()
        for asked in server.asked[5:]:
            asked.say(accepted())
        server.advance()
        assert result_of(producer.flush()) is None

    def test_a_batch_that_overtook_waits_for_its_predecessor(self) -> None:
        """A gap is repeated with the same number, once the earlier batch has arrived."""
        server = ScriptedServer([accepted(), hold, gap(1, 2), accepted()])
        producer = producer_on(server, batching=ONE_EACH)
        for letter in "abc":
            producer.append(letter)
        flushed = producer.flush()
        server.advance(10)
        assert len(server.asked) == 3
        server.asked[1].say(accepted())
        server.advance()
        assert claims(server)[3] == (0, 2, b"c")
        assert result_of(flushed) is None

    def test_a_gap_whose_predecessor_has_arrived_meanwhile_is_repeated_at_once(self) -> None:
        """The refusal was on its way while the other was accepted."""
        server = ScriptedServer([accepted(), hold, hold, accepted()])
        producer = producer_on(server, batching=ONE_EACH)
        for letter in "abc":
            producer.append(letter)
        flushed = producer.flush()
        server.asked[1].say(accepted())
        server.advance()
        server.asked[2].say(gap(1, 2))
        server.advance()
        assert result_of(flushed) is None
        assert claims(server)[3] == (0, 2, b"c")

    def test_a_gap_that_nobody_fills_stops_the_producer(self) -> None:
        """The server has forgotten what it had accepted."""
        server = ScriptedServer([accepted(), gap(0, 1)])
        producer = producer_on(server, batching=Batching(max_items=1, max_in_flight=1))
        producer.append("a")
        producer.append("b")
        assert error_of(producer.flush(), ProducerSequenceGap).expected == 0


class TestRepetition:
    @pytest.mark.parametrize(
        "trouble", [cut, answer(500), answer(502), answer(503, {"Retry-After": "1"}), answer(429)], ids=str
    )
    def test_a_batch_is_repeated_with_its_number(self, trouble: Script | bytes) -> None:
        """The server drops what it has already; a duplicate is a success."""
        server = ScriptedServer([trouble, DUPLICATE])
        producer = producer_on(server)
        batch = producer.append("a")
        flushed = producer.flush()
        server.advance(2)
        assert result_of(flushed) is None
        assert result_of(batch.when_settled()).duplicate
        assert claims(server) == [(0, 0, b"a")] * 2

    def test_patience_ends_and_with_it_the_producer(self) -> None:
        """Later batches fail with the same error: nothing may overtake what was lost."""
        server = ScriptedServer.always(answer(503))
        producer = producer_on(server, batching=ONE_EACH)
        first, second = producer.append("a"), producer.append("b")
        settled = [first.when_settled(), second.when_settled()]
        server.advance(60)
        error = error_of(settled[0], ServerFailure)
        assert error_of(settled[1], ServerFailure) is error
        assert len(server.asked) == 5
        with pytest.raises(ProducerStopped) as stopped:
            producer.append("c")
        assert stopped.value.__cause__ is error
        error_of(producer.flush(), ServerFailure)
        assert server.clock.getDelayedCalls() == []

    def test_nothing_is_lost_or_doubled_over_many_cuts(self, server: MemoryServer, text: StreamHandle) -> None:
        """Connections break while batches and their answers are on the way."""
        producer = text.producer("p", batching=Batching(max_items=3, max_in_flight=4))
        chance = random.Random(7)
        words = [f"{number} " for number in range(300)]
        for word in words:
            producer.append(word)
            if chance.random() < 0.2:
                server.cut()
            if chance.random() < 0.3:
                server.advance(chance.random())
        flushed = producer.flush()
        for _ in range(60):
            server.advance(1)
        assert result_of(flushed) is None
        assert result_of(text.read_text().collect()) == "".join(words)


class FaultyProducerServer:
    """The protocol's own rules, behind a network that loses requests and answers and delivers them in any order."""

    def __init__(self, faults: list[int]) -> None:
        self.server = ScriptedServer.always(self._arrive)
        self.stored: list[bytes] = []
        self._faults = iter(faults)
        self._last_seq = -1
        self._delayed: list[Asked] = []

    def _arrive(self, asked: Asked) -> None:
        fault = next(self._faults, 0)
        if fault == 1:
            asked.cut()
        elif fault == 2:
            self._process(asked)
            asked.cut()
        elif fault == 3:
            self._delayed.append(asked)
        elif fault == 4:
            asked.say(answer(503))
        else:
            asked.say(self._process(asked))
            delayed, self._delayed = self._delayed, []
            for late in delayed:
                late.say(self._process(late))

    def _process(self, asked: Asked) -> bytes:
        seq = int(asked.headers["producer-seq"])
        if seq <= self._last_seq:
            return DUPLICATE
        if seq > self._last_seq + 1:
            return gap(self._last_seq + 1, seq)
        self._last_seq = seq
        self.stored.append(asked.body)
        return accepted()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=25), st.integers(1, 12), st.integers(1, 5))
def test_every_batch_arrives_once_and_in_order(faults: list[int], count: int, in_flight: int) -> None:
    """Whatever is lost, late or overtaken."""
    faulty = FaultyProducerServer(faults)
    patient = faulty.server.stream(content_type="text/plain")
    producer = patient.producer("p", batching=Batching(max_items=1, max_in_flight=in_flight))
    for number in range(count):
        producer.append(f"{number};")
    flushed = producer.flush()
    flushed.addErrback(lambda failure: failure.trap(ClientError))
    faulty.server.advance(400)
    expected = [f"{number};".encode() for number in range(count)]
    assert faulty.stored == expected[: len(faulty.stored)]
    if result_of(flushed) is None:
        assert faulty.stored == expected


class TestEpochs:
    def test_a_fenced_producer_stops(self) -> None:
        """A newer self is active: the zombie must not write (Section 5.2.1)."""
        server = ScriptedServer([accepted(), fenced(3)])
        producer = producer_on(server, batching=Batching(max_items=1, max_in_flight=1))
        producer.append("a")
        late = producer.append("b")
        assert error_of(producer.flush(), ProducerFenced).current_epoch == 3
        error_of(late.when_settled(), ProducerFenced)

    def test_auto_claim_takes_the_next_epoch(self, server: MemoryServer, text: StreamHandle) -> None:
        """403 tells the active epoch, the claim is one more (Section 5.2.1, Auto-claim Flow)."""
        first = text.producer("p", epoch=5)
        first.append("a")
        result_of(first.flush())
        second = text.producer("p", auto_claim=True)
        batch = second.append("b")
        result_of(second.flush())
        assert result_of(batch.when_settled()).epoch == second.epoch == 6
        first.append("zombie")
        error_of(first.flush(), ProducerFenced)
        assert result_of(text.read_text().collect()) == "ab"

    def test_auto_claim_finds_that_its_epoch_was_used(self, server: MemoryServer, text: StreamHandle) -> None:
        """A first batch that was never sent before and counts as a duplicate would be lost silently."""
        for word in ("one ", "two ", "three"):
            producer = text.producer("p", auto_claim=True)
            producer.append(word)
            result_of(producer.flush())
        assert result_of(text.read_text().collect()) == "one two three"

    def test_a_repeated_first_batch_is_no_reason_to_claim(self) -> None:
        """The duplicate may be its own: the first answer was lost."""
        server = ScriptedServer([cut, DUPLICATE])
        producer = producer_on(server, auto_claim=True)
        producer.append("a")
        flushed = producer.flush()
        server.advance(2)
        assert result_of(flushed) is None
        assert claims(server) == [(0, 0, b"a")] * 2

    def test_producers_that_claim_from_each_other_concede(self) -> None:
        """Two live producers of one id are a mistake that must show."""
        epochs = iter(range(1, 100))
        server = ScriptedServer.always(lambda asked: asked.say(fenced(next(epochs) * 2)))
        producer = producer_on(server, auto_claim=True)
        producer.append("a")
        error_of(producer.flush(), ProducerFenced)
        assert len(server.asked) < 10

    def test_a_producer_fenced_later_does_not_claim(self) -> None:
        """It is the zombie; and what it had under way may be in the stream."""
        server = ScriptedServer([accepted(), fenced(1)])
        producer = producer_on(server, auto_claim=True, batching=Batching(max_items=1, max_in_flight=1))
        producer.append("a")
        producer.append("b")
        error_of(producer.flush(), ProducerFenced)


class TestUnfitBatches:
    def test_the_next_batch_takes_the_number_of_a_refused_one(self) -> None:
        """400 concerns this batch alone."""
        server = ScriptedServer([accepted(), answer(400), accepted()])
        producer = producer_on(server, batching=Batching(max_items=1, max_in_flight=1))
        batches = [producer.append(letter) for letter in "abc"]
        settled = [batch.when_settled() for batch in batches]
        error_of(producer.flush(), BadRequest)
        assert result_of(settled[0]).seq == 0
        error_of(settled[1], BadRequest)
        assert result_of(settled[2]).seq == 1
        assert claims(server) == [(0, 0, b"a"), (0, 1, b"b"), (0, 1, b"c")]

    def test_batches_under_way_are_renumbered(self) -> None:
        """They were refused as gaps behind the unfit one, so they can go again under new numbers."""
        server = ScriptedServer([accepted(), hold, hold, hold, accepted(), accepted()])
        producer = producer_on(server, batching=ONE_EACH)
        batches = [producer.append(letter) for letter in "abcd"]
        settled = [batch.when_settled() for batch in batches]
        server.advance()
        server.asked[2].say(gap(1, 2))
        server.asked[1].say(answer(413))
        server.advance()
        assert len(server.asked) == 4
        server.asked[3].say(gap(1, 3))
        server.advance()
        error_of(settled[1], PayloadTooLarge)
        assert [result_of(each).seq for each in (settled[0], settled[2], settled[3])] == [0, 1, 2]
        assert claims(server)[4:] == [(0, 1, b"c"), (0, 2, b"d")]
        assert producer.next_seq == 3

    def test_an_uncertain_batch_is_not_renumbered(self) -> None:
        """A request that was lost might still arrive under its old number."""
        server = ScriptedServer([accepted(), hold, cut, gap(1, 2)])
        producer = producer_on(server, batching=ONE_EACH)
        batches = [producer.append(letter) for letter in "abc"]
        settled = [batch.when_settled() for batch in batches]
        server.advance(3)
        assert len(server.asked) == 4
        server.asked[1].say(answer(400))
        server.advance()
        error_of(settled[1], BadRequest)
        error_of(settled[2], BadRequest)
        with pytest.raises(ProducerStopped):
            producer.append("d")

    def test_one_uncertain_batch_is_enough(self) -> None:
        """Also when another one is the last to be refused as a gap."""
        server = ScriptedServer([accepted(), hold, cut, hold, hold, gap(1, 2)])
        producer = producer_on(server, batching=ONE_EACH)
        batches = [producer.append(letter) for letter in "abcde"]
        settled = [batch.when_settled() for batch in batches]
        server.advance()
        server.asked[1].say(answer(400))
        server.advance(3)
        assert len(server.asked) == 6
        for asked in server.asked[3:5]:
            asked.say(gap(1, int(asked.headers["producer-seq"])))
        server.advance()
        for deferred in settled[1:]:
            error_of(deferred, BadRequest)
        assert server.clock.getDelayedCalls() == []

    def test_invalid_json_fails_alone(self, server: MemoryServer, json: StreamHandle) -> None:
        """On a real server (Section 9.1.4)."""
        failed: list[tuple[ProducerBatch, Exception]] = []
        producer = json.producer("p", batching=ONE_EACH, on_error=lambda batch, error: failed.append((batch, error)))
        producer.append_json(1)
        broken = producer.append("{oops")
        producer.append_json(2)
        server.advance()
        assert result_of(producer.flush()) is None
        assert [batch for batch, _ in failed] == [broken]
        assert result_of(json.read_json().collect()) == [1, 2]


class LosingTheFirstAnswer:
    """A treq client whose first answer never comes back; it is in ``lost``."""

    def __init__(self, treq: Any) -> None:
        self._treq = treq
        self.lost: Deferred[Any] | None = None

    def request(self, *asked: Any, **options: Any) -> Deferred[Any]:
        answered: Deferred[Any] = self._treq.request(*asked, **options)
        if self.lost is not None:
            return answered
        self.lost = answered
        return Deferred()


class TestEnd:
    def test_close_is_atomic_with_the_last_data(self) -> None:
        """One request ends the stream and brings its end."""
        server = ScriptedServer([answer(200, {"Stream-Next-Offset": "9", "Stream-Closed": "true"})])
        producer = producer_on(server)
        producer.append("almost ")
        receipt = result_of(producer.close("done"))
        assert receipt.closed
        assert claims(server) == [(0, 0, b"almost done")]
        assert server.asked[0].headers["stream-closed"] == "true"

    def test_close_waits_for_what_is_under_way(self) -> None:
        """The end must not overtake."""
        server = ScriptedServer([accepted(), hold, answer(204, {"Stream-Closed": "true"})])
        producer = producer_on(server, batching=ONE_EACH)
        producer.append("a")
        producer.append("b")
        closed = producer.close()
        server.advance()
        assert len(server.asked) == 2
        server.asked[1].say(accepted())
        server.advance()
        assert result_of(closed).closed
        assert claims(server)[2] == (0, 2, b"")
        assert "content-type" not in server.asked[2].headers

    def test_data_that_do_not_fit_end_the_stream_in_one_step(self, server: MemoryServer, text: StreamHandle) -> None:
        """The last data are the closing batch, whatever its size."""
        producer = text.producer("p", batching=Batching(max_bytes=4))
        producer.append("abc")
        result_of(producer.close("defghijk"))
        metadata = result_of(text.head())
        assert metadata.closed
        assert result_of(text.read_text().collect()) == "abcdefghijk"

    def test_close_may_be_repeated(self, server: MemoryServer, text: StreamHandle) -> None:
        """Also with other data: they are not appended any more."""
        producer = text.producer("p")
        first = result_of(producer.close("end"))
        assert result_of(producer.close("other")) == first
        assert result_of(text.read_text().collect()) == "end"

    def test_a_close_whose_answer_was_lost_is_repeated(self, server: MemoryServer, text: StreamHandle) -> None:
        """The same (id, epoch, seq) that closed the stream is a duplicate (Section 5.2.1, Stream Closure)."""
        losing = LosingTheFirstAnswer(server.treq)
        producer = StreamHandle(text.url, losing, clock=server.clock, content_type="text/plain").producer("p")
        closed = producer.close("end")
        assert losing.lost is not None
        assert result_of(losing.lost).code == 200
        for _ in range(40):
            server.advance(1)
        assert result_of(closed).duplicate
        assert result_of(text.read_text().collect()) == "end"

    def test_another_producer_finds_the_stream_closed(self, server: MemoryServer, text: StreamHandle) -> None:
        """409 with Stream-Closed stops it."""
        result_of(text.producer("p").close("end"))
        other = text.producer("q")
        other.append("late")
        error_of(other.flush(), StreamClosed)
        with pytest.raises(ProducerStopped):
            other.append("later")

    def test_json_close(self, server: MemoryServer, json: StreamHandle) -> None:
        """The last message is a Python value."""
        producer = json.producer("p")
        producer.append_json(1)
        result_of(producer.close_json({"last": True}))
        assert result_of(json.read_json().collect()) == [1, {"last": True}]

    def test_detach_flushes_and_leaves_the_stream_open(self, server: MemoryServer, text: StreamHandle) -> None:
        """The producer takes nothing more, others can go on."""
        producer = text.producer("p", batching=Batching(linger=60))
        producer.append("a")
        result_of(producer.detach())
        with pytest.raises(ProducerStopped, match="detached"):
            producer.append("b")
        with pytest.raises(ProducerStopped):
            producer.close()
        result_of(text.append("c"))
        assert result_of(text.read_text().collect()) == "ac"
        assert result_of(producer.detach()) is None

    def test_nothing_is_taken_after_close(self, server: MemoryServer, text: StreamHandle) -> None:
        """The reason is in the error."""
        producer = text.producer("p")
        result_of(producer.close())
        with pytest.raises(ProducerStopped, match="closed"):
            producer.append("late")


class TestErrors:
    def test_a_batch_can_be_awaited(self, server: MemoryServer, text: StreamHandle) -> None:
        """``await producer.append(...)`` gives the receipt."""

        async def append() -> int:
            producer = text.producer("p")
            await producer.append("a")
            return (await producer.append("b")).seq

        appended = Deferred.fromCoroutine(append())
        server.advance()
        assert result_of(appended) == 1

    def test_a_cancelled_wait_leaves_the_batch_alone(self) -> None:
        """Cancelling stops the waiting, not the sending."""
        server = ScriptedServer([hold])
        producer = producer_on(server)
        batch = producer.append("a")
        waiting = batch.when_settled()
        waiting.addErrback(lambda failure: None)
        server.advance()
        waiting.cancel()
        server.asked[0].say(accepted())
        server.advance()
        assert result_of(batch.when_settled()).offset == "9"

    def test_failures_that_nobody_waits_for_are_told_by_the_next_flush(self) -> None:
        """They cannot pass unseen; told once, they are forgotten."""
        server = ScriptedServer([answer(400), accepted()])
        producer = producer_on(server)
        producer.append("a")
        server.advance()
        producer.append("b")
        error_of(producer.flush(), BadRequest)
        assert result_of(producer.flush()) is None

    def test_a_failing_callback_does_not_stop_the_producer(self) -> None:
        """It is logged; the other batches go on."""

        def broken(batch: ProducerBatch, error: Exception) -> None:
            raise LookupError("in the callback")

        server = ScriptedServer([answer(400), accepted()])
        producer = producer_on(server, on_error=broken)
        producer.append("a")
        server.advance()
        producer.append("b")
        assert result_of(producer.flush()) is None

    def test_ready_does_not_wait_for_a_producer_that_has_failed(self) -> None:
        """Who waits for room learns by the next append that there will be none."""
        server = ScriptedServer([answer(404)])
        producer = producer_on(server, batching=Batching(max_buffered=1))
        producer.append("abc")
        waiting = producer.ready()
        server.advance()
        assert result_of(waiting) is None
        with pytest.raises(ProducerStopped):
            producer.append("d")
        error_of(producer.flush(), StreamNotFound)

    def test_a_header_that_cannot_be_made_stops_the_producer(self) -> None:
        """What the caller's own callable raises comes back to the caller."""

        def expired() -> str:
            raise LookupError("no token")

        server = ScriptedServer([])
        producer = server.stream(content_type="text/plain", headers={"Authorization": expired}).producer("p")
        producer.append("a")
        error_of(producer.flush(), LookupError)
        with pytest.raises(ProducerStopped):
            producer.append("b")

    def test_a_connection_that_cannot_be_made_is_the_error(self) -> None:
        """With the reason, after all retries."""
        server = ScriptedServer([])
        server.network.server = None
        producer = producer_on(server)
        producer.append("a")
        flushed = producer.flush()
        server.advance(60)
        assert not error_of(flushed, ConnectionFailed).sent
