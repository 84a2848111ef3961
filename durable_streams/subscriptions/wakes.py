"""The life of a wake: issued, delivered, claimed, kept alive, ended (Section 7). Pure functions over ``Progress``.

``now`` is in seconds since 1970, ``jitter`` a random number from -1 to 1.
"""

from __future__ import annotations

from msgspec.structs import replace

from durable_streams.subscriptions.configuration import Configuration
from durable_streams.subscriptions.errors import AlreadyClaimed, Fenced
from durable_streams.subscriptions.state import Progress, Wake

FIRST_RETRY = 1.0
LONGEST_RETRY = 60.0
JITTER = 0.2

_DOUBLINGS = 6


def retry_delay(failures: int, jitter: float) -> float:
    """Seconds to wait after that many failures: doubled each time, from 1 to 60, with 20 % jitter (Section 7.1)."""
    delay = FIRST_RETRY * 2 ** min(failures - 1, _DOUBLINGS)
    jittered = min(delay, LONGEST_RETRY) * (1 + JITTER * jitter)
    return min(max(jittered, FIRST_RETRY), LONGEST_RETRY)


def attempt_is_due(progress: Progress, now: float) -> bool:
    """Whether pending work may be delivered now: nothing is in flight, or what failed is to be tried again."""
    if progress.next_attempt_at is not None:
        return progress.next_attempt_at <= now
    return progress.wake is None


def outcome_is_unknown(progress: Progress) -> bool:
    """Whether an attempt was begun that has neither succeeded nor failed: it is under way, or its process has ended."""
    wake = progress.wake
    return wake is not None and not wake.delivered and progress.next_attempt_at is None


def retry_now(progress: Progress, now: float) -> Progress:
    """Deliver the wake in flight again, as if it had not been delivered."""
    assert progress.wake is not None
    return replace(progress, wake=replace(progress.wake, delivered=False), next_attempt_at=now)


def begin_attempt(progress: Progress, configuration: Configuration, wake_id: str, stream: str, now: float) -> Progress:
    """Deliver the wake in flight again, or issue one of the next generation, called ``wake_id``."""
    wake = progress.wake or Wake(wake_id, stream)
    generation = progress.generation if progress.wake else progress.generation + 1
    if configuration.type == "webhook":
        wake = replace(wake, lease_until=now + configuration.lease_ttl)
    return replace(progress, generation=generation, wake=wake, next_attempt_at=None)


def delivery_succeeded(progress: Progress) -> Progress:
    """The wake in flight has arrived; from now on its lease alone counts."""
    assert progress.wake is not None
    return replace(progress, wake=replace(progress.wake, delivered=True), failures=0, next_attempt_at=None)


def delivery_failed(progress: Progress, now: float, jitter: float) -> Progress:
    """Try again later, unless the receiver has shown by a callback that it has the wake."""
    if progress.wake is None or progress.wake.delivered:
        return progress
    failures = progress.failures + 1
    return replace(progress, failures=failures, next_attempt_at=now + retry_delay(failures, jitter))


def claim(progress: Progress, subscription_id: str, configuration: Configuration, worker: str, now: float) -> Progress:
    """Give the wake in flight to a worker. Raises ``AlreadyClaimed``."""
    assert progress.wake is not None
    holder = progress.wake.holder
    if holder is not None:
        raise AlreadyClaimed(subscription_id, holder, progress.generation)
    claimed = delivery_succeeded(progress)
    assert claimed.wake is not None
    return replace(claimed, wake=replace(claimed.wake, holder=worker, lease_until=now + configuration.lease_ttl))


def check_current(
    progress: Progress, subscription_id: str, token_generation: int, generation: int, wake_id: str
) -> None:
    """Raise ``Fenced`` unless token and request belong to the wake in flight (Section 7.3)."""
    wake = progress.wake
    current = progress.generation
    if wake is None or wake.wake_id != wake_id or not token_generation == generation == current:
        raise Fenced(subscription_id, current)


def keep_alive(progress: Progress, configuration: Configuration, now: float) -> Progress:
    """Extend the lease of whoever has the wake; a sign of life proves that it was delivered."""
    alive = delivery_succeeded(progress)
    assert alive.wake is not None
    return replace(alive, wake=replace(alive.wake, lease_until=now + configuration.lease_ttl))


def end_wake(progress: Progress) -> Progress:
    """Nobody has a wake any more; tokens of this generation are worth nothing."""
    return replace(progress, wake=None)


def without_pending(progress: Progress, now: float) -> Progress:
    """Nothing is left to deliver: a wake that nobody has ends, and so do attempts that are due again."""
    if progress.next_attempt_at is not None and progress.next_attempt_at <= now:
        return replace(progress, wake=None, failures=0, next_attempt_at=None)
    return end_wake(progress) if nobody_has(progress) else progress


def lease_has_expired(progress: Progress, now: float) -> bool:
    """Whether whoever has the wake has been silent for too long."""
    wake = progress.wake
    return wake is not None and wake.lease_until is not None and wake.lease_until <= now


def expire_lease(progress: Progress, now: float, jitter: float) -> Progress:
    """Take the wake away. A receiver that has not even answered has failed: the next wake keeps to the retry times."""
    if outcome_is_unknown(progress):
        progress = delivery_failed(progress, now, jitter)
    return end_wake(progress)


def nobody_has(progress: Progress) -> bool:
    """Whether a wake is in flight that no worker has taken."""
    return progress.wake is not None and progress.wake.lease_until is None


def next_event_at(progress: Progress) -> float | None:
    """When time alone will change something."""
    times = [progress.next_attempt_at, progress.wake.lease_until if progress.wake else None]
    return min((time for time in times if time is not None), default=None)
