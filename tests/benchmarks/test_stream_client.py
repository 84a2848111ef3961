"""The plain client that prepares and checks streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from benchmarks.stream_client import StreamClient
from benchmarks.wrong_answer import WrongAnswer
from tests.benchmarks.tiny_server import REFUSES, tiny_server

_STREAM = "/v1/stream/x"


@contextmanager
def _client(fault: str | None = None) -> Iterator[StreamClient]:
    with tiny_server(fault) as server, closing(StreamClient(server.port)) as client:
        yield client


def test_what_was_appended_is_read_page_by_page_up_to_the_tail() -> None:
    with _client() as client:
        client.create(_STREAM, "text/plain", b"a" * 1_500)
        client.append(_STREAM, "text/plain", b"b" * 700)
        assert [len(page) for page in client.pages(_STREAM)] == [1_000, 1_000, 200]
        assert b"".join(client.pages(_STREAM)) == b"a" * 1_500 + b"b" * 700


def test_an_unexpected_status_is_wrong() -> None:
    with _client(REFUSES) as client:
        client.create(_STREAM, "text/plain")
        with pytest.raises(WrongAnswer, match="answered by 404 instead of 204"):
            client.append(_STREAM, "text/plain", b"a")
