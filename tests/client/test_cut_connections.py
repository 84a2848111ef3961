"""Connections that break after any byte of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pytest

from durable_streams.client import Batch, Batching, ConnectionFailed, StreamHandle
from durable_streams.client.answers import PIECE
from tests.client.event_stream import FINAL, control, data, events
from tests.client.outcomes import error_of, is_waiting, result_of
from tests.client.scripted_server import (
    CLOSED,
    EVENTS,
    JSON,
    LAST_CHUNK,
    TEXT,
    URL,
    Asked,
    ScriptedServer,
    answer,
    chunked,
    cut_after,
    tail_at,
)


class TestReading:
    BODY = b'[{"n":1},{"n":2}]'
    WHOLE = answer(200, {**JSON, **tail_at("2")}, BODY)
    IN_CHUNKS = chunked(200, {**JSON, **tail_at("2")}, BODY[:5], BODY[5:]) + LAST_CHUNK

    @pytest.mark.parametrize("response", [WHOLE, IN_CHUNKS], ids=["content-length", "chunked"])
    def test_a_catch_up_answer_cut_at_any_byte_is_asked_for_again(self, response: bytes) -> None:
        """Whatever came of it, each message is yielded once."""
        for count in range(len(response)):
            server = ScriptedServer([cut_after(count, response), response])
            messages = server.stream().read_json().collect()
            server.advance(2)
            assert result_of(messages) == [{"n": 1}, {"n": 2}], count
            assert len(server.asked) == 2

    def test_an_event_stream_cut_at_any_byte_goes_on_after_its_last_control_event(self) -> None:
        """Data without their control event do not count (Section 5.8)."""
        whole = events(data("[1,\n2]"), control("2"), data("[3]"), control("3"))
        response = chunked(200, EVENTS, whole)
        rest = {"-1": "[1,2,3]", "2": "[3]", "3": "[]"}

        def resume(asked: Asked) -> None:
            asked.say(chunked(200, EVENTS, events(data(rest[asked.query["offset"]]), FINAL)))
            asked.end()

        for count in range(len(response) + 1):
            server = ScriptedServer(chain([cut_after(count, response)], repeat(resume)))
            messages = server.stream().read_json(live="sse").collect()
            server.advance(3)
            assert result_of(messages) == [1, 2, 3], count

    def test_what_was_yielded_of_a_long_answer_is_not_yielded_again(self) -> None:
        """Bytes at a position never change, so the beginning of the second answer is skipped."""
        body = bytes(range(256)) * (PIECE // 256 * 2 + 100)
        response = answer(200, tail_at("9"), body)
        server = ScriptedServer([cut_after(PIECE + PIECE // 2, response), response])
        pieces: list[bytes] = []
        ended = server.stream().read().deliver(lambda batch: pieces.append(batch.data))
        server.advance(2)
        assert result_of(ended) is None
        assert len(pieces) > 2
        assert b"".join(pieces) == body

    def test_the_offset_waits_for_the_whole_answer(self) -> None:
        """A piece of an answer has no offset of its own: resuming after it begins at the answer's."""
        body = b"x" * (3 * PIECE)
        server = ScriptedServer([answer(200, tail_at("9"), body)])
        batches: list[Batch[bytes]] = []
        result_of(server.stream().read("3").deliver(batches.append))
        *pieces, last = batches
        assert len(pieces) >= 2
        assert {(batch.offset, batch.up_to_date) for batch in pieces} == {("3", False)}
        assert (last.offset, last.up_to_date) == ("9", True)

    def test_a_shorter_second_answer_is_skipped_into_the_next(self) -> None:
        """A server may cut its answers elsewhere the second time."""
        body = b"".join(b"%07d " % number for number in range(2 * PIECE // 8))
        first = answer(200, tail_at("9"), body)
        half = len(body) // 4
        again = [answer(200, {"Stream-Next-Offset": "4"}, body[:half]), answer(200, tail_at("9"), body[half:])]
        server = ScriptedServer([cut_after(PIECE + PIECE // 2, first), *again])
        collected = server.stream().read().collect()
        server.advance(2)
        assert result_of(collected) == body

    def test_a_connection_that_is_always_cut_is_given_up(self) -> None:
        """Patience is finite: here four retries."""
        server = ScriptedServer.always(lambda asked: asked.cut())
        collected = server.stream().read().collect()
        server.advance(60)
        assert error_of(collected, ConnectionFailed).url == URL
        assert len(server.asked) == 5

    def test_refused_connections_are_tried_again(self) -> None:
        """A server that is about to restart."""
        server = ScriptedServer([answer(200, tail_at("1"), b"x")])
        factory, server.network.server = server.network.server, None
        collected = server.stream().read().collect()
        server.advance(2)
        assert is_waiting(collected)
        server.network.server = factory
        server.advance(4)
        assert result_of(collected) == b"x"


NO_BODY = answer(204, {"Stream-Next-Offset": "1"})
OF_STREAM = answer(201, {**TEXT, "Stream-Next-Offset": "1"})


class TestLongPoll:
    ANSWER = answer(200, {**JSON, **tail_at("2")}, b"[1,2]")

    def test_an_answer_cut_at_any_byte_is_asked_for_again(self) -> None:
        """The reader stays where it was, and each message is yielded once."""
        ending = answer(200, {**JSON, **tail_at("3", **CLOSED)}, b"[3]")
        for count in range(len(self.ANSWER)):
            server = ScriptedServer([cut_after(count, self.ANSWER), self.ANSWER, ending])
            messages = server.stream().read_json(live="long-poll").collect()
            server.advance(2)
            assert result_of(messages) == [1, 2, 3], count
            assert [asked.query["offset"] for asked in server.asked] == ["-1", "-1", "2"]


class TestWriting:
    def settled(self, response: bytes, whole: bytes, ask: Any) -> Iterator[tuple[int, ScriptedServer, Any]]:
        """What ``ask`` gave for every place where its answer can be cut, when the next answer is ``whole``."""
        for count in range(len(response)):
            server = ScriptedServer(chain([cut_after(count, response)], repeat(whole)))
            outcome = ask(server.stream(content_type="text/plain"))
            server.advance(2)
            yield count, server, outcome

    def test_a_create_is_repeated(self) -> None:
        """The second time the server confirms what it has (Section 5.1)."""
        confirmed = answer(200, {**TEXT, "Stream-Next-Offset": "1"})
        for count, server, outcome in self.settled(OF_STREAM, confirmed, lambda stream: stream.create(data="x")):
            assert result_of(outcome).offset == "1", count
            assert [(asked.method, asked.body) for asked in server.asked] == [("PUT", b"x")] * 2

    def test_a_head_is_repeated(self) -> None:
        """It changes nothing."""
        for count, server, outcome in self.settled(OF_STREAM, OF_STREAM, StreamHandle.head):
            assert result_of(outcome).offset == "1", count
            assert len(server.asked) == 2

    def test_a_close_without_data_is_repeated(self) -> None:
        """A closed stream may be closed again (Section 5.3)."""
        for count, server, outcome in self.settled(NO_BODY, NO_BODY, StreamHandle.close):
            assert result_of(outcome).offset == "1", count
            assert len(server.asked) == 2

    def test_a_delete_that_was_done_the_first_time_succeeds(self) -> None:
        """404 to the repetition means that the first one arrived (Section 5.4)."""
        for count, server, outcome in self.settled(NO_BODY, answer(404), StreamHandle.delete):
            assert result_of(outcome) is None, count
            assert len(server.asked) == 2

    @pytest.mark.parametrize(
        "ask",
        [lambda stream: stream.append("x"), lambda stream: stream.close("x")],
        ids=["append", "close-with-data"],
    )
    def test_data_are_never_sent_twice_without_a_producer(self, ask: Any) -> None:
        """Whether they arrived is unknown: the error says that they may have."""
        for count, server, outcome in self.settled(NO_BODY, NO_BODY, ask):
            assert error_of(outcome, ConnectionFailed).sent, count
            assert len(server.asked) == 1

    def test_a_producers_batch_is_repeated_with_its_number(self) -> None:
        """The server drops what it has (Section 5.2.1)."""

        def produce(stream: StreamHandle) -> Any:
            producer = stream.producer("p", batching=Batching(max_items=1))
            producer.append("x")
            return producer.flush()

        accepted = answer(200, {"Stream-Next-Offset": "1"})
        for count, server, outcome in self.settled(accepted, NO_BODY, produce):
            assert result_of(outcome) is None, count
            assert [(asked.headers["producer-seq"], asked.body) for asked in server.asked] == [("0", b"x")] * 2
