"""Readers and servers, proxies and networks that do what they should not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_streams.client import (
    Batch,
    ParseError,
    RetryPolicy,
    ServerFailure,
    StreamNotFound,
    TimedOut,
    TooManyRequests,
    UnexpectedStatus,
)
from durable_streams.client.sse_reader import SHORT_IN_A_ROW
from tests.client.event_stream import FINAL, control, data, events
from tests.client.outcomes import error_of, result_of
from tests.client.scripted_server import (
    CLOSED,
    EVENTS,
    LAST_CHUNK,
    TEXT,
    URL,
    Asked,
    Script,
    ScriptedServer,
    answer,
    chunk,
    chunked,
    cut_after,
    saying,
    tail_at,
)


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

        def broken(number: int) -> Script:
            return cut_after(10_000, chunked(200, EVENTS, events(data(f"[{number}]"), control(str(number)))))

        server = ScriptedServer([*map(broken, range(1, 6)), chunked(200, EVENTS, events(FINAL))])
        collected = server.stream().read_json(live="sse").collect()
        server.advance(30)
        assert result_of(collected) == [1, 2, 3, 4, 5]
        assert {asked.query["live"] for asked in server.asked} == {"sse"}

    def test_idle_connections_that_break_after_a_while_are_taken_up_for_ever(self) -> None:
        """Patience is for failures in a row; a connection that has lasted is none, even when nothing came."""

        def for_a_while(asked: Asked) -> None:
            asked.say(chunked(200, EVENTS, events(control("1", upToDate="true"))))
            server.clock.callLater(30, asked.transport.crash)

        server = ScriptedServer([*[for_a_while] * 20, chunked(200, EVENTS, events(FINAL))])
        collected = server.stream().read_json("1", "sse").collect()
        server.advance(20 * 32)
        assert result_of(collected) == []


class TestRepetition:
    def messages_of(self, *blocks: str) -> list[tuple[list[int], str]]:
        """Messages and offset of every batch of an event stream."""
        server = ScriptedServer([chunked(200, EVENTS, events(*blocks))])
        batches: list[Batch[list[int]]] = []
        result_of(server.stream().read_json(live="sse").deliver(batches.append))
        return [(batch.data, batch.offset) for batch in batches]

    def test_an_event_that_comes_twice_is_yielded_once(self) -> None:
        """Data move the offset (Section 8): those that end where the reader stands were received already."""
        repeated = (data("[1]"), control("1"))
        assert self.messages_of(*repeated, *repeated, data("[2]"), control("2"), FINAL) == [
            ([1], "1"),
            ([], "1"),
            ([2], "2"),
            ([], "9"),
        ]

    def test_a_series_of_events_that_comes_again_is_yielded_once(self) -> None:
        """Offsets sort as strings (Section 8), so what lies before the reader shows."""
        series = (data("[1]"), control("1"), data("[2]"), control("2"), data("[3]"), control("3"))
        found = self.messages_of(*series, *series, data("[4]"), control("4"), FINAL)
        assert [message for messages, _ in found for message in messages] == [1, 2, 3, 4]
        assert [offset for _, offset in found] == ["1", "2", "3", "3", "4", "9"]

    def test_offsets_that_do_not_sort_lose_nothing(self) -> None:
        """A server that does not pad its numbers is still read."""
        found = self.messages_of(
            data("[1]"), control("9"), data("[2]"), control("10"), control("11", streamClosed="true")
        )
        assert found == [([1], "9"), ([2], "10"), ([], "11")]

    def test_what_a_new_connection_repeats_is_yielded_once(self) -> None:
        """Some servers begin with the last event once more."""
        opening = chunked(200, EVENTS, events(data("[1]"), control("1")))
        again = chunked(200, EVENTS, events(data("[1]"), control("1"), data("[2]"), control("2"), FINAL))
        server = ScriptedServer([cut_after(len(opening), opening), again])
        collected = server.stream().read_json(live="sse").collect()
        server.advance(2)
        assert result_of(collected) == [1, 2]

    def test_a_stream_that_was_restored_from_a_backup_is_followed(self) -> None:
        """A new connection may begin before the offset that was asked for; what comes then is new."""
        opening = chunked(200, EVENTS, events(data("[1,2]"), control("2")))
        restored = chunked(200, EVENTS, events(control("1", upToDate="true"), data("[3]"), control("2"), FINAL))
        server = ScriptedServer([cut_after(len(opening), opening), restored])
        collected = server.stream().read_json(live="sse").collect()
        server.advance(2)
        assert result_of(collected) == [1, 2, 3]

    @pytest.mark.parametrize("live", [None, "long-poll"])
    def test_an_answer_that_ends_where_it_begins_brings_nothing(self, live: Any) -> None:
        """A stale cache may send what was asked for before; the reader goes on from where it is."""
        stale = answer(200, {"Stream-Next-Offset": "1"}, b"[1]")
        server = ScriptedServer([stale, stale, answer(200, tail_at("2", **CLOSED), b"[2]")])
        collected = server.stream().read_json(live=live).collect()
        server.advance(2)
        assert result_of(collected) == ([1] if live is None else [1, 2])

    @pytest.mark.parametrize("live", [None, "long-poll"])
    def test_empty_arrays_for_ever_are_no_busy_loop(self, live: Any) -> None:
        """An array without messages is no progress, although it has bytes."""
        server = ScriptedServer.always(answer(200, {"Stream-Next-Offset": "1"}, b"[]"))
        reading = server.stream().read_json(live=live)
        ended = reading.deliver(lambda batch: None)
        server.advance(60)
        assert len(server.asked) < 20
        reading.close()
        assert result_of(ended) is None


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
