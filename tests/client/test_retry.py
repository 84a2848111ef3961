"""When to ask again, and after which pause."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.web.http_headers import Headers

from durable_streams.client import (
    ClientError,
    ConnectionFailed,
    Connections,
    InvalidArgument,
    ProducerFenced,
    ProducerSequenceGap,
    RetryPolicy,
    ServerFailure,
    StreamClosed,
    StreamHandle,
    TooManyRequests,
)
from durable_streams.client.errors import Problem
from durable_streams.client.header_fields import HeaderFields
from durable_streams.client.problems import error_of
from durable_streams.client.retry import Backoff
from tests.client.outcomes import error_of as error_in
from tests.client.outcomes import is_waiting, result_of
from tests.client.scripted_server import ScriptedServer, answer

URL = "http://h/s"
LOST = ConnectionFailed(URL, "lost")


class TestPolicy:
    def test_pauses_grow_up_to_the_longest(self) -> None:
        """Exponential, bounded."""
        policy = RetryPolicy(initial_delay=1, multiplier=3, max_delay=20)
        assert [policy.delay(failures, 0) for failures in range(5)] == [1, 3, 9, 20, 20]

    def test_chance_takes_away_up_to_half(self) -> None:
        """Clients that lost one server do not come back at one moment."""
        policy = RetryPolicy(initial_delay=1, multiplier=2, max_delay=20)
        assert [policy.delay(2, chance) for chance in (0, 0.5, 1)] == [4, 3, 2]

    @pytest.mark.parametrize(
        ("options", "parameter"),
        [
            ({"max_retries": -1}, "max_retries"),
            ({"initial_delay": 0}, "initial_delay"),
            ({"initial_delay": 5, "max_delay": 1}, "max_delay"),
            ({"multiplier": 0.5}, "multiplier"),
        ],
    )
    def test_nonsense_is_refused_by_name(self, options: dict[str, float], parameter: str) -> None:
        """The error names the parameter."""
        with pytest.raises(InvalidArgument) as refusal:
            RetryPolicy(**options)  # type: ignore[arg-type]  # nonsense on purpose
        assert refusal.value.parameter == parameter


class TestBackoff:
    def test_patience_ends(self) -> None:
        """After the last retry the error itself is raised."""
        clock = Clock()
        backoff = Backoff(RetryPolicy(max_retries=2, initial_delay=1), clock, lambda: 0)
        for seconds in (1, 2):
            pause = backoff.pause_after(LOST)
            clock.advance(seconds - 0.1)
            assert is_waiting(pause)
            clock.advance(0.1)
            result_of(pause)
        with pytest.raises(ConnectionFailed):
            backoff.pause_after(LOST)

    def test_success_renews_it(self) -> None:
        """Only failures in a row count."""
        clock = Clock()
        backoff = Backoff(RetryPolicy(max_retries=1, initial_delay=1), clock, lambda: 0)
        for _ in range(5):
            pause = backoff.pause_after(LOST)
            clock.advance(1)
            result_of(pause)
            backoff.succeeded()

    def test_retry_after_is_bounded(self) -> None:
        """A server cannot send a client away for a day."""
        clock = Clock()
        backoff = Backoff(RetryPolicy(longest_retry_after=30), clock)
        pause = backoff.pause_after(TooManyRequests(URL, 429, Problem(), 86_400))
        clock.advance(30)
        result_of(pause)

    @pytest.mark.parametrize(
        "error",
        [ServerFailure(URL, 501, Problem(), None), ConnectionFailed(URL, "certificate", permanent=True)],
        ids=["501", "certificate"],
    )
    def test_what_cannot_pass_is_raised_at_once(self, error: ClientError) -> None:
        """Not implemented, not trusted: not in a second either."""
        with pytest.raises(type(error)):
            Backoff(RetryPolicy(), Clock()).pause_after(error)


class TestPlainAppends:
    """They have no sequence number: a repetition could double the data."""

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_a_refusal_that_says_not_done_is_repeated(self, status: int) -> None:
        """The server has said that it did not append."""
        server = ScriptedServer([answer(status), answer(204, {"Stream-Next-Offset": "1"})])
        appended = server.stream(content_type="text/plain").append("x")
        server.advance(2)
        assert result_of(appended).offset == "1"

    @pytest.mark.parametrize("status", [502, 504])
    def test_a_gateway_says_nothing_of_what_was_done(self, status: int) -> None:
        """The error is the caller's to judge."""
        server = ScriptedServer([answer(status)])
        appended = server.stream(content_type="text/plain").append("x")
        with pytest.raises(ServerFailure):
            result_of(appended)

    def test_a_lost_answer_is_not_repeated(self) -> None:
        """The data may be in the stream already."""
        server = ScriptedServer([lambda asked: asked.cut()])
        with pytest.raises(ConnectionFailed) as failure:
            result_of(server.stream(content_type="text/plain").append("x"))
        assert failure.value.sent

    def test_a_refused_connection_is_tried_again(self) -> None:
        """Nothing was sent."""
        server = ScriptedServer([answer(204, {"Stream-Next-Offset": "1"})])
        factory, server.network.server = server.network.server, None
        appended = server.stream(content_type="text/plain").append("x")
        server.network.server = factory
        server.advance(2)
        assert result_of(appended).offset == "1"

    def test_close_and_create_may_be_repeated(self) -> None:
        """They are idempotent (Sections 5.1 and 5.3)."""
        cut = [lambda asked: asked.cut()]
        server = ScriptedServer([*cut, answer(200), *cut, answer(204, {"Stream-Closed": "true"})])
        created = server.stream().create()
        server.advance(2)
        assert not result_of(created).is_new
        closed = server.stream().close()
        server.advance(2)
        assert result_of(closed).closed


class TestCancelling:
    """Whoever cancels does not want another attempt, also when this one has not even a connection yet."""

    @pytest.fixture
    def host(self) -> MemoryReactorClock:
        """A network on which nobody answers, with a clock."""
        return MemoryReactorClock()

    @pytest.fixture
    def stream(self, host: MemoryReactorClock) -> StreamHandle:
        return StreamHandle("http://127.0.0.1/s", Connections(host).treq, clock=host)

    def cancel(self, host: MemoryReactorClock, waiting: Deferred[Any]) -> None:
        """Cancel while the client connects: it fails so at once, and connects no more."""
        assert len(host.tcpClients) == 1
        waiting.cancel()
        host.pump([1.0] * 100)
        assert len(host.tcpClients) == 1

    def test_an_operation(self, host: MemoryReactorClock, stream: StreamHandle) -> None:
        """It would be done although it was cancelled."""
        waiting = stream.head()
        self.cancel(host, waiting)
        error_in(waiting, CancelledError)

    @pytest.mark.parametrize("live", [None, "long-poll", "sse", "auto"])
    def test_a_reading(self, host: MemoryReactorClock, stream: StreamHandle, live: Any) -> None:
        """In every mode."""
        waiting = stream.read(live=live).next_batch()
        self.cancel(host, waiting)
        error_in(waiting, CancelledError)


def refusal(status: int, headers: dict[str, str], body: bytes = b"", ordered: bool = False) -> ClientError:
    fields = HeaderFields(Headers({name: [value] for name, value in headers.items()}))
    return error_of(URL, status, fields, body, 1_800_000_000.0, ordered)


class TestProblems:
    def test_problem_details_are_kept(self) -> None:
        """RFC 9457, with the members code and field."""
        body = b'{"type":"/p","title":"T","status":400,"detail":"D","code":"C","field":"F","extra":[1]}'
        error = refusal(400, {"Content-Type": "application/problem+json"}, body)
        assert error.problem == Problem("/p", "T", "D", "C", "F")  # type: ignore[attr-defined]  # a ResponseError

    @pytest.mark.parametrize("body", [b"{", b"[]", b'{"detail":7}', b"\xff"])
    def test_a_broken_problem_is_plain_text(self, body: bytes) -> None:
        """What cannot be read as JSON is shown as it is."""
        error = refusal(400, {"Content-Type": "application/problem+json"}, body)
        assert error.problem.detail == body.decode("utf-8", "replace")  # type: ignore[attr-defined]  # a ResponseError

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("7", 7.0),
            (format_datetime(datetime.fromtimestamp(1_800_000_060, UTC), usegmt=True), 60.0),
            (format_datetime(datetime.fromtimestamp(1_700_000_000, UTC), usegmt=True), 0.0),
            ("soon", None),
            ("-5", None),
        ],
    )
    def test_retry_after_in_both_forms(self, value: str, seconds: float | None) -> None:
        """Seconds or a date (RFC 9110, 10.2.3); nonsense is none."""
        error = refusal(503, {"Retry-After": value})
        assert isinstance(error, ServerFailure)
        assert error.retry_after == seconds

    def test_a_closed_stream_comes_before_other_conflicts(self) -> None:
        """Stream-Closed decides (Section 5.2, Error Precedence)."""
        error = refusal(409, {"Stream-Closed": "TRUE", "Stream-Next-Offset": "9"}, ordered=True)
        assert isinstance(error, StreamClosed)
        assert error.final_offset == "9"

    def test_producer_conflicts_carry_their_numbers(self) -> None:
        """Section 5.2.1, Response Headers."""
        gap = refusal(409, {"Producer-Expected-Seq": "3", "Producer-Received-Seq": "5"})
        assert isinstance(gap, ProducerSequenceGap)
        assert (gap.expected, gap.received) == (3, 5)
        fenced = refusal(403, {"Producer-Epoch": "4"})
        assert isinstance(fenced, ProducerFenced)
        assert fenced.current_epoch == 4
