"""How long a client waits for a server that says nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """Seconds of silence after which a request counts as lost, and is repeated where that is safe.

    ``answer`` holds for ordinary requests, ``live`` for long-polls and SSE: it must exceed the server's long-poll
    timeout and the pauses between its keep-alive comments.
    """

    answer: float = 30.0
    live: float = 90.0
