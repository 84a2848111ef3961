"""Batches of messages are decoded without the cyclic garbage collector in between."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from durable_streams.client.batch import RawBatch
from durable_streams.client.decoding import JsonDecoder, Undecodable


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """On, as in every program, and so at the end."""
    was_enabled = gc.isenabled()
    gc.enable()
    yield
    if not was_enabled:
        gc.disable()


def raw(body: bytes) -> RawBatch:
    return RawBatch([body], "1", True, False, None)


def test_thousands_of_fresh_messages_cause_one_young_collection_at_most() -> None:
    """They are no garbage; to look for some again and again ends in a walk through the whole program."""
    count = 20 * gc.get_threshold()[0]
    body = b"[" + b",".join([b'{"n":[]}'] * count) + b"]"
    decoder: JsonDecoder[Any] = JsonDecoder(Any)
    begun: list[int] = []
    gc.collect()
    gc.callbacks.append(lambda phase, info: begun.append(info["generation"]) if phase == "start" else None)
    try:
        decoded = decoder.decode(raw(body), "-1")
    finally:
        gc.callbacks.pop()
    assert len(decoded.data) == count
    assert begun in ([], [0])


def test_the_collector_is_on_again_afterwards() -> None:
    """Also when the data could not be decoded."""
    decoder: JsonDecoder[Any] = JsonDecoder(Any)
    decoder.decode(raw(b"[1]"), "-1")
    assert gc.isenabled()
    with pytest.raises(Undecodable):
        decoder.decode(raw(b"[1"), "-1")
    assert gc.isenabled()


def test_a_program_without_collector_is_left_without() -> None:
    """Whoever has turned it off knows why."""
    gc.disable()
    JsonDecoder[Any](Any).decode(raw(b"[1]"), "-1")
    assert not gc.isenabled()
