"""What an operator may choose about the HTTP side."""

from __future__ import annotations

from dataclasses import dataclass, field

from durable_streams.web.limits import Limits


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Times are in seconds.

    ``long_poll_timeout`` is how long a long-poll waits when the client names no time, ``longest_long_poll`` the most
    that a client may name. ``sse_max_age`` ends SSE connections so that caches can collapse readers (Section 10.2),
    ``sse_keep_alive`` is the pause after which an idle one gets a comment. ``cache_scope`` is ``public``, or
    ``private`` where streams are confidential (Section 10.1). ``cors_origins`` are the web origins that may use the
    service. ``listing`` lets clients list the streams. ``metrics`` lets them read the service's figures at
    ``/metrics``.
    """

    long_poll_timeout: float = 30.0
    longest_long_poll: float = 300.0
    sse_max_age: float = 60.0
    sse_keep_alive: float = 15.0
    cache_scope: str = "public"
    cors_origins: tuple[str, ...] = ("*",)
    listing: bool = False
    metrics: bool = False
    limits: Limits = field(default_factory=Limits)
