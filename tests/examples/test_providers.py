"""The providers of ``llm_streaming``, against a stand-in that speaks their streaming formats over sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Any

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from examples.llm_streaming.providers import Provider, ProviderError, missing_keys, ready_providers
from examples.llm_streaming.providers.demo import FASTEST, SLOWEST, Demo
from examples.llm_streaming.providers.event_stream import LONGEST_LINE, SILENCE, Event, EventParser
from tests.examples.provider_stand_in import (
    KEY,
    Cut,
    StandIn,
    anthropic_answer,
    anthropic_event,
    anthropic_text,
    http_client,
    openai_answer,
    openai_chunk,
    reactor,
    served,
)

WORDS = ["Hello", " wörld", " 👋\n"]
FORMATS = {"anthropic": anthropic_answer, "openai": openai_answer}
WHOLE = pytest.mark.parametrize(("name", "answer"), FORMATS.items(), ids=FORMATS)
BROKEN_OFF = {
    "anthropic": [
        anthropic_text("Hel"),
        anthropic_event("error", error={"type": "overloaded_error", "message": f"Full. {KEY}"}),
    ],
    "openai": [openai_chunk(content="Hel"), b'data: {"error": {"message": "Full. ' + KEY.encode() + b'"}}\n\n'],
}

Answer = Callable[..., list[bytes]]


def provider_at(url: str, name: str, clock: Any = reactor) -> Provider:
    """The provider ``name``, sent to ``url`` by its environment."""
    variable = name.upper()
    environment = {f"{variable}_API_KEY": KEY, f"{variable}_BASE_URL": url, f"{variable}_MODEL": "small"}
    provider = ready_providers(environment, clock, http_client())[0]
    assert provider.name == name
    return provider


async def told_by(provider: Provider, heard: list[str]) -> None:
    async with aclosing(provider.tokens("Hi")) as tokens:
        async for token in tokens:
            heard.append(token)


async def outcome(name: str, steps: Iterable[Any], status: int = 200) -> tuple[list[str], str]:
    """What was heard of an answer, and the error with which it ended."""
    heard: list[str] = []
    async with served(StandIn(steps, status)) as url:
        try:
            await told_by(provider_at(url, name), heard)
        except ProviderError as error:
            return heard, str(error)
    return heard, ""


@WHOLE
@pytest_twisted.ensureDeferred
async def test_a_whole_answer(name: str, answer: Answer) -> None:
    """Only the text of it, however it is packed."""
    assert await outcome(name, answer(*WORDS)) == (WORDS, "")


@WHOLE
@pytest_twisted.ensureDeferred
async def test_an_answer_in_the_smallest_pieces(name: str, answer: Answer) -> None:
    """The network may cut anywhere, also within a character."""
    whole = b"".join(answer(*WORDS)).replace(b"\n", b"\r\n")
    assert await outcome(name, [whole[at : at + 1] for at in range(len(whole))]) == (WORDS, "")


@pytest_twisted.ensureDeferred
async def test_what_anthropic_is_asked() -> None:
    """Path, key, version, model, and the prompt as the one message."""
    stand_in = StandIn(anthropic_answer())
    async with served(stand_in) as url:
        await told_by(provider_at(url + "/", "anthropic"), [])
    (asked,) = stand_in.asked
    assert asked.path == "/v1/messages"
    assert (asked.headers["x-api-key"], asked.headers["anthropic-version"]) == (KEY, "2023-06-01")
    assert asked.question["model"] == "small"
    assert asked.question["stream"] is True
    assert asked.question["messages"] == [{"role": "user", "content": "Hi"}]
    assert asked.question["max_tokens"] > 0


@pytest_twisted.ensureDeferred
async def test_what_openai_is_asked() -> None:
    """The base URL ends with the version, as everywhere with this API."""
    stand_in = StandIn(openai_answer())
    async with served(stand_in) as url:
        await told_by(provider_at(url + "/v1", "openai"), [])
    (asked,) = stand_in.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.question == {"model": "small", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}


@WHOLE
@pytest_twisted.ensureDeferred
async def test_tokens_are_given_as_they_come(name: str, answer: Answer) -> None:
    """A slow answer is not waited for."""
    gate: Deferred[None] = Deferred()
    steps = answer("one", "two")
    second = next(number for number, step in enumerate(steps) if b"two" in step)
    stand_in = StandIn([*steps[:second], gate, *steps[second:]])
    async with served(stand_in) as url, aclosing(provider_at(url, name).tokens("Hi")) as tokens:
        assert await anext(tokens) == "one"
        gate.callback(None)
        assert await anext(tokens) == "two"


@pytest.mark.parametrize("name", BROKEN_OFF)
@pytest_twisted.ensureDeferred
async def test_an_error_in_the_middle(name: str) -> None:
    """What had come counts; what is said about the error is told, without the key."""
    assert await outcome(name, BROKEN_OFF[name]) == (["Hel"], "The provider broke off: Full. …")


@WHOLE
@pytest_twisted.ensureDeferred
async def test_a_connection_that_is_cut(name: str, answer: Answer) -> None:
    """Is never taken for the end."""
    cutting: Deferred[None] = Deferred()
    steps = answer("Hel", "lo")
    second = next(number for number, step in enumerate(steps) if b'"lo"' in step)
    heard: list[str] = []
    async with served(StandIn([*steps[:second], cutting, Cut.HERE])) as url:
        telling = Deferred.fromCoroutine(told_by(provider_at(url, name), heard))
        while not heard:
            await turn_of_the_reactor()
        cutting.callback(None)
        with pytest.raises(ProviderError, match="was lost"):
            await telling
    assert heard == ["Hel"]


@WHOLE
@pytest_twisted.ensureDeferred
async def test_an_answer_that_ends_without_its_last_event(name: str, answer: Answer) -> None:
    """An orderly end of the response is not yet the end of the answer."""
    assert await outcome(name, answer("Hel")[:-1]) == (["Hel"], "The provider's answer ended in the middle.")


@WHOLE
@pytest_twisted.ensureDeferred
async def test_a_refused_key(name: str, answer: Answer) -> None:
    """Such answers may quote parts of the key, so they are not passed on."""
    body = json.dumps({"error": {"message": f"Incorrect key: {KEY[:8]}***{KEY[-4:]}"}}).encode()
    assert await outcome(name, [body], 401) == ([], "The provider refused the key (HTTP 401).")


@WHOLE
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (json.dumps({"error": {"message": f"No such model for {KEY}."}}).encode(), "No such model for …."),
        (b"<html>Bad Gateway</html>", "it did not say why."),
        (b"[" * 70_000, "it did not say why."),
        (b"", "it did not say why."),
    ],
    ids=["words", "a page", "too much", "nothing"],
)
@pytest_twisted.ensureDeferred
async def test_a_refused_question(name: str, answer: Answer, body: bytes, reason: str) -> None:
    """The provider's own sentence, if there is one."""
    assert await outcome(name, [body], 429) == ([], f"The provider refused (HTTP 429): {reason}")


@pytest.mark.parametrize("name", FORMATS)
@pytest_twisted.ensureDeferred
async def test_nobody_listens(name: str) -> None:
    """No route, no server."""
    async with served(StandIn([])) as url:
        pass
    with pytest.raises(ProviderError, match="cannot be reached"):
        await told_by(provider_at(url, name), [])


@pytest_twisted.ensureDeferred
async def test_silence_has_an_end() -> None:
    """Before the first byte and after it; then the provider is hung up on."""
    clock = Clock()
    for steps in ([], [anthropic_text("one")]):
        gate: Deferred[None] = Deferred()
        stand_in = StandIn([*steps, gate])
        heard: list[str] = []
        async with served(stand_in) as url:
            telling = Deferred.fromCoroutine(told_by(provider_at(url, "anthropic", clock), heard))
            while len(stand_in.asked) < 1 or len(heard) < len(steps):
                await turn_of_the_reactor()
            clock.advance(SILENCE)
            with pytest.raises(ProviderError, match=f"{SILENCE} seconds"):
                await telling
            await stand_in.hung_up
            gate.callback(None)
        assert not clock.getDelayedCalls()


@pytest.mark.parametrize("steps", [[], [anthropic_text("one")]], ids=["before the answer", "in the answer"])
@pytest_twisted.ensureDeferred
async def test_who_cancels_hangs_up(steps: list[bytes]) -> None:
    """And is told of nothing else than the cancelling."""
    gate: Deferred[None] = Deferred()
    stand_in = StandIn([*steps, gate])
    heard: list[str] = []
    async with served(stand_in) as url:
        telling = Deferred.fromCoroutine(told_by(provider_at(url, "anthropic"), heard))
        while len(stand_in.asked) < 1 or len(heard) < len(steps):
            await turn_of_the_reactor()
        telling.cancel()
        with pytest.raises(CancelledError):
            await telling
        await stand_in.hung_up
        gate.callback(None)


async def turn_of_the_reactor() -> None:
    turned: Deferred[None] = Deferred()
    reactor.callLater(0, turned.callback, None)
    await turned


# --- the demo, and who is there


def demo_at(clock: Clock, prompt: str) -> tuple[list[str], list[float], Deferred[None]]:
    """What the demo says, and when."""
    heard: list[str] = []
    times: list[float] = []

    async def listen() -> None:
        async for token in Demo(clock).tokens(prompt):
            heard.append(token)
            times.append(clock.seconds())

    return heard, times, Deferred.fromCoroutine(listen())


def run(clock: Clock, listening: Deferred[None]) -> None:
    while not listening.called:
        clock.advance(0.001)


def test_the_demo_speaks_like_a_model() -> None:
    """One token in 20 to 120 ms, and the text is whole."""
    clock = Clock()
    heard, times, listening = demo_at(clock, "What is this?")
    run(clock, listening)
    gaps = [later - sooner for sooner, later in zip([0.0, *times], times, strict=False)]
    assert min(gaps) >= FASTEST
    assert max(gaps) <= SLOWEST + 0.002
    assert "".join(heard).startswith("You asked: “What is this?”\n\nNo model")
    assert len(heard) > 100


def test_the_demo_fails_when_asked() -> None:
    """So that everybody can see how an error looks."""
    clock = Clock()
    heard, _, listening = demo_at(clock, "Fail in the middle")
    run(clock, listening)
    assert isinstance(failure := listening.result, Failure)
    assert "because you asked" in str(failure.value)
    listening.addErrback(lambda _: None)
    assert len(heard) == 20


def test_the_keys_choose() -> None:
    """Whoever has a key comes first; the demo is always there; empty keys are none."""
    environment = {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": ""}
    assert [provider.name for provider in ready_providers(environment, Clock(), None)] == ["openai", "demo"]
    assert missing_keys(environment) == [("Anthropic", "ANTHROPIC_API_KEY")]
    assert [provider.name for provider in ready_providers({}, Clock(), None)] == ["demo"]


# --- event streams

EVENTS = st.lists(st.builds(Event, st.sampled_from(["", "ping", "error"]), st.text("aé👋 :{", min_size=1)), max_size=5)


@given(EVENTS, st.lists(st.integers(0, 200)), st.sampled_from(["\n", "\r\n"]))
def test_events_are_the_same_however_they_are_cut(events: list[Event], cuts: list[int], line_end: str) -> None:
    """Comments and unknown fields in between are nothing."""
    lines = [f": hello\nid: 7\nevent: {name}\ndata: {data}\n\n" for name, data in events]
    whole = "".join(lines).replace("\n", line_end).encode()
    parser = EventParser()
    found: list[Event] = []
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(whole)], strict=True):
        found += parser.feed(whole[begin:end])
    assert found == events


def test_several_lines_of_data_are_one_event() -> None:
    """As the standard says."""
    assert list(EventParser().feed(b"data: a\ndata:b\n\n")) == [Event("", "a\nb")]


def test_a_line_without_end_is_refused() -> None:
    """Nobody fills the memory."""
    with pytest.raises(ProviderError):
        list(EventParser().feed(b"x" * (LONGEST_LINE + 1)))
