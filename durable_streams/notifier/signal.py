"""Waiting for a stream to change, without missing a change and without leaving anything behind."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from durable_streams.interfaces import INotifier


class ChangeSignal:
    """Remembers from its beginning on whether a stream has changed; a context manager, which ends the subscription.

    Begin it before reading: a change between the read and the wait is then not lost.
    """

    def __init__(self, notifier: INotifier, clock: IReactorTime, path: str) -> None:
        self._clock = clock
        self._changed = False
        self._released = False
        self._waiting: Deferred[bool] | None = None
        self._timer: IDelayedCall | None = None
        self._end = notifier.subscribe(path, self._on_change)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._stop_timer()

    def wait(self, timeout: float | None) -> Deferred[bool]:
        """Fires with True after a change, which is then forgotten; with False after ``timeout`` seconds or a release.

        May be cancelled.
        """
        if self._released or self._changed:
            changed, self._changed = self._changed, False
            return succeed(changed and not self._released)
        self._waiting = Deferred(self._on_cancel)
        if timeout is not None:
            self._timer = self._clock.callLater(timeout, self._fire, False)
        return self._waiting

    def release(self) -> None:
        """End this wait and all later ones."""
        self._released = True
        self._fire(False)

    def _on_change(self) -> None:
        if self._waiting is None:
            self._changed = True
        else:
            self._fire(True)

    def _on_cancel(self, _: Deferred[bool]) -> None:
        self._forget_waiting()

    def _fire(self, changed: bool) -> None:
        waiting = self._forget_waiting()
        if waiting is not None:
            waiting.callback(changed)

    def _forget_waiting(self) -> Deferred[bool] | None:
        self._stop_timer()
        waiting, self._waiting = self._waiting, None
        return waiting

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
