"""The web side: a page, a list of providers, a place to ask, and the streams themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from klein import Klein

from durable_streams.service import StreamService
from durable_streams.web.resource import StreamResource
from durable_streams.web.settings import HttpSettings

from .answers import Answers, TooBusy
from .providers import Provider

LONGEST_PROMPT = 4000

PAGE = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "Cache-Control": "no-cache",
    # Nothing comes from another host, and nothing is run that is not a file of ours.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    # The address of an answer is its secret.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class BadQuestion(Exception):
    """A request to ask is not as it must be; the text says what is wrong."""


class Application:
    """One page, and the streams below ``/streams/``, which may be read here but not written."""

    app = Klein()

    def __init__(
        self,
        streams: StreamService,
        answers: Answers,
        providers: list[Provider],
        missing: list[tuple[str, str]],
    ) -> None:
        self._answers = answers
        self._providers = {provider.name: provider for provider in providers}
        self._missing = missing
        # Answers are private: browsers may keep them, caches on the way may not, nor may pages of others read them.
        self._streams = StreamResource(streams, HttpSettings(cache_scope="private", cors_origins=()))
        self._files = {path.name: path.read_bytes() for path in PAGE.iterdir()}

    @app.route("/", methods=["GET", "HEAD"])
    def index(self, request: Any) -> bytes:
        return self.file(request, "index.html")

    @app.route("/page/<name>", methods=["GET", "HEAD"])
    def file(self, request: Any, name: str) -> bytes:
        if name not in self._files:
            request.setResponseCode(404)
            return b"There is no such file.\n"
        _set_headers(request, TYPES[Path(name).suffix] + "; charset=utf-8")
        return self._files[name]

    @app.route("/providers", methods=["GET", "HEAD"])
    def providers(self, request: Any) -> bytes:
        ready = [{"name": one.name, "label": one.label, "model": one.model} for one in self._providers.values()]
        missing = [{"label": label, "variable": variable} for label, variable in self._missing]
        return _json(request, 200, {"ready": ready, "missing": missing})

    @app.route("/answers", methods=["POST"])
    async def ask(self, request: Any) -> bytes:
        try:
            provider, prompt = self._question_in(request)
            answer_id = await self._answers.begin(provider, prompt)
        except BadQuestion as error:
            return _json(request, 400, {"error": str(error)})
        except TooBusy:
            request.setHeader("Retry-After", "5")
            return _json(request, 503, {"error": "Too many answers are being written. Try again in a moment."})
        return _json(request, 201, {"id": answer_id})

    @app.route("/streams/", methods=["GET", "HEAD"], branch=True)
    def streams(self, request: Any) -> StreamResource:
        return self._streams

    def _question_in(self, request: Any) -> tuple[Provider, str]:
        # A form of another site cannot send this type, so nobody else's page can ask in the visitor's name.
        if not (request.getHeader("content-type") or "").startswith("application/json"):
            raise BadQuestion("The question must come as application/json.")
        try:
            asked = json.loads(request.content.read())
            prompt = str(asked["prompt"]).strip()
            provider = self._providers[asked["provider"]]
        except (ValueError, TypeError, RecursionError):
            raise BadQuestion("The question must be an object of JSON.") from None
        except KeyError as error:
            raise BadQuestion(f"The question has no such thing as {error}.") from None
        if not prompt:
            raise BadQuestion("The prompt is empty.")
        if len(prompt) > LONGEST_PROMPT:
            raise BadQuestion(f"The prompt is longer than {LONGEST_PROMPT} characters.")
        return provider, prompt


def _json(request: Any, status: int, value: object) -> bytes:
    request.setResponseCode(status)
    _set_headers(request, "application/json")
    return json.dumps(value).encode()


def _set_headers(request: Any, content_type: str) -> None:
    request.setHeader("Content-Type", content_type)
    for name, value in HEADERS.items():
        request.setHeader(name, value)
