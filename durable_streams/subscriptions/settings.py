"""What an operator may choose about subscriptions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SubscriptionSettings:
    """Times are in seconds.

    ``public_url`` is the URL of the stream root as clients see it, with its final slash; None takes it from each
    request. A webhook signing key is replaced after ``signing_key_lifetime``. Webhooks may have ``most_requests`` under
    way at a time, ``most_requests_per_host`` of them to one host, so that a slow receiver holds up nobody else.
    """

    public_url: str | None = None
    signing_key_lifetime: float = 90 * 24 * 3600.0
    most_requests: int = 256
    most_requests_per_host: int = 16
