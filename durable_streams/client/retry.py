"""When to ask again, and after which pause."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from durable_streams.client.errors import (
    ClientError,
    ConnectionFailed,
    InvalidArgument,
    ServerFailure,
    TooManyRequests,
)

NOT_IMPLEMENTED = 501


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently a failed request is repeated. Times are in seconds.

    The n-th pause is ``initial_delay * multiplier ** n``, at most ``max_delay``, and a random part of its second half
    is left out so that clients do not come back all at once. A server's Retry-After lengthens it, up to
    ``longest_retry_after``. ``max_retries`` failures in a row are forgiven; anything that succeeds starts a new row.

    Raises ``InvalidArgument``.
    """

    max_retries: int = 10
    initial_delay: float = 0.1
    max_delay: float = 10.0
    multiplier: float = 2.0
    longest_retry_after: float = 60.0

    def __post_init__(self) -> None:
        if self.max_retries < 0:
            raise InvalidArgument("max_retries", "must not be negative")
        if self.initial_delay <= 0:
            raise InvalidArgument("initial_delay", "must be positive")
        if self.max_delay < self.initial_delay:
            raise InvalidArgument("max_delay", "must not be less than initial_delay")
        if self.multiplier < 1:
            raise InvalidArgument("multiplier", "must be at least 1")

    def delay(self, failures: int, chance: float) -> float:
        """The pause after so many failures before; ``chance`` is a random number from 0 to 1."""
        longest: float = self.initial_delay
        for _ in range(failures):
            longest *= self.multiplier
            if longest >= self.max_delay:
                return self.max_delay * (1 - chance / 2)
        return longest * (1 - chance / 2)


class Backoff:
    """The pauses of one operation, and when to give up."""

    def __init__(self, policy: RetryPolicy, clock: IReactorTime, chance: Callable[[], float] = random.random) -> None:
        self._policy = policy
        self._clock = clock
        self._chance = chance
        self.failures = 0

    def succeeded(self) -> None:
        """Begin to count anew."""
        self.failures = 0

    def pause_after(self, error: ClientError) -> Deferred[None]:
        """Wait before the next attempt. Raises the error itself when there is no use in one, or no patience left."""
        if not is_passing(error) or self.failures >= self._policy.max_retries:
            raise error
        return self.pause(_retry_after(error))

    def pause(self, at_least: float = 0.0) -> Deferred[None]:
        """Wait as after a failure."""
        delay = self._policy.delay(self.failures, self._chance())
        self.failures += 1
        return deferLater(self._clock, max(delay, min(at_least, self._policy.longest_retry_after)))


def is_passing(error: ClientError) -> bool:
    """Whether the same request may succeed later: lost connections, 429, and 5xx but not 501."""
    if isinstance(error, ConnectionFailed):
        return not error.permanent
    if isinstance(error, ServerFailure):
        return error.status != NOT_IMPLEMENTED
    return isinstance(error, TooManyRequests)


def was_not_done(error: ClientError) -> bool:
    """Whether the server has surely not done what failed: it was not reached, or says so itself.

    A gateway's 502 or 504 says nothing of what the server behind it did.
    """
    if isinstance(error, ConnectionFailed):
        return not error.sent
    if isinstance(error, ServerFailure):
        return error.status in (500, 503)
    return True


def _retry_after(error: ClientError) -> float:
    if isinstance(error, (TooManyRequests, ServerFailure)) and error.retry_after is not None:
        return error.retry_after
    return 0.0
