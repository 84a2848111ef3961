"""The HTTP side in memory: our own requests in, our own responses out, time in the hands of the test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from durable_streams.interfaces import IStorage
from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage
from durable_streams.web.application import StreamApplication
from durable_streams.web.request import Frame, Later, LiveBody, Request, Response
from durable_streams.web.settings import HttpSettings

ROOT = "/v1/stream/"
NOW = 1_800_000_000  # 2027-01-15T08:00:00Z


class Answer:
    """A response, easy to look at; ``headers`` has lower-case names."""

    def __init__(self, response: Response) -> None:
        self.status = response.status
        self.body = response.body
        fields = [*response.shared.fields, *response.headers]
        self.headers = {name.decode().lower(): value.decode() for name, value in fields}

    @property
    def text(self) -> str:
        assert isinstance(self.body, bytes)
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def offset(self) -> str:
        return self.headers["stream-next-offset"]

    @property
    def closed(self) -> bool:
        return self.headers.get("stream-closed") == "true"

    @property
    def up_to_date(self) -> bool:
        return self.headers.get("stream-up-to-date") == "true"


class Connection:
    """A live body's other end: collects what is sent; ``full_after`` bytes it asks for a pause."""

    def __init__(self, body: LiveBody, full_after: int | None = None) -> None:
        self._body = body
        self._full_after = full_after
        self.received = b""
        self.frames: list[Frame] = []
        self.finished = False
        body.start(self)

    def send(self, frame: Frame) -> None:
        assert not self.finished
        self.frames.append(frame)
        self.received += frame.payload
        if self._full_after is not None and len(self.received) >= self._full_after:
            self._body.pause()

    def finish(self) -> None:
        assert not self.finished
        self.finished = True

    def pause(self) -> None:
        """The buffer is full."""
        self._body.pause()

    def drain(self) -> None:
        """The buffer is empty again, and takes all from now on."""
        self._full_after = None
        self._body.resume()

    def disconnect(self) -> None:
        self._body.stop()

    @property
    def events(self) -> list[tuple[str, str]]:
        """The events so far, as a browser tells them: (type, data)."""
        return events_in(self.received)

    @property
    def controls(self) -> list[dict[str, Any]]:
        return [json.loads(data) for kind, data in self.events if kind == "control"]

    @property
    def data(self) -> list[str]:
        return [data for kind, data in self.events if kind == "data"]


def events_in(stream: bytes) -> list[tuple[str, str]]:
    """Parse an event stream as the HTML standard says."""
    events = []
    kind = ""
    lines: list[str] = []
    text = stream.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    for line in text.split("\n"):
        if not line:
            if lines:
                events.append((kind, "\n".join(lines)))
            kind, lines = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            kind = value
        elif field == "data":
            lines.append(value)
    return events


class Desk:
    """One service over memory storage, and its handlers."""

    def __init__(
        self,
        storage: Callable[[Clock], IStorage] = MemoryStorage,
        max_read_bytes: int = 1 << 20,
        clock: Clock | None = None,
        **settings: Any,
    ) -> None:
        self.clock = clock or Clock()
        self.clock.advance(NOW)
        self.storage = storage(self.clock)
        self.service = StreamService(self.storage, clock=self.clock, max_read_bytes=max_read_bytes)
        self.service.startService()
        self.application = StreamApplication(self.service, HttpSettings(**settings))

    def asked(self, method: str, path: str, body: bytes | str = b"", **headers: str) -> Response | Deferred[Response]:
        """What the handler gives; ``path`` is below the root and may have a query; ``_`` in header names is ``-``."""
        raw, _, query = (ROOT + path).partition("?")
        fields = {name.replace("_", "-").lower().encode(): value.encode("latin-1") for name, value in headers.items()}
        fields.setdefault(b"host", b"streams.example")
        content = body.encode() if isinstance(body, str) else body
        request = Request(method.encode(), raw.encode("latin-1"), query.encode("latin-1"), fields, content, False)
        handler = self.application.stream_handler(request.path)
        assert handler is not None
        answer = handler(request)
        return answer.response() if isinstance(answer, Later) else answer

    def ask(self, method: str, path: str, body: bytes | str = b"", **headers: str) -> Answer:
        """A request that is answered at once, or in the next turn."""
        answer = self.asked(method, path, body, **headers)
        if isinstance(answer, Deferred):
            outcomes: list[Any] = []
            answer.addBoth(outcomes.append)
            if not outcomes:
                self.turn()
            assert outcomes, "no answer yet"
            answer = outcomes[0]
        assert isinstance(answer, Response), answer
        return Answer(answer)

    def waiting(self, method: str, path: str, **headers: str) -> Waiting:
        """A request that may have to wait, such as a long-poll."""
        answer = self.asked(method, path, **headers)
        assert isinstance(answer, Deferred)
        return Waiting(answer)

    def put(self, path: str, body: bytes | str = b"", **headers: str) -> Answer:
        return self.ask("PUT", path, body, **headers)

    def post(self, path: str, body: bytes | str = b"", **headers: str) -> Answer:
        return self.ask("POST", path, body, **headers)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def text_stream(self, path: str, body: bytes | str = b"", **headers: str) -> Answer:
        return self.put(path, body, Content_Type="text/plain", **headers)

    def json_stream(self, path: str, body: bytes | str = b"", **headers: str) -> Answer:
        return self.put(path, body, Content_Type="application/json", **headers)

    def say(self, path: str, body: bytes | str, **headers: str) -> Answer:
        return self.post(path, body, Content_Type="text/plain", **headers)

    def connect(self, path: str, full_after: int | None = None, **fields: str) -> Connection:
        """Follow by SSE."""
        answer = self.get(path, **fields)
        assert answer.status == 200, answer.body
        assert not isinstance(answer.body, bytes)
        return Connection(answer.body, full_after)

    def turn(self) -> None:
        """One turn of the reactor."""
        self.clock.advance(0)

    def is_quiet(self) -> bool:
        """Whether nobody waits for anything any more."""
        timers = [call for call in self.clock.getDelayedCalls() if call.active()]
        sweep_only = len(timers) <= 1
        return sweep_only and not self.service.notifier.followed() and not len(self.application.streams.feeds)

    def stop(self) -> Deferred[None]:
        self.service.drain()
        return self.service.stopService()


class Waiting:
    """An answer that is still to come."""

    def __init__(self, deferred: Deferred[Response]) -> None:
        self.deferred = deferred
        self._outcomes: list[Any] = []
        deferred.addBoth(self._outcomes.append)

    @property
    def is_answered(self) -> bool:
        return bool(self._outcomes)

    @property
    def answer(self) -> Answer:
        assert self._outcomes, "no answer yet"
        return Answer(self._outcomes[0])

    def disconnect(self) -> None:
        self.deferred.cancel()


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.stop()
