"""OpenAI's chat completions, which many other servers speak too."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from .event_stream import events_of, message_in
from .provider import ProviderError


class OpenAI:
    """Asks OpenAI. ``OPENAI_BASE_URL`` and ``OPENAI_MODEL`` may name another place and another model."""

    name = "openai"
    label = "OpenAI"
    key_variable = "OPENAI_API_KEY"

    def __init__(self, environment: Mapping[str, str], reactor: Any, http: Any) -> None:
        self._key = environment[self.key_variable]
        self._url = environment.get("OPENAI_BASE_URL", "https://api.openai.com/v1").rstrip("/") + "/chat/completions"
        self.model = environment.get("OPENAI_MODEL", "gpt-4o-mini")
        self._reactor = reactor
        self._http = http

    async def tokens(self, prompt: str) -> AsyncGenerator[str, None]:
        headers = {"Authorization": f"Bearer {self._key}"}
        question = {"model": self.model, "stream": True, "messages": [{"role": "user", "content": prompt}]}
        async with aclosing(events_of(self._reactor, self._http, self._url, headers, question, self._key)) as events:
            async for event in events:
                if event.data == "[DONE]":
                    return
                chunk = json.loads(event.data)
                if "error" in chunk:
                    raise ProviderError(f"The provider broke off: {message_in(event.data, self._key)}")
                for choice in chunk.get("choices", ()):
                    if text := choice.get("delta", {}).get("content"):
                        yield text
        raise ProviderError("The provider's answer ended in the middle.")
