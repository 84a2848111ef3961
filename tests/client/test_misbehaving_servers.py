"""Readers and servers, proxies and networks that do what they should not."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_streams.client import (
    Batch,
    ConnectionFailed,
    ParseError,
    RetryPolicy,
    ServerFailure,
    StreamNotFound,
    TimedOut,
    TooManyRequests,
    UnexpectedStatus,
)
from durable_streams.client.answers import PIECE
from durable_streams.client.sse_reader import SHORT_IN_A_ROW
from tests.client.outcomes import error_of, is_waiting, result_of
from tests.client.scripted_server import (
    LAST_CHUNK,
    URL,
    Asked,
    Script,
    ScriptedServer,
    answer,
    chunk,
    chunked,
    saying,
)

JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}
EVENTS = {"Content-Type": "text/event-stream"}


def tail_at(offset: str, **more: str) -> dict[str, str]:
    return {"Stream-Next-Offset": offset, "Stream-Up-To-Date": "true", **more}


CLOSED = {"Stream-Closed": "true"}


def cut_after(count: int, response: bytes) -> Script:
    """Says the first bytes of a response, then the connection breaks."""

    def script(asked: Asked) -> None:
        asked.say(response[:count])
        asked.transport.crash()

    return script


def events(*blocks: str) -> bytes:
    return "".join(f"{block}\n\n" for block in blocks).encode()


def data(text: str) -> str:
    return "event: data\n" + "\n".join(f"data: {line}" for line in text.split("\n"))


def control(offset: str, **more: Any) -> str:
    fields = "".join(f',"{name}":{value}' for name, value in more.items())
    return f'event: control\ndata: {{"streamNextOffset":"{offset}","streamCursor":"7"{fields}}}'


FINAL = control("9", streamClosed="true")


class TestCutConnections:
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


class TestGarbage:
    @pytest.mark.parametrize(
        "response",
        [
            b"complete nonsense\r\n\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            chunked(200, {**TEXT, **tail_at("1")}) + b"zz\r\nhello\r\n",
            chunked(200, {**TEXT, **tail_at("1")}) + b"5\r\nhello!!\r\n",
            answer(200, {**TEXT, **tail_at("1"), "Content-Encoding": "gzip"}, b"not gzip at all"),
        ],
        ids=["no-http", "no-status", "no-chunk-size", "wrong-chunk-size", "no-gzip"],
    )
    def test_garbled_http_is_like_a_lost_connection(self, response: bytes) -> None:
        """It is tried again; the next answer may be whole."""

        def garble(asked: Asked) -> None:
            asked.say(response)
            asked.end()

        server = ScriptedServer([garble, answer(200, {**TEXT, **tail_at("1")}, b"hello")])
        collected = server.stream().read().collect()
        server.advance(2)
        assert result_of(collected) == b"hello"

    @pytest.mark.parametrize(
        "body", [b"[1,2", b"{}", b"1", b"[1 2]", b"[NaN]", b'["\xff"]', b"[" * 100_000], ids=lambda body: repr(body[:8])
    )
    def test_a_whole_answer_that_is_no_json_array_is_a_parse_error(self, body: bytes) -> None:
        """Asking again would give the same; the handle works on (Section 9.1.5)."""
        server = ScriptedServer([answer(200, tail_at("1"), body), answer(200, tail_at("1"), b"[1]")])
        stream = server.stream()
        assert error_of(stream.read_json().collect(), ParseError).url == URL
        assert result_of(stream.read_json().collect()) == [1]

    def test_an_answer_without_an_offset_is_a_parse_error(self) -> None:
        """Nobody could read on (Section 5.6)."""
        server = ScriptedServer([answer(200, TEXT, b"hello")])
        assert "Stream-Next-Offset" in str(error_of(server.stream().read().collect(), ParseError))

    def test_an_answer_without_progress_is_the_tail(self) -> None:
        """A server that forgets Stream-Up-To-Date is not asked for ever."""
        offset_only = {"Stream-Next-Offset": "5"}
        server = ScriptedServer([answer(200, offset_only, b"x"), answer(200, offset_only)])
        assert result_of(server.stream().read().collect()) == b"x"

    @pytest.mark.parametrize("payload", ["", "{}", "{", "[]", '{"streamNextOffset":7}', '{"streamNextOffset":""}'])
    def test_a_control_event_that_cannot_be_read_is_a_parse_error(self, payload: str) -> None:
        """What came before it was yielded; the handle works on."""
        broken = events(data("[1]"), control("1"), data("[2]"), f"event: control\ndata: {payload}")
        server = ScriptedServer([saying(chunked(200, EVENTS, broken)), answer(200, tail_at("2"), b"[1,2]")])
        stream = server.stream()
        seen: list[Any] = []
        ended = stream.read_json(live="sse").deliver(lambda batch: seen.extend(batch.data))
        error_of(ended, ParseError)
        assert seen == [1]
        assert result_of(stream.read_json().collect()) == [1, 2]

    @pytest.mark.parametrize("payload", ["A", "====", "AQID BAUG", "äö"])
    def test_data_that_are_not_base64_are_a_parse_error(self, payload: str) -> None:
        """The header promises base64 (Section 5.8)."""
        response = chunked(200, {**EVENTS, "Stream-SSE-Data-Encoding": "base64"}, events(data(payload), FINAL))
        server = ScriptedServer([response])
        error_of(server.stream().read(live="sse").collect(), ParseError)

    def test_base64_in_many_lines_is_joined(self) -> None:
        """Lines may be cut anywhere, even within four characters (Section 5.8)."""
        encoding = {"Stream-SSE-Data-Encoding": "base64"}
        response = chunked(200, {**EVENTS, **encoding}, events(data("AQI\nDBAUG\nBwgJCg=="), FINAL))
        server = ScriptedServer([response])
        assert result_of(server.stream().read(live="sse").collect()) == bytes(range(1, 11))

    def test_each_base64_event_is_decoded_by_itself(self) -> None:
        """Two events before one control event each have their own padding."""
        encoding = {"Stream-SSE-Data-Encoding": "base64"}
        response = chunked(200, {**EVENTS, **encoding}, events(data("AQ=="), data("Ag=="), FINAL))
        server = ScriptedServer([response])
        assert result_of(server.stream().read(live="sse").collect()) == b"\x01\x02"

    def test_sse_that_is_no_event_stream_is_a_parse_error(self) -> None:
        """A proxy's page of its own is not taken for data."""
        server = ScriptedServer([answer(200, {"Content-Type": "text/html"}, b"<h1>Welcome</h1>")])
        assert "text/html" in str(error_of(server.stream().read(live="sse").collect(), ParseError))

    def test_unknown_events_and_fields_are_ignored(self) -> None:
        """Extensions may add events and members (Section 11.1)."""
        blocks = ["event: ping\ndata: 1", data("[1]"), "event: metrics\ndata: {", control("1", more="[1]"), FINAL]
        server = ScriptedServer([chunked(200, EVENTS, events(*blocks))])
        assert result_of(server.stream().read_json(live="sse").collect()) == [1]

    def test_events_after_the_end_are_not_read(self) -> None:
        """``streamClosed`` is the definitive end (Section 5.7)."""
        server = ScriptedServer([chunked(200, EVENTS, events(FINAL, data("[1]"), control("10")))])
        assert result_of(server.stream().read_json(live="sse").collect()) == []


class TestSlowness:
    def test_an_answer_that_drips_is_read(self) -> None:
        """As long as something comes, the server is not silent."""
        response = chunked(200, {**TEXT, **tail_at("1")})
        server = ScriptedServer([saying(response)])
        collected = server.stream().read().collect()
        for letter in b"dripping":
            server.advance(19)
            server.asked[0].say(chunk(bytes([letter])))
        server.asked[0].say(LAST_CHUNK)
        server.advance()
        assert result_of(collected) == b"dripping"

    def test_a_server_that_falls_silent_within_an_answer_is_asked_again(self) -> None:
        """A half-open connection looks like this."""
        server = ScriptedServer(
            [saying(chunked(200, tail_at("1"), b"hel")), answer(200, tail_at("1"), b"hello")],
        )
        collected = server.stream().read().collect()
        server.advance(22)
        assert result_of(collected) == b"hello"
        assert not server.asked[0].transport.connected

    def test_a_server_that_never_answers_is_given_up(self) -> None:
        """After the last retry the error says what was missed."""
        server = ScriptedServer.always(lambda asked: None)
        head = server.stream(retry=RetryPolicy(max_retries=1)).head()
        server.advance(45)
        assert "20 s" in str(error_of(head, TimedOut))
        assert len(server.asked) == 2
        assert server.network.live == []

    def test_a_long_poll_may_wait_longer_than_other_requests(self) -> None:
        """Waiting is its purpose; only ``Timeouts.live`` ends it."""
        server = ScriptedServer([lambda asked: None, answer(204, tail_at("1", **CLOSED))])
        collected = server.stream().read("1", "long-poll").collect()
        server.advance(59)
        assert len(server.asked) == 1
        server.advance(3)
        assert result_of(collected) == b""

    def test_an_idle_event_stream_is_kept_by_comments(self) -> None:
        """Keep-alive comments are signs of life."""
        server = ScriptedServer([saying(chunked(200, EVENTS, events(control("1", upToDate="true"))))])
        reading = server.stream().read("1", "sse")
        ended = reading.deliver(lambda batch: None)
        for _ in range(5):
            server.advance(50)
            server.asked[0].say(chunk(b": keep-alive\n\n"))
        server.advance()
        assert len(server.asked) == 1
        reading.close()
        assert result_of(ended) is None

    def test_a_silent_event_stream_is_reconnected(self) -> None:
        """Without comments for longer than ``Timeouts.live`` the connection counts as lost."""
        opening = saying(chunked(200, EVENTS, events(control("1", upToDate="true"))))
        server = ScriptedServer([opening, saying(chunked(200, EVENTS, events(FINAL)))])
        collected = server.stream().read("1", "sse").collect()
        server.advance(63)
        assert result_of(collected) == b""

    def test_long_polls_that_do_not_wait_are_slowed_down(self) -> None:
        """A server that answers 204 at once, for ever, is not asked in a busy loop."""
        server = ScriptedServer.always(answer(204, tail_at("1")))
        reading = server.stream().read("1", "long-poll")
        ended = reading.deliver(lambda batch: None)
        server.advance(60)
        assert 5 < len(server.asked) < 20
        reading.close()
        assert result_of(ended) is None

    def test_an_answer_at_once_that_gives_an_offset_is_progress(self) -> None:
        """Some servers answer the first long-poll of an empty stream so: there is no reason to pause."""
        server = ScriptedServer([answer(200, tail_at("1")), answer(200, tail_at("2", **CLOSED), b"x")])
        collected = server.stream().read("-1", "long-poll").collect()
        server.advance()
        assert result_of(collected) == b"x"


class TestStatuses:
    def test_a_storm_of_500_is_survived(self) -> None:
        """As many as the policy forgives."""
        server = ScriptedServer([*[answer(500)] * 4, answer(200, tail_at("1"), b"x")])
        collected = server.stream().read().collect()
        server.advance(20)
        assert result_of(collected) == b"x"

    def test_a_storm_without_end_is_given_up(self) -> None:
        """The error is the server's last."""
        server = ScriptedServer.always(answer(500, TEXT, b"the disk is on fire"))
        collected = server.stream().read().collect()
        server.advance(60)
        error = error_of(collected, ServerFailure)
        assert (error.status, error.problem.detail) == (500, "the disk is on fire")
        assert len(server.asked) == 5

    def test_retry_after_is_honoured(self) -> None:
        """429 says when to come back."""
        server = ScriptedServer([answer(429, {"Retry-After": "13"}), answer(200, tail_at("1"), b"x")])
        collected = server.stream().read().collect()
        server.advance(12.9)
        assert len(server.asked) == 1
        server.advance(0.2)
        assert result_of(collected) == b"x"

    def test_too_many_requests_for_ever_is_an_error_of_its_own(self) -> None:
        """With the time that the server named."""
        server = ScriptedServer.always(answer(429, {"Retry-After": "2"}))
        collected = server.stream().read().collect()
        server.advance(60)
        assert error_of(collected, TooManyRequests).retry_after == 2.0

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 418, 501])
    def test_refusals_are_never_repeated(self, status: int) -> None:
        """4xx and 501 will not change by asking again."""
        server = ScriptedServer([answer(status)])
        assert f": {status} " in str(error_of(server.stream().read().collect(), Exception))

    def test_reads_follow_redirects_and_writes_do_not(self) -> None:
        """A read may be served from elsewhere; a repeated POST is not the client's to decide."""
        moved = answer(307, {"Location": "http://elsewhere.test/x"})
        server = ScriptedServer([moved, answer(200, tail_at("1"), b"x"), moved])
        stream = server.stream(content_type="text/plain")
        assert result_of(stream.read().collect()) == b"x"
        assert error_of(stream.append("y"), UnexpectedStatus).status == 307

    def test_endless_redirects_are_an_error(self) -> None:
        """They are not followed for ever."""
        server = ScriptedServer.always(answer(302, {"Location": URL}))
        assert error_of(server.stream().head(), UnexpectedStatus).status == 302

    def test_a_long_refusal_is_not_read_to_its_end(self) -> None:
        """Only the beginning of the text is kept, and the connection is closed."""
        server = ScriptedServer([saying(answer(404, TEXT, b"x" * 10_000_000))])
        error = error_of(server.stream().read().collect(), StreamNotFound)
        assert len(error.problem.detail) == 500
        server.advance()
        assert server.network.live == []


class TestShortConnections:
    def test_sse_that_never_lasts_becomes_long_poll(self) -> None:
        """Behind a proxy that ends every connection at once, asking is better than listening."""

        def briefly(asked: Asked) -> None:
            asked.say(chunked(200, EVENTS, events(control("1", upToDate="true"))) + LAST_CHUNK)
            asked.end()

        polled = answer(200, tail_at("2", **CLOSED), b"x")
        server = ScriptedServer([*[briefly] * SHORT_IN_A_ROW, polled])
        collected = server.stream().read("1", "sse").collect()
        server.advance(10)
        assert result_of(collected) == b"x"
        assert [asked.query["live"] for asked in server.asked] == ["sse"] * SHORT_IN_A_ROW + ["long-poll"]

    def test_a_connection_that_lasts_starts_the_count_anew(self) -> None:
        """Two short ones and a good one are no reason to give up SSE."""

        def briefly(asked: Asked) -> None:
            asked.say(chunked(200, EVENTS, events(control("1"))) + LAST_CHUNK)
            asked.end()

        def for_a_while(asked: Asked) -> None:
            asked.say(chunked(200, EVENTS, events(control("1"))))
            server.clock.callLater(30, asked.say, LAST_CHUNK)
            server.clock.callLater(30, asked.end)

        scripts: list[Script] = [briefly, briefly, for_a_while, briefly, briefly]
        server = ScriptedServer([*scripts, saying(chunked(200, EVENTS, events(FINAL)))])
        collected = server.stream().read("1", "sse").collect()
        server.advance(60)
        assert result_of(collected) == b""
        assert {asked.query["live"] for asked in server.asked} == {"sse"}

    def test_a_server_that_restarts_is_no_reason_to_give_up_sse(self) -> None:
        """Broken connections are failures of the network, not of SSE."""
        broken = cut_after(10_000, chunked(200, EVENTS, events(data("[1]"), control("1"))))
        server = ScriptedServer([*[broken] * 5, chunked(200, EVENTS, events(FINAL))])
        collected = server.stream().read_json(live="sse").collect()
        server.advance(30)
        assert result_of(collected) == [1] * 5
        assert {asked.query["live"] for asked in server.asked} == {"sse"}


def test_events_that_come_twice_are_the_servers_word() -> None:
    """A control event says where the data before it end; the client adds nothing to that and drops nothing."""
    blocks = [data("[1]"), control("1"), control("1"), data("[2]"), control("2"), FINAL]
    server = ScriptedServer([chunked(200, EVENTS, events(*blocks))])
    batches: list[Batch[list[int]]] = []
    result_of(server.stream().read_json(live="sse").deliver(batches.append))
    assert [(batch.data, batch.offset) for batch in batches] == [([1], "1"), ([], "1"), ([2], "2"), ([], "9")]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 400), max_size=8), st.text(alphabet="aé€🎉\n", max_size=30))
def test_text_survives_any_fragmentation(sizes: list[int], text: str) -> None:
    """Chunks may begin and end within characters, lines and events."""
    stream = events(data(text), FINAL)
    pieces, rest = [], stream
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    response = chunked(200, EVENTS, *[piece for piece in [*pieces, rest] if piece]) + LAST_CHUNK
    server = ScriptedServer([response])
    assert result_of(server.stream().read_text(live="sse").collect()) == text
