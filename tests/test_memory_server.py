"""The server without sockets that applications test with."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from durable_streams.client import Batch, ConnectionFailed, RetryPolicy
from durable_streams.testing import MemoryServer
from tests.client.outcomes import error_of, is_waiting, result_of


def test_requests_are_answered_at_once() -> None:
    """No reactor is needed to see a result."""
    server = MemoryServer()
    stream = server.stream("a")
    result_of(stream.create(content_type="text/plain", data="x"))
    assert result_of(stream.read_text().collect()) == "x"
    result_of(server.stop())


def test_live_reads_see_appends_when_time_passes() -> None:
    """Also those that the application makes on the service itself."""
    server = MemoryServer()
    stream = server.stream("a")
    result_of(stream.create(content_type="text/plain"))
    seen: list[Batch[str]] = []
    reading = stream.read_text("now", "sse")
    ended = reading.deliver(seen.append)
    result_of(server.service.append("a", b"hello"))
    server.advance()
    assert "".join(batch.data for batch in seen) == "hello"
    reading.close()
    result_of(ended)
    result_of(server.stop())


def test_outages_can_be_played() -> None:
    """``refuse`` takes the server away, ``accept`` brings it back with its streams."""
    server = MemoryServer()
    stream = server.stream("a", retry=RetryPolicy(max_retries=0))
    result_of(stream.create(content_type="text/plain", data="x"))
    server.refuse()
    error_of(stream.head(), ConnectionFailed)
    server.accept()
    assert result_of(stream.read_text().collect()) == "x"
    result_of(server.stop())


def test_a_long_poll_times_out_on_the_clock() -> None:
    """Half a minute passes in no time."""
    server = MemoryServer()
    stream = server.stream("a")
    result_of(stream.create(content_type="text/plain"))
    reading = stream.read_text("now", "long-poll")
    batch = reading.next_batch()
    server.advance(29)
    assert is_waiting(batch)
    server.advance(2)
    empty = result_of(batch)
    assert empty is not None
    assert empty.data == ""
    reading.close()
    result_of(server.stop())


def test_nothing_is_left_after_stop() -> None:
    """Neither connections nor timers."""
    server = MemoryServer()
    stream = server.stream("a", retry=RetryPolicy(max_retries=0))
    result_of(stream.create(content_type="text/plain"))
    ended: Any = stream.read("now", "sse").deliver(lambda batch: None)
    server.advance()
    result_of(server.stop())
    error_of(ended, ConnectionFailed)
    assert server.network.live == []
    assert server.clock.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
async def test_on_the_reactor_it_runs_by_itself() -> None:
    """With the reactor as its clock, tests can simply await."""
    server = MemoryServer(reactor)
    stream = server.stream("a")
    await stream.create(content_type="application/json")
    producer = stream.producer("p")
    for number in range(3):
        producer.append_json(number)
    await producer.close()
    assert [message async for message in stream.read_json(live="sse").each()] == [0, 1, 2]
    await server.stop()


@pytest.mark.parametrize("size", [1, 64 * 1024, 64 * 1024 + 1, 3_000_000])
def test_large_bodies_pass(size: int) -> None:
    """In both directions, whatever the portions are."""
    server = MemoryServer()
    stream = server.stream("a")
    result_of(stream.create(content_type="application/octet-stream", data=b"x" * size))
    assert len(result_of(stream.read().collect())) == size
    result_of(server.stop())
