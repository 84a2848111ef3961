"""Anthropic's Messages API."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from .event_stream import events_of, message_in
from .provider import ProviderError

MOST_TOKENS = 2048


class Anthropic:
    """Asks Anthropic. ``ANTHROPIC_BASE_URL`` and ``ANTHROPIC_MODEL`` may name another place and another model."""

    name = "anthropic"
    label = "Anthropic"
    key_variable = "ANTHROPIC_API_KEY"

    def __init__(self, environment: Mapping[str, str], reactor: Any, http: Any) -> None:
        self._key = environment[self.key_variable]
        self._url = environment.get("ANTHROPIC_BASE_URL", "https://api.anthropic.com").rstrip("/") + "/v1/messages"
        self.model = environment.get("ANTHROPIC_MODEL", "claude-sonnet-4-5")
        self._reactor = reactor
        self._http = http

    async def tokens(self, prompt: str) -> AsyncGenerator[str, None]:
        headers = {"x-api-key": self._key, "anthropic-version": "2023-06-01"}
        question = {
            "model": self.model,
            "max_tokens": MOST_TOKENS,
            "stream": True,
            "messages": [{"role": "user", "content": prompt}],
        }
        async with aclosing(events_of(self._reactor, self._http, self._url, headers, question, self._key)) as events:
            async for event in events:
                match event.name:
                    case "content_block_delta":
                        # Other deltas than text are thoughts and calls of tools.
                        if text := json.loads(event.data)["delta"].get("text"):
                            yield text
                    case "error":
                        raise ProviderError(f"The provider broke off: {message_in(event.data, self._key)}")
                    case "message_stop":
                        return
        raise ProviderError("The provider's answer ended in the middle.")
