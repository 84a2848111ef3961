"""The web side of ``llm_streaming``: what may be asked, and what goes out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from treq.testing import StubTreq
from twisted.internet.task import Clock

from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage
from examples.llm_streaming.answers import MOST_AT_ONCE, Answers
from examples.llm_streaming.application import LONGEST_PROMPT, PAGE, Application
from examples.llm_streaming.providers import ready_providers

JSON = {"Content-Type": "application/json"}
QUESTION = {"prompt": "Why?", "provider": "demo"}


@pytest.fixture
def site() -> Iterator[StubTreq]:
    """A client of the application, with only the demo provider, whose time stands still."""
    clock = Clock()
    streams = StreamService(MemoryStorage(clock), clock=clock)
    streams.startService()
    answers = Answers(streams)
    application = Application(streams, answers, ready_providers({}, clock, None), [("OpenAI", "OPENAI_API_KEY")])
    yield StubTreq(application.app.resource())
    answers.stop()
    streams.stopService()


async def asked(site: Any, question: object) -> tuple[int, dict[str, str]]:
    answer = await site.post("http://x/answers", data=json.dumps(question).encode(), headers=JSON)
    return answer.code, await answer.json()


@pytest_twisted.ensureDeferred
async def test_a_question_gets_an_id_and_a_stream(site: Any) -> None:
    """Which can be read at once, by this site and no other, and is kept out of shared caches."""
    status, answer = await asked(site, QUESTION)
    assert status == 201
    stream = await site.get(f"http://x/streams/answers/{answer['id']}", headers={"Origin": "http://elsewhere"})
    assert stream.code == 200
    assert not stream.headers.hasHeader("Access-Control-Allow-Origin")
    assert "public" not in str(stream.headers.getRawHeaders("Cache-Control"))
    (started,) = await stream.json()
    assert started["prompt"] == "Why?"


@pytest.mark.parametrize(
    ("question", "complaint"),
    [
        ({**QUESTION, "prompt": "  "}, "The prompt is empty."),
        ({**QUESTION, "prompt": "x" * (LONGEST_PROMPT + 1)}, "longer than"),
        ({**QUESTION, "provider": "openai"}, "no such thing as 'openai'"),
        ({**QUESTION, "provider": ["demo"]}, "must be an object"),
        ({"provider": "demo"}, "no such thing as 'prompt'"),
        (["Why?"], "must be an object"),
        (None, "must be an object"),
    ],
    ids=["empty", "too long", "no key for it", "no name", "no prompt", "a list", "null"],
)
@pytest_twisted.ensureDeferred
async def test_a_bad_question_is_told_what_is_wrong(site: Any, question: object, complaint: str) -> None:
    """And nothing is begun."""
    status, answer = await asked(site, question)
    assert status == 400
    assert complaint in answer["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000], ids=["nothing", "half", "no text", "deep"])
@pytest_twisted.ensureDeferred
async def test_what_is_no_json_is_refused(site: Any, body: bytes) -> None:
    """Without a traceback."""
    answer = await site.post("http://x/answers", data=body, headers=JSON)
    assert answer.code == 400


@pytest_twisted.ensureDeferred
async def test_a_form_of_another_site_cannot_ask(site: Any) -> None:
    """Browsers send its types without asking first."""
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = await site.post("http://x/answers", data=json.dumps(QUESTION).encode(), headers={"Content-Type": kind})
        assert answer.code == 400


@pytest_twisted.ensureDeferred
async def test_too_many_answers_at_once(site: Any) -> None:
    """Are put off."""
    for _ in range(MOST_AT_ONCE):
        assert (await asked(site, QUESTION))[0] == 201
    status, answer = await asked(site, QUESTION)
    assert status == 503
    assert "Try again" in answer["error"]


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
@pytest_twisted.ensureDeferred
async def test_visitors_cannot_write_streams(site: Any, method: str) -> None:
    """Only the application can."""
    assert (await site.request(method, "http://x/streams/answers/mine", headers=JSON, data=b"[]")).code == 405


@pytest_twisted.ensureDeferred
async def test_who_can_answer(site: Any) -> None:
    """And what is missing for the others; no key is in it."""
    answer = await (await site.get("http://x/providers")).json()
    assert [one["name"] for one in answer["ready"]] == ["demo"]
    assert answer["missing"] == [{"label": "OpenAI", "variable": "OPENAI_API_KEY"}]


@pytest_twisted.ensureDeferred
async def test_the_files_of_the_page(site: Any) -> None:
    """Each has its type, and a policy that lets in nothing of other hosts. Others are not there."""
    for path in ["/", *(f"/page/{file.name}" for file in PAGE.iterdir())]:
        answer = await site.get(f"http://x{path}")
        assert answer.code == 200
        assert "default-src 'none'" in answer.headers.getRawHeaders("Content-Security-Policy")[0]
        assert await answer.content()
    for path in ("/page/none", "/page/..%2Fanswers.py", "/page/"):
        assert (await site.get(f"http://x{path}")).code == 404


@pytest.mark.parametrize("file", sorted(PAGE.iterdir()), ids=lambda file: file.name)
def test_the_page_names_no_other_host(file: Any) -> None:
    """It works in a cellar."""
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", file.read_text()))
    assert addresses <= {"http://www.w3.org"}
