"""What a worker does for one subscription: claim and work, again and again, until nothing is left."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.logger import Logger
from twisted.python.failure import Failure

from durable_streams.client.errors import ClientError
from durable_streams.client.retry import Backoff
from durable_streams.client.subscription_errors import AlreadyClaimed, NoPendingWork, SubscriptionNotFound
from durable_streams.client.wake_lease import ClaimedLease, WakeLease
from durable_streams.client.wake_session import HandlerFailed, Outcome, WakeSession

_NOTHING_TO_DO = (AlreadyClaimed, NoPendingWork, SubscriptionNotFound)
_log = Logger()


class Duty:
    """Ends when there is nothing to do, or on ``stop``. ``wake`` says that there may be more."""

    def __init__(
        self,
        claim: Callable[[], Deferred[ClaimedLease]],
        session_for: Callable[[WakeLease], WakeSession],
        places: DeferredSemaphore,
        backoff: Backoff,
        on_error: Callable[[Failure], object],
    ) -> None:
        self._claim = claim
        self._session_for = session_for
        self._places = places
        self._backoff = backoff
        self._on_error = on_error
        self._session: WakeSession | None = None
        self._pause: Deferred[None] | None = None
        self._is_woken = False
        self._is_stopping = False

    def run(self) -> Deferred[None]:
        """Work until nothing is left. Fails only when it is cancelled, or by a bug."""
        return Deferred.fromCoroutine(self._run())

    def wake(self) -> None:
        """Look once more before it ends."""
        self._is_woken = True

    def stop(self) -> None:
        """Begin nothing more; what the handler has in its hands is finished, the rest given back."""
        self._is_stopping = True
        if self._session is not None:
            self._session.stop()
        elif self._pause is not None:
            self._pause.cancel()

    def hurry(self) -> None:
        """End at once."""
        self.stop()
        if self._session is not None:
            self._session.hurry()

    def leave(self) -> None:
        """Give nothing back any more. What is being waited for is for the caller of ``run`` to cancel."""
        self.stop()
        if self._session is not None:
            self._session.leave()

    # --- inside

    async def _run(self) -> None:
        while True:
            self._is_woken = False
            outcome = await self._places.run(lambda: Deferred.fromCoroutine(self._attempt()))
            if self._is_stopping:
                return
            if outcome is Outcome.STUCK:
                await self._wait()
            else:
                self._backoff.succeeded()
                if outcome is not Outcome.MORE and not self._is_woken:
                    return

    async def _attempt(self) -> Outcome:
        if self._is_stopping:
            return Outcome.STOPPED
        try:
            self._session = self._session_for(await self._claim())
            if self._is_stopping:
                self._session.stop()
            return await self._session.run()
        except _NOTHING_TO_DO:
            return Outcome.FINISHED
        except HandlerFailed as error:
            self._on_error(Failure(error.__cause__ or error))
        except ClientError as error:
            _log.warn("a wake could not be worked through: {reason}", reason=str(error))
        finally:
            self._session = None
        return Outcome.STUCK

    async def _wait(self) -> None:
        self._pause = self._backoff.pause()
        try:
            await self._pause
        except CancelledError:
            if not self._is_stopping:
                raise
        finally:
            self._pause = None
