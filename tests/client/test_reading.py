"""Reading streams in every mode and form, against the real server without sockets (Sections 5.6 to 5.8)."""

from __future__ import annotations

import gc
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import CancelledError, Deferred

from durable_streams.client import (
    BadRequest,
    Batch,
    InvalidArgument,
    MemoryOffsetStore,
    ParseError,
    Reading,
    StreamHandle,
    StreamNotFound,
)
from durable_streams.testing import MemoryServer
from durable_streams.web.settings import HttpSettings
from tests.client.outcomes import error_of, is_waiting, result_of

LIVE_MODES = ["long-poll", "sse", "auto"]


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


@pytest.fixture
def binary(server: MemoryServer) -> StreamHandle:
    stream = server.stream("binary")
    result_of(stream.create(content_type="application/octet-stream"))
    return stream


class Follower:
    """A reading whose batches are written down as they come."""

    def __init__(self, server: MemoryServer, reading: Reading[Any]) -> None:
        self._server = server
        self.batches: list[Batch[Any]] = []
        self.reading = reading
        self.ended = reading.deliver(self.batches.append)
        server.advance()

    @property
    def data(self) -> list[Any]:
        """The data of the batches that had any."""
        return [batch.data for batch in self.batches if batch.data]


class TestCatchUp:
    def test_everything_up_to_the_tail(self, text: StreamHandle) -> None:
        """A read without live mode ends when it is up to date (Section 5.6)."""
        appended = result_of(text.append("hello"))
        batches: list[Batch[bytes]] = []
        result_of(text.read().deliver(batches.append))
        assert batches == [Batch(b"hello", appended.offset or "", True, False, None)]

    def test_many_answers_are_read_one_after_the_other(self) -> None:
        """A server's limit for one answer is not the stream's end."""
        server = MemoryServer()
        server.service.max_read_bytes = 10
        stream = server.stream("long")
        result_of(stream.create(content_type="text/plain", data="0123456789" * 5))
        batches: list[Batch[bytes]] = []
        result_of(stream.read().deliver(batches.append))
        assert [batch.data for batch in batches] == [b"0123456789"] * 5
        assert [batch.up_to_date for batch in batches] == [False] * 4 + [True]
        result_of(server.stop())

    def test_from_a_kept_offset(self, text: StreamHandle) -> None:
        """An offset from an answer is where the next read begins (Section 8)."""
        offset = result_of(text.append("before ")).offset
        result_of(text.append("after"))
        assert result_of(text.read(offset or "").collect()) == b"after"

    def test_from_now_there_is_nothing_yet(self, text: StreamHandle) -> None:
        """``now`` gives the tail and no data (Section 8, Sentinel Values)."""
        appended = result_of(text.append("old"))
        reading = text.read("now")
        assert result_of(reading.collect()) == b""
        assert reading.offset == appended.offset

    def test_the_end_of_a_closed_stream_shows(self, text: StreamHandle) -> None:
        """``closed`` is the definitive end (Section 5.6)."""
        result_of(text.close("end"))
        (batch,) = collected(text.read())
        assert (batch.closed, batch.up_to_date) == (True, True)

    def test_a_missing_stream(self, server: MemoryServer) -> None:
        """404 with the stream's URL."""
        stream = server.stream("nothing")
        assert stream.url in str(error_of(stream.read().collect(), StreamNotFound))

    def test_an_offset_that_is_none(self, text: StreamHandle) -> None:
        """400 names the parameter."""
        assert error_of(text.read("nonsense").collect(), BadRequest).problem.field == "offset"

    def test_an_unknown_mode_is_refused_at_once(self, text: StreamHandle) -> None:
        """A typing mistake is no request."""
        mode: Any = "tail"
        with pytest.raises(InvalidArgument, match="live must be"):
            text.read(live=mode)

    def test_the_content_type_is_learned(self, text: StreamHandle) -> None:
        """An ordinary answer tells it."""
        reading = text.read()
        result_of(reading.collect())
        assert reading.content_type == "text/plain"


@pytest.mark.parametrize("live", LIVE_MODES)
class TestLive:
    def test_what_was_there_then_what_comes_then_the_end(
        self, server: MemoryServer, text: StreamHandle, live: Any
    ) -> None:
        """A live read ends with the stream (Section 4.1)."""
        result_of(text.append("one "))
        follower = Follower(server, text.read_text(live=live))
        result_of(text.append("two "))
        server.advance()
        result_of(text.close("three"))
        server.advance()
        assert follower.data == ["one ", "two ", "three"]
        assert follower.batches[-1].closed
        assert result_of(follower.ended) is None
        assert server.network.live == []

    def test_json_messages_one_by_one(self, server: MemoryServer, json: StreamHandle, live: Any) -> None:
        """``each`` gives messages, whatever the batches were."""
        result_of(json.append_json(1, 2))
        seen: list[Any] = []

        async def consume() -> None:
            async for message in json.read_json(live=live).each():
                seen.append(message)

        consumed = Deferred.fromCoroutine(consume())
        server.advance()
        result_of(json.append_json([3], None))
        result_of(json.close('"end"'))
        server.advance()
        assert seen == [1, 2, [3], None, "end"]
        assert result_of(consumed) is None

    def test_binary_data(self, server: MemoryServer, binary: StreamHandle, live: Any) -> None:
        """Bytes come as they were, base64 or not (Section 5.8)."""
        data = bytes(range(256))
        follower = Follower(server, binary.read(live=live))
        result_of(binary.append(data))
        server.advance()
        result_of(binary.close(b"\n\r"))
        server.advance()
        assert b"".join(follower.data) == data + b"\n\r"

    def test_from_now_only_what_is_new(self, server: MemoryServer, text: StreamHandle, live: Any) -> None:
        """History is left out (Section 8)."""
        result_of(text.append("old"))
        follower = Follower(server, text.read_text("now", live))
        result_of(text.append("new"))
        server.advance()
        assert follower.data == ["new"]
        follower.reading.close()

    def test_an_empty_stream_is_up_to_date(self, server: MemoryServer, json: StreamHandle, live: Any) -> None:
        """A reader learns that it has caught up even where there is nothing."""
        follower = Follower(server, json.read_json(live=live))
        server.advance(31)
        assert follower.batches[0].up_to_date
        assert follower.batches[0].data == []
        follower.reading.close()

    def test_leaving_the_loop_closes_the_connection_at_once(
        self, server: MemoryServer, text: StreamHandle, live: Any
    ) -> None:
        """After ``break`` the server has no reader any more."""
        result_of(text.append("x"))

        async def take_one() -> str:
            async for batch in text.read_text(live=live):
                return batch.data
            raise AssertionError("nothing came")

        taken = Deferred.fromCoroutine(take_one())
        server.advance()
        assert result_of(taken) == "x"
        server.advance()
        assert server.network.live == []

    def test_an_exception_in_the_loop_closes_the_connection(
        self, server: MemoryServer, text: StreamHandle, live: Any
    ) -> None:
        """The consumer's own error passes through, and leaves nothing open."""
        result_of(text.append("x"))

        async def fail() -> None:
            async for _ in text.read_text(live=live):
                raise LookupError("mine")

        failing = Deferred.fromCoroutine(fail())
        server.advance()
        assert str(error_of(failing, LookupError)) == "mine"
        gc.collect()
        server.advance()
        assert server.network.live == []

    def test_cancelling_closes_the_connection_at_once(
        self, server: MemoryServer, text: StreamHandle, live: Any
    ) -> None:
        """A cancelled Deferred leaves neither connection nor timer."""
        follower = Follower(server, text.read_text("now", live))
        assert is_waiting(follower.ended)
        follower.ended.cancel()
        error_of(follower.ended, CancelledError)
        server.advance()
        assert server.network.live == []

    def test_closing_ends_the_loop_quietly(self, server: MemoryServer, text: StreamHandle, live: Any) -> None:
        """``close`` is no error for the consumer."""
        follower = Follower(server, text.read_text("now", live))
        follower.reading.close()
        assert result_of(follower.ended) is None
        server.advance()
        assert server.network.live == []

    def test_a_lost_connection_is_taken_up_where_it_broke(
        self, server: MemoryServer, text: StreamHandle, live: Any
    ) -> None:
        """Nothing is lost and nothing comes twice (Section 5.8, Connection Lifecycle)."""
        follower = Follower(server, text.read_text(live=live))
        for word in ("a", "b", "c", "d"):
            result_of(text.append(word))
            server.advance()
            server.cut()
            server.advance(1)
        assert follower.data == ["a", "b", "c", "d"]
        follower.reading.close()

    def test_a_deleted_stream_ends_the_reading(self, server: MemoryServer, text: StreamHandle, live: Any) -> None:
        """In-flight reads end with 404 (Section 5.4)."""
        follower = Follower(server, text.read_text(live=live))
        result_of(text.delete())
        server.advance(1)
        error_of(follower.ended, StreamNotFound)

    def test_the_offset_resumes_in_any_mode(self, server: MemoryServer, text: StreamHandle, live: Any) -> None:
        """A batch's offset is good for every kind of read (Section 8)."""
        result_of(text.append("before"))
        follower = Follower(server, text.read_text(live=live))
        follower.reading.close()
        result_of(text.append("after"))
        assert result_of(text.read_text(follower.reading.offset).collect()) == "after"


class TestModes:
    def test_long_polls_echo_the_cursor(self, server: MemoryServer, text: StreamHandle) -> None:
        """The cursor of one answer goes into the next request, so that caches make progress (Section 10.1)."""
        follower = Follower(server, text.read_text(live="long-poll"))
        server.advance(31)
        server.advance(31)
        cursors = [batch.cursor for batch in follower.batches]
        assert len(set(cursors)) == len(cursors) >= 2
        assert all(batch.data == "" and batch.up_to_date for batch in follower.batches)
        follower.reading.close()

    def test_sse_goes_on_when_the_server_ends_the_connection(self) -> None:
        """Servers end SSE connections about every minute; the reader does not notice (Section 10.2)."""
        server = MemoryServer(settings=HttpSettings(sse_max_age=60))
        stream = server.stream("text")
        result_of(stream.create(content_type="text/plain"))
        follower = Follower(server, stream.read_text(live="sse"))
        for minute in range(3):
            for _ in range(61):
                server.advance(1)
            result_of(stream.append(str(minute)))
            server.advance()
        assert follower.data == ["0", "1", "2"]
        assert len(server.network.connections) > 3
        follower.reading.close()
        result_of(server.stop())

    def test_auto_listens_by_sse_to_text(self, server: MemoryServer, text: StreamHandle) -> None:
        """Text and JSON need no base64: one connection for everything that comes."""
        follower = Follower(server, text.read_text(live="auto"))
        made = len(server.network.connections)
        for word in ("a", "b", "c"):
            result_of(text.append(word))
            server.advance()
        appends = 3
        assert len(server.network.connections) == made + appends
        assert follower.data == ["a", "b", "c"]
        follower.reading.close()

    def test_auto_long_polls_for_binary_data(self, server: MemoryServer, binary: StreamHandle) -> None:
        """Base64 would cost a third more."""
        follower = Follower(server, binary.read(live="auto"))
        made = len(server.network.connections)
        result_of(binary.append(b"a"))
        server.advance()
        assert len(server.network.connections) == made + 1 + 1
        follower.reading.close()


class TestText:
    def test_half_a_character_is_never_yielded(self, server: MemoryServer, text: StreamHandle) -> None:
        """Bytes of one character that come in two appends come out as one character."""
        euro = "€".encode()
        follower = Follower(server, text.read_text(live="long-poll"))
        result_of(text.append(b"5 " + euro[:1]))
        server.advance()
        result_of(text.append(euro[1:2]))
        server.advance()
        result_of(text.append(euro[2:] + b"!"))
        server.advance()
        assert follower.data == ["5 ", "€!"]
        follower.reading.close()

    def test_the_offset_does_not_pass_bytes_that_were_not_yielded(
        self, server: MemoryServer, text: StreamHandle
    ) -> None:
        """Who resumes within a character gets it whole."""
        euro = "€".encode()
        whole = result_of(text.append("5 ")).offset
        follower = Follower(server, text.read_text(live="long-poll"))
        result_of(text.append(euro[:1]))
        server.advance()
        assert follower.reading.offset == whole
        follower.reading.close()
        result_of(text.append(euro[1:]))
        assert result_of(text.read_text(follower.reading.offset).collect()) == "€"

    def test_a_stream_that_ends_within_a_character_shows_it(self, text: StreamHandle) -> None:
        """When nothing can follow, what is broken is marked."""
        result_of(text.close(b"5 \xe2\x82"))
        assert result_of(text.read_text().collect()) == "5 \ufffd"

    @pytest.mark.parametrize("size", range(1, 8))
    def test_characters_across_answers(self, size: int) -> None:
        """Servers cut answers at bytes, not at characters."""
        server = MemoryServer()
        server.service.max_read_bytes = size
        stream = server.stream("text")
        words = "naïve €uro 🎉 done"
        result_of(stream.create(content_type="text/plain", data=words))
        pieces = collected(stream.read_text())
        assert "".join(piece.data for piece in pieces) == words
        assert pieces[-1].up_to_date
        result_of(server.stop())


class TestJson:
    def test_messages_as_a_type(self, json: StreamHandle) -> None:
        """Any type that msgspec decodes."""

        class Point(msgspec.Struct):
            x: int
            y: int = 0

        result_of(json.append_json({"x": 1}, {"x": 2, "y": 3}))
        assert result_of(json.read_json(message_type=Point).collect()) == [Point(1), Point(2, 3)]

    def test_a_message_of_another_type_is_a_parse_error(self, json: StreamHandle) -> None:
        """The handle works on afterwards."""
        result_of(json.append_json({"x": "not a number"}))
        assert "int" in str(error_of(json.read_json(message_type=dict[str, int]).collect(), ParseError))
        assert result_of(json.read_json().collect()) == [{"x": "not a number"}]

    def test_raw_messages_keep_their_bytes(self, json: StreamHandle) -> None:
        """White space and numbers stay as they were written."""
        result_of(json.append('[{"a" : 1.0}, 1e2]'))
        raw = result_of(json.read_json(message_type=msgspec.Raw).collect())
        assert [bytes(message) for message in raw] == [b'{"a" : 1.0}', b"1e2"]

    def test_half_surrogates_are_readable(self, json: StreamHandle) -> None:
        """JavaScript writes them; they are valid JSON."""
        result_of(json.append('["\\ud83d"]'))
        assert result_of(json.read_json().collect()) == ["\ud83d"]

    def test_data_that_are_no_json_are_a_parse_error(self, text: StreamHandle) -> None:
        """Reading text as JSON fails with a reason, not with garbage."""
        result_of(text.append("hello"))
        error_of(text.read_json().collect(), ParseError)
        assert result_of(text.read_text().collect()) == "hello"


class TestBackPressure:
    def test_a_callbacks_deferred_holds_the_next_batch(self, server: MemoryServer, text: StreamHandle) -> None:
        """While the consumer is busy nothing more is handed to it."""
        busy: list[Deferred[None]] = []
        seen: list[str] = []

        def consume(batch: Batch[str]) -> Deferred[None]:
            seen.append(batch.data)
            busy.append(Deferred())
            return busy[-1]

        reading = text.read_text("now", "long-poll")
        ended = reading.deliver(consume)
        for word in ("a", "b"):
            result_of(text.append(word))
            server.advance()
        assert seen == ["a"]
        busy[0].callback(None)
        server.advance()
        assert seen == ["a", "b"]
        busy[1].callback(None)
        reading.close()
        assert result_of(ended) is None

    def test_a_slow_consumer_pauses_the_socket(self, server: MemoryServer, text: StreamHandle) -> None:
        """What is not asked for stays with the server, which stops to produce."""
        reading = text.read_text("now", "sse")
        first = reading.next_batch()
        server.advance()
        assert result_of(first) is not None
        for _ in range(40):
            result_of(text.append("x" * 100_000))
            server.advance()
        waiting_here = sum(connection.unread for connection in server.network.live)
        assert 0 < waiting_here < 2_000_000
        total = 0
        while total < 4_000_000:
            batch = reading.next_batch()
            server.advance()
            taken = result_of(batch)
            assert taken is not None
            total += len(taken.data)
        assert total == 4_000_000
        reading.close()


class TestOffsetStore:
    def test_a_reading_goes_on_where_the_last_one_ended(self, text: StreamHandle) -> None:
        """The offset of each batch is kept once the next one is asked for, or at the end (Section 8)."""
        store = MemoryOffsetStore()
        result_of(text.append("one "))
        assert result_of(text.read_text(offset_store=store).collect()) == "one "
        result_of(text.append("two"))
        assert result_of(text.read_text(offset_store=store).collect()) == "two"

    def test_a_batch_that_was_not_dealt_with_comes_again(self, text: StreamHandle) -> None:
        """Leaving the loop within a batch does not keep its offset."""
        store = MemoryOffsetStore()
        result_of(text.append("one"))

        async def fail() -> None:
            async for _ in text.read_text(offset_store=store):
                raise LookupError

        error_of(Deferred.fromCoroutine(fail()), LookupError)
        assert result_of(text.read_text(offset_store=store).collect()) == "one"

    def test_the_offset_can_be_kept_before_leaving(self, text: StreamHandle) -> None:
        """``keep_offset`` says that the batch has been dealt with."""
        store = MemoryOffsetStore()
        result_of(text.append("one"))

        async def take_one() -> None:
            reading = text.read_text(offset_store=store)
            async for _ in reading:
                await reading.keep_offset()
                break

        result_of(Deferred.fromCoroutine(take_one()))
        assert result_of(text.read_text(offset_store=store).collect()) == ""

    def test_readers_with_keys_of_their_own(self, text: StreamHandle) -> None:
        """One store serves many readers of one stream."""
        store = MemoryOffsetStore()
        result_of(text.append("one"))
        assert result_of(text.read_text(offset_store=store, key="a").collect()) == "one"
        assert result_of(text.read_text(offset_store=store, key="b").collect()) == "one"
        assert set(store.offsets) == {"a", "b"}

    def test_a_store_that_fails_ends_the_reading(self, text: StreamHandle) -> None:
        """Without a kept offset it would not be what was asked for."""

        class FullDisk(MemoryOffsetStore):
            def save(self, key: str, offset: str) -> Deferred[None]:
                raise OSError("no space left")

        result_of(text.append("one"))
        error_of(text.read_text(offset_store=FullDisk()).collect(), OSError)


def collected(reading: Reading[Any]) -> list[Batch[Any]]:
    batches: list[Batch[Any]] = []
    result_of(reading.deliver(batches.append))
    return batches


def test_a_context_manager_closes_the_reading(server: MemoryServer, text: StreamHandle) -> None:
    """``async with`` closes it however the block is left."""
    result_of(text.append("x"))

    async def peek() -> str:
        async with text.read_text(live="sse") as reading:
            batch = await reading.next_batch()
            assert batch is not None
            return batch.data

    peeked = Deferred.fromCoroutine(peek())
    server.advance()
    assert result_of(peeked) == "x"
    server.advance()
    assert server.network.live == []
