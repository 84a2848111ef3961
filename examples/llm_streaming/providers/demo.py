"""A provider without a model, a key or a network: it recites, as slowly as a model speaks."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncGenerator
from typing import Any

from twisted.internet.task import deferLater

from .provider import ProviderError

FASTEST, SLOWEST = 0.02, 0.12
"""Seconds per token."""
TOKENS_BEFORE_FAILURE = 20

_TOKEN = re.compile(r"\s*\S+")

EXPLANATION = """\
You asked: “{prompt}”

No model is at work here, I am the demo provider. But what you are looking at is real: every word that I say is \
appended to a durable stream, and your browser is only one of its readers.

A durable stream is a log with a URL. Whoever has the URL can read it from the beginning, from any offset, or follow \
it as it grows. The server writes each token to disk before anybody sees it, so none can be lost:

  • Press Disconnect while I am talking. I go on without you. Press Resume, and you get exactly what you missed.
  • Reload the page in the middle of a sentence. The sentence is still there, and it keeps growing.
  • Open the share link in a second tab, or on your phone. Both show the same answer, token for token.
  • Stop the server, even with kill -9, and start it again. Everything that you have read is still there.

The usual way, tokens run through one HTTP response, and when that response breaks, the answer is gone, and paid for. \
Here the answer does not live in a connection. It lives in the stream, and connections come and go.

When the last token is written, the stream is closed, and every reader knows that nothing is missing. That is all \
there is to it, and it is plain HTTP. Naïve? Try it with curl."""

STORY = """\
Once upon a time there was a ferryman who carried words across a wide river, one word at a time.

People on the far bank waited for their stories, and often the fog came in and the boat turned back. Then the words \
in it were lost, and the story had to be told again from the beginning, and the storyteller had to be paid again.

One day the ferryman drove posts into the river bed, all the way across, and hung each word on its own post as he \
passed. “Now,” he said, “let the fog come.”

It came. The boat turned back. But the words hung on their posts, in order, and when the fog had lifted the people \
simply read on from the last post that they remembered. Latecomers began at the first post. Some read slowly and some \
fast, and nobody had to wait for anybody.

And the storyteller? She told each story once. When she had said the last word, the ferryman hung a small bell behind \
it, so that everyone would know: this is the end, and nothing is missing."""


class Demo:
    """Recites something that fits the prompt: a story, an explanation, or, asked to fail, half of one."""

    name = "demo"
    label = "Demo"
    model = "recites, no key needed"

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    async def tokens(self, prompt: str) -> AsyncGenerator[str, None]:
        asked = prompt.lower()
        text = STORY if "story" in asked else EXPLANATION.format(prompt=prompt)
        for number, token in enumerate(_TOKEN.findall(text)):
            await deferLater(self._reactor, random.uniform(FASTEST, SLOWEST))
            if number == TOKENS_BEFORE_FAILURE and "fail" in asked:
                raise ProviderError("The demo broke off in the middle of a sentence, because you asked it to fail.")
            yield token
