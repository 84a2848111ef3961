"""Answers: each is a stream of its own, and outlives every connection."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from durable_streams.protocol.results import StreamDescription
from durable_streams.service import StreamService

from .providers import Provider, ProviderError

PREFIX = "answers/"
KEPT_SECONDS = 7 * 24 * 3600
MOST_AT_ONCE = 20

INTERRUPTED = "The server was restarted while this answer was being written. What had been written is all here."
FAILED = "The answer could not be written to its end; the server's log says why."

_log = Logger()


class TooBusy(Exception):
    """So many answers are being written that another one has to wait."""


class Answers:
    """Writes answers into streams.

    The stream of an answer has JSON messages: ``{"status": "started", …}`` with the prompt, ``{"token": …}`` many
    times, and last ``{"status": "complete"}`` or ``{"status": "error", "error": …}``. Then it is closed.
    """

    def __init__(self, streams: StreamService) -> None:
        self._streams = streams
        self._writing: dict[str, Deferred[None]] = {}

    async def begin(self, provider: Provider, prompt: str) -> str:
        """Begin an answer; returns its id when the stream is there. Raises ``TooBusy``."""
        if len(self._writing) >= MOST_AT_ONCE:
            raise TooBusy
        # Nobody can guess it, so only those to whom the link is given can read the answer.
        answer_id = secrets.token_urlsafe(12)
        stream = PREFIX + answer_id
        started = {"status": "started", "prompt": prompt, "provider": provider.label, "model": provider.model}
        await self._streams.create(
            stream, content_type="application/json", ttl=KEPT_SECONDS, data=json.dumps(started).encode()
        )
        writing = Deferred.fromCoroutine(self._write(stream, provider, prompt))
        self._writing[stream] = writing
        writing.addErrback(self._broke_off, stream)
        writing.addBoth(self._written, stream)
        return answer_id

    async def _write(self, stream: str, provider: Provider, prompt: str) -> None:
        """Append what the provider says, token by token, and close the stream."""
        end = {"status": "complete"}
        try:
            async with aclosing(provider.tokens(prompt)) as tokens:
                async for token in tokens:
                    await self._streams.append_json(stream, {"token": token})
        except CancelledError:
            raise
        except ProviderError as error:
            end = {"status": "error", "error": str(error)}
        except Exception:
            _log.failure("{stream} could not be written to its end", stream=stream)
            end = {"status": "error", "error": FAILED}
        await self._streams.append_json(stream, end, close=True)

    def _broke_off(self, failure: Failure, stream: str) -> None:
        if not failure.check(CancelledError):
            _log.failure("{stream} stays open until the next start", failure, stream=stream)

    def _written(self, _: object, stream: str) -> None:
        del self._writing[stream]

    def stop(self) -> None:
        """Write no more. The next start ends what is unfinished, as after a crash."""
        for writing in list(self._writing.values()):
            writing.cancel()

    async def end_interrupted(self) -> None:
        """Tell the readers of answers that an earlier process has left unfinished, and close their streams."""
        async for stream in self._all():
            if not stream.closed:
                end = {"status": "error", "error": INTERRUPTED}
                await self._streams.append_json(stream.path, end, close=True)

    async def _all(self) -> AsyncIterator[StreamDescription]:
        after = ""
        while True:
            page = await self._streams.list_streams(PREFIX, after)
            for stream in page.streams:
                yield stream
            if not page.more:
                return
            after = page.streams[-1].path
