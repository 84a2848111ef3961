"""A worker for pull-wake subscriptions: follows a wake stream, claims, works, acks (Section 7.2)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Iterable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from durable_streams.client.directory import StreamDirectory
from durable_streams.client.duty import Duty
from durable_streams.client.retry import Backoff, RetryPolicy
from durable_streams.client.wake_lease import WakeLease
from durable_streams.client.wake_session import Handler, WakeSession
from durable_streams.client.wake_stream import WakeStream

PATIENCE = RetryPolicy(initial_delay=1.0, max_delay=60.0)

_log = Logger()


class PullWakeWorker(Service):
    """Works while it runs: does what is pending in the subscriptions whose wakes are written to ``wake_stream``.

    ``handler`` gets ``Work``, piece by piece for each subscription, and for up to ``at_once`` subscriptions side by
    side. When it returns, or the awaitable that it returned has fired, the work is acked. When it raises, the wake is
    given back to other workers, ``on_error`` gets the failure (without it, it is logged), and this worker claims again
    after a pause that grows with ``patience``. Work comes again after a crash and after a lost lease, so a handler must
    bear repetition. When a lease is lost, the Deferred that the handler returned is cancelled.

    With ``subscriptions`` the worker keeps to those and claims at its start what is pending. Without, it works for
    every subscription that the wake stream names, which it reads from its beginning. Any number of workers may share a
    wake stream. Lost connections are made up for, for as long as it takes.

    ``worker`` is the name that others see as the holder of a lease; ``clock`` is the reactor by default.
    """

    def __init__(
        self,
        directory: StreamDirectory,
        wake_stream: str,
        handler: Handler,
        *,
        subscriptions: Collection[str] = (),
        worker: str | None = None,
        on_error: Callable[[Failure], object] | None = None,
        patience: RetryPolicy = PATIENCE,
        at_once: int = 16,
        grace: float = 10.0,
        clock: IReactorTime | None = None,
    ) -> None:
        if clock is None:
            from twisted.internet import reactor

            clock = IReactorTime(reactor)
        self.worker = worker or f"{socket.gethostname()}-{os.getpid()}"
        self._directory = directory
        self._handler = handler
        self._on_error = on_error or _log_error
        self._patience = patience
        self._grace = grace
        self._clock = clock
        self._wakes = WakeStream(directory.stream(wake_stream), subscriptions, self._wake)
        self._places = DeferredSemaphore(at_once)
        self._following: Deferred[None] | None = None
        self._duties: dict[str, Duty] = {}
        self._running_duties: set[Deferred[None]] = set()

    @property
    def is_busy(self) -> bool:
        """Whether it works for a subscription, or waits to try one again."""
        return bool(self._duties)

    def startService(self) -> None:
        super().startService()
        self._following = Deferred.fromCoroutine(self._wakes.follow(Backoff(self._patience, self._clock)))
        self._following.addErrback(_pass_over_cancelling)
        self._following.addErrback(lambda failure: _log.failure("a worker follows no more wakes", failure))

    def stopService(self) -> Deferred[None]:
        """Claim nothing more; fires when the handler has done what it has in its hands, and that is acked.

        After ``grace`` seconds the handler is cancelled. What is left is given back to other workers. After as long
        again nothing is waited for, neither a server that has not taken it nor a handler that has not ended: the leases
        end by themselves.
        """
        super().stopService()
        if self._following is not None:
            self._following.cancel()
        for duty in list(self._duties.values()):
            duty.stop()
        ended: Deferred[Any] = DeferredList(list(self._running_duties))
        timers = (
            self._clock.callLater(self._grace, self._hurry),
            self._clock.callLater(2 * self._grace, self._leave, ended),
        )
        return ended.addCallback(lambda _: _cancel(timers))

    def _hurry(self) -> None:
        for duty in list(self._duties.values()):
            duty.hurry()

    def _leave(self, ended: Deferred[Any]) -> None:
        for duty in list(self._duties.values()):
            duty.leave()
        for running in list(self._running_duties):
            running.cancel()
        if not ended.called:
            _log.warn("a handler has not ended, and is left alone: {work}", work=", ".join(self._duties))
            ended.callback([])

    def _wake(self, subscription_id: str) -> None:
        duty = self._duties.get(subscription_id)
        if duty is not None:
            duty.wake()
        elif self.running:
            self._begin(subscription_id)

    def _begin(self, subscription_id: str) -> None:
        subscription = self._directory.subscription(subscription_id)
        duty = self._duties[subscription_id] = Duty(
            lambda: subscription.claim(self.worker),
            self._session_for,
            self._places,
            Backoff(self._patience, self._clock),
            self._on_error,
        )
        running = duty.run()
        self._running_duties.add(running)
        running.addErrback(_pass_over_cancelling)
        running.addErrback(lambda failure: _log.failure("a worker failed by a bug", failure))
        running.addCallback(lambda _: self._ended(subscription_id, running))

    def _ended(self, subscription_id: str, running: Deferred[None]) -> None:
        del self._duties[subscription_id]
        self._running_duties.discard(running)

    def _session_for(self, lease: WakeLease) -> WakeSession:
        return WakeSession(lease, self._directory, self._handler, self._clock)


def _pass_over_cancelling(failure: Failure) -> None:
    failure.trap(CancelledError)


def _cancel(timers: Iterable[IDelayedCall]) -> None:
    for timer in timers:
        if timer.active():
            timer.cancel()


def _log_error(failure: Failure) -> None:
    _log.failure("a handler of work failed", failure)
