"""The load generators count what is right, and find what is wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.load_generators import SOURCES, LoadGenerators
from benchmarks.wrong_answer import WrongAnswer
from tests.benchmarks.tiny_server import ALTERS, CUTS, ENDS, LOSES, REFUSES, REPEATS, Stream, TinyServer, tiny_server

_STREAM = "/v1/stream/x"
# Runs end by their number of requests; this only bounds a failure.
_LIMIT = ("--seconds", "20")
_APPEND = ("POST", _STREAM, "--status", "204", "--requests", "20", *_LIMIT)


def _load(programs: Path, server: TinyServer) -> LoadGenerators:
    server.streams[_STREAM] = Stream(b"")
    return LoadGenerators(programs, server.port)


def test_the_sources_compile_without_a_warning(programs: Path, tmp_path: Path) -> None:
    strict = "CFLAGS=-O2 -std=c11 -Wall -Wextra -Werror"
    subprocess.run(["make", "--silent", "-C", str(SOURCES), f"BUILD={tmp_path}", strict], check=True)
    assert (tmp_path / "http_load").exists()


class TestHttpLoad:
    def test_counts_right_answers(self, programs: Path) -> None:
        with tiny_server() as server:
            load = _load(programs, server).http(*_APPEND, "--connections", "3")
        assert load.answers == 20
        assert server.asked.count(f"POST {_STREAM}") == 20
        assert 0 < load.latency.p50 <= load.latency.p99 <= load.latency.p999

    def test_sends_the_body_whole(self, programs: Path, tmp_path: Path) -> None:
        body = tmp_path / "body"
        body.write_bytes(bytes(range(256)) * 2000)
        with tiny_server() as server:
            _load(programs, server).http(*_APPEND[:4], "--requests", "2", "--body", str(body), *_LIMIT)
            assert server.streams[_STREAM].data == body.read_bytes() * 2

    def test_asks_for_each_number_once_and_in_order(self, programs: Path) -> None:
        with tiny_server() as server:
            load = _load(programs, server).http("PUT", f"{_STREAM}-", "--each-of", "5", "--status", "201", *_LIMIT)
        assert load.answers == 5
        assert server.asked == [f"PUT {_STREAM}-{number}" for number in range(5)]

    def test_asks_for_any_number_below_the_limit(self, programs: Path) -> None:
        with tiny_server() as server:
            _load(programs, server).http("HEAD", _STREAM + "-", "--any-of", "3", "--status", "404", *_APPEND[4:])
        allowed = {f"HEAD {_STREAM}-{number}" for number in range(3)}
        assert len(server.asked) == 20
        assert set(server.asked) <= allowed

    def test_keeps_several_requests_under_way_on_one_connection(self, programs: Path) -> None:
        with tiny_server() as server:
            load = _load(programs, server).http(*_APPEND, "--pipeline", "8")
        assert load.answers == 20

    def test_a_body_as_expected_is_right(self, programs: Path, tmp_path: Path) -> None:
        answer = tmp_path / "answer"
        answer.write_bytes(b"y" * 700)
        with tiny_server() as server:
            load = _load(programs, server)
            server.streams[_STREAM] = Stream(answer.read_bytes())
            found = load.http("GET", _STREAM, "--answer", str(answer), "--requests", "5", *_LIMIT)
        assert found.answers == 5

    def test_every_other_body_is_wrong(self, programs: Path, tmp_path: Path) -> None:
        answer = tmp_path / "answer"
        answer.write_bytes(b"y" * 700)
        with tiny_server(ALTERS) as server:
            load = _load(programs, server)
            server.streams[_STREAM] = Stream(answer.read_bytes())
            with pytest.raises(WrongAnswer) as caught:
                load.http("GET", _STREAM, "--answer", str(answer), "--requests", "5", *_LIMIT)
        assert caught.value.count == 5

    def test_every_other_status_is_wrong(self, programs: Path) -> None:
        with tiny_server(REFUSES) as server, pytest.raises(WrongAnswer) as caught:
            _load(programs, server).http(*_APPEND)
        assert (caught.value.count, caught.value.reason) == (20, "status 404 instead of 204")

    def test_a_lost_connection_is_wrong(self, programs: Path) -> None:
        with tiny_server(CUTS) as server, pytest.raises(WrongAnswer) as caught:
            _load(programs, server).http(*_APPEND)
        assert caught.value.reason == "a connection was lost, with 1 requests under way"

    def test_without_a_server_there_is_no_result(self, programs: Path) -> None:
        with tiny_server() as server:
            load = _load(programs, server)
        with pytest.raises(WrongAnswer, match="Connection refused"):
            load.http(*_APPEND)


class TestSseLoad:
    _CLIENTS = ("--readers", "5", "--writers", "2", "--seconds", "0.2", "--drain", "5")

    def test_counts_every_delivery_to_every_reader(self, programs: Path) -> None:
        with tiny_server() as server:
            load = _load(programs, server).sse(_STREAM, *self._CLIENTS)
            appended = len(server.streams[_STREAM].data) // 100
        assert load.appends == appended > 0
        assert load.deliveries == 5 * appended
        assert 0 < load.latency.p50 <= load.latency.p99

    def test_keeps_to_a_rate(self, programs: Path) -> None:
        with tiny_server() as server:
            load = _load(programs, server).sse(_STREAM, *self._CLIENTS, "--rate", "50")
        assert 0 < load.appends <= 11

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            (ALTERS, "a message is not as it was appended"),
            (ENDS, "the server ended the events"),
            (REPEATS, "a reader got"),
            (REFUSES, "an append was answered by status 404"),
        ],
    )
    def test_finds_a_fault(self, programs: Path, fault: str, reason: str) -> None:
        with tiny_server(fault) as server, pytest.raises(WrongAnswer) as caught:
            _load(programs, server).sse(_STREAM, *self._CLIENTS)
        assert reason in caught.value.reason

    def test_a_delivery_that_never_comes_is_wrong(self, programs: Path) -> None:
        with tiny_server(LOSES) as server, pytest.raises(WrongAnswer) as caught:
            _load(programs, server).sse(_STREAM, *self._CLIENTS[:-1], "0.2")
        assert "deliveries were still missing" in caught.value.reason

    def test_holds_idle_readers_while_a_block_lasts(self, programs: Path) -> None:
        with tiny_server() as server:
            load = _load(programs, server)
            with load.idle_sse_readers(_STREAM, 5):
                assert server.asked.count(f"GET {_STREAM}") == 5


class TestLongPollLoad:
    _CLIENTS = ("--readers", "3", "--seconds", "0.1")

    def test_measures_from_append_to_answer(self, programs: Path) -> None:
        with tiny_server() as server:
            latency = _load(programs, server).long_poll(_STREAM, *self._CLIENTS)
        assert 0 < latency.p50 <= latency.p99

    @pytest.mark.parametrize("fault", [ALTERS, REFUSES, CUTS])
    def test_finds_a_fault(self, programs: Path, fault: str) -> None:
        def measure() -> None:
            with tiny_server(fault) as server:
                _load(programs, server).long_poll(_STREAM, *self._CLIENTS)

        _assert_wrong(measure)


def _assert_wrong(measure: Callable[[], None]) -> None:
    with pytest.raises(WrongAnswer) as caught:
        measure()
    assert caught.value.reason
