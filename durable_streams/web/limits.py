"""What one client may ask of the service before it is refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one connection and one request. Sizes are bytes, times are seconds.

    ``target_bytes`` bounds the request line's target (414 beyond), ``head_bytes`` and ``header_count`` the whole head
    (431), ``body_bytes`` the body (413, sent before the rest of the body is read). ``keep_alive`` is how long an idle
    connection is kept between requests, ``head_timeout`` how long a head may take, ``body_timeout`` how long a body may
    pause between two reads (408).
    """

    target_bytes: int = 8 * 1024
    head_bytes: int = 32 * 1024
    header_count: int = 100
    body_bytes: int = 64 * 1024 * 1024
    keep_alive: float = 75.0
    head_timeout: float = 20.0
    body_timeout: float = 30.0
