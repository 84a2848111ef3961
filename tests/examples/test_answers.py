"""Answers of ``llm_streaming``: what is in their streams, and what a restart makes of them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage
from examples.llm_streaming.answers import FAILED, INTERRUPTED, KEPT_SECONDS, MOST_AT_ONCE, PREFIX, Answers, TooBusy
from examples.llm_streaming.providers import ProviderError


class Scripted:
    """A provider that says tokens, waits for Deferreds, and raises errors."""

    name = label = "Scripted"
    model = "none"

    def __init__(self, *steps: str | Deferred[None] | Exception) -> None:
        self._steps = steps
        self.hung_up = False

    async def tokens(self, prompt: str) -> AsyncGenerator[str, None]:
        try:
            for step in self._steps:
                if isinstance(step, str):
                    yield step
                elif isinstance(step, Deferred):
                    await step
                else:
                    raise step
        finally:
            self.hung_up = True


@pytest.fixture
def streams() -> Iterator[StreamService]:
    clock = Clock()
    service = StreamService(MemoryStorage(clock), clock=clock)
    service.startService()
    yield service
    service.stopService()


async def told(streams: StreamService, answer_id: str) -> tuple[list[dict[str, Any]], bool]:
    """The messages of an answer behind the first, and whether its stream is closed."""
    found = await streams.read(PREFIX + answer_id)
    return [json.loads(message) for message in found.messages][1:], found.stream.closed


@pytest_twisted.ensureDeferred
async def test_an_answer_is_a_stream(streams: StreamService) -> None:
    """It begins with the question, has every token, ends with its status, and is closed. It is kept for a week."""
    answer_id = await Answers(streams).begin(Scripted("a", " b"), "Why?")
    found = await streams.read(PREFIX + answer_id)
    assert [json.loads(message) for message in found.messages] == [
        {"status": "started", "prompt": "Why?", "provider": "Scripted", "model": "none"},
        {"token": "a"},
        {"token": " b"},
        {"status": "complete"},
    ]
    assert found.at_end
    assert found.stream.ttl == KEPT_SECONDS


@pytest_twisted.ensureDeferred
async def test_tokens_are_there_before_the_end(streams: StreamService) -> None:
    """Readers need not wait for the provider."""
    gate: Deferred[None] = Deferred()
    answer_id = await Answers(streams).begin(Scripted("a", gate, "b"), "Why?")
    assert await told(streams, answer_id) == ([{"token": "a"}], False)
    gate.callback(None)
    assert await told(streams, answer_id) == ([{"token": "a"}, {"token": "b"}, {"status": "complete"}], True)


@pytest_twisted.ensureDeferred
async def test_an_error_of_the_provider_ends_the_answer(streams: StreamService) -> None:
    """With the provider's words."""
    answer_id = await Answers(streams).begin(Scripted("a", ProviderError("Overloaded")), "Why?")
    assert await told(streams, answer_id) == ([{"token": "a"}, {"status": "error", "error": "Overloaded"}], True)


@pytest_twisted.ensureDeferred
async def test_a_bug_of_the_provider_ends_the_answer(streams: StreamService, unhandled_failures: list[str]) -> None:
    """The log has the details, the stream has none."""
    answer_id = await Answers(streams).begin(Scripted(KeyError("secret")), "Why?")
    assert await told(streams, answer_id) == ([{"status": "error", "error": FAILED}], True)
    assert ["secret" in traceback for traceback in unhandled_failures] == [True]
    unhandled_failures.clear()


@pytest_twisted.ensureDeferred
async def test_a_restart_ends_what_was_interrupted(streams: StreamService) -> None:
    """What was written stays; what was finished is not touched; other streams are none of its business."""
    before = Answers(streams)
    finished = await before.begin(Scripted("a"), "Why?")
    provider = Scripted("a", Deferred())
    interrupted = await before.begin(provider, "Why?")
    await streams.create("other")
    before.stop()
    assert provider.hung_up
    assert await told(streams, interrupted) == ([{"token": "a"}], False)

    await Answers(streams).end_interrupted()
    assert await told(streams, finished) == ([{"token": "a"}, {"status": "complete"}], True)
    assert await told(streams, interrupted) == ([{"token": "a"}, {"status": "error", "error": INTERRUPTED}], True)
    assert not (await streams.describe("other")).closed


@pytest_twisted.ensureDeferred
async def test_a_restart_finds_them_all(streams: StreamService) -> None:
    """Also those beyond the first page of the list."""
    for number in range(1005):
        await streams.create(f"{PREFIX}{number}", content_type="application/json")
    await Answers(streams).end_interrupted()
    for number in range(1005):
        assert (await streams.describe(f"{PREFIX}{number}")).closed


@pytest_twisted.ensureDeferred
async def test_there_is_a_limit(streams: StreamService) -> None:
    """Of answers that are written at once; a finished one makes room."""
    answers = Answers(streams)
    gate: Deferred[None] = Deferred()
    await answers.begin(Scripted(gate), "Why?")
    for _ in range(MOST_AT_ONCE - 1):
        await answers.begin(Scripted(Deferred()), "Why?")
    with pytest.raises(TooBusy):
        await answers.begin(Scripted(), "Why?")
    gate.callback(None)
    await answers.begin(Scripted(), "Why?")
    answers.stop()


@pytest_twisted.ensureDeferred
async def test_ids_cannot_be_guessed(streams: StreamService) -> None:
    """Whoever has the link may read, nobody else."""
    answers = Answers(streams)
    ids = {await answers.begin(Scripted(), "Why?") for _ in range(50)}
    assert len(ids) == 50
    assert all(len(answer_id) >= 16 for answer_id in ids)
