"""A server of this machine that speaks like a provider, as a test has written it down."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any, NamedTuple

import treq.client
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

reactor: Any = installed_reactor
KEY = "sk-secret-0123456789"


class Cut(Enum):
    """The connection breaks here."""

    HERE = 1


class Asked(NamedTuple):
    """A request that came."""

    path: str
    headers: dict[str, str]
    question: dict[str, Any]


class StandIn(Resource):
    """Answers every POST by the steps: bytes are sent, a Deferred is waited for, ``Cut.HERE`` breaks the connection.

    ``hung_up`` fires when a connection ends before its answer for the first time.
    """

    isLeaf = True

    def __init__(self, steps: Iterable[bytes | Deferred[None] | Cut], status: int = 200) -> None:
        super().__init__()
        self.steps = list(steps)
        self.status = status
        self.asked: list[Asked] = []
        self.hung_up: Deferred[None] = Deferred()

    def render_POST(self, request: Any) -> int:
        fields = request.requestHeaders.getAllRawHeaders()
        headers = {name.decode().lower(): values[0].decode() for name, values in fields}
        self.asked.append(Asked(request.uri.decode(), headers, json.load(request.content)))
        gone = request.notifyFinish().addErrback(lambda _: self._gone())
        Deferred.fromCoroutine(self._answer(request, gone))
        return NOT_DONE_YET

    def _gone(self) -> None:
        if not self.hung_up.called:
            self.hung_up.callback(None)

    async def _answer(self, request: Any, gone: Deferred[None]) -> None:
        request.setResponseCode(self.status)
        request.setHeader("Content-Type", "text/event-stream" if self.status == 200 else "application/json")
        for step in self.steps:
            if isinstance(step, Deferred):
                await step
            elif isinstance(step, bytes):
                request.write(step)
            else:
                request.transport.abortConnection()
            if gone.called:
                return
        request.finish()


@asynccontextmanager
async def served(stand_in: StandIn) -> AsyncIterator[str]:
    """The URL at which a stand-in listens."""
    port = reactor.listenTCP(0, Site(stand_in, timeout=None), interface="127.0.0.1")
    try:
        yield f"http://127.0.0.1:{port.getHost().port}"
    finally:
        await maybeDeferred(port.stopListening)


def http_client() -> treq.client.HTTPClient:
    """A client that keeps no connection for later."""
    return treq.client.HTTPClient(Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False)))


def anthropic_event(kind: str, **fields: object) -> bytes:
    """An event of the Messages API."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def anthropic_text(text: str) -> bytes:
    """A piece of text as the Messages API sends it."""
    return anthropic_event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


def anthropic_answer(*texts: str) -> list[bytes]:
    """A whole answer of the Messages API, with everything around the text that may come."""
    return [
        anthropic_event("message_start", message={"id": "msg_1", "role": "assistant", "content": [], "usage": {}}),
        anthropic_event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        anthropic_event("ping"),
        *map(anthropic_text, texts),
        anthropic_event("content_block_stop", index=0),
        anthropic_event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": len(texts)}),
        anthropic_event("message_stop"),
    ]


def openai_chunk(**delta: object) -> bytes:
    """A chunk of chat completions."""
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n".encode()


def openai_answer(*texts: str) -> list[bytes]:
    """A whole answer of chat completions: a role, the text, a reason to finish, the usage, the end."""
    finish = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return [
        openai_chunk(role="assistant", content=""),
        *(openai_chunk(content=text) for text in texts),
        f"data: {json.dumps({'choices': [finish]})}\n\n".encode(),
        f"data: {json.dumps({'choices': [], 'usage': {'total_tokens': 9}})}\n\n".encode(),
        b"data: [DONE]\n\n",
    ]
