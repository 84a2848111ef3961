"""The supervisor of the checkpointer process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()

SLOWEST_RESTART = 30.0
LONGEST_STOP = 10.0


class CheckpointProcess(ProcessProtocol):
    """Keeps one checkpointer running while there is something to fold, and gives it one segment after the other."""

    def __init__(
        self,
        directory: Path,
        processes: IReactorProcess,
        clock: IReactorTime,
        folded: Callable[[int], None],
        free: Callable[[int], None],
    ) -> None:
        self._directory = directory
        self._processes = processes
        self._clock = clock
        self._folded = folded
        self._free = free
        self._waiting: list[int] = []
        self._running = False
        self._busy = False
        self._stopping = False
        self._output = b""
        self._restarts = 0
        self._restart: IDelayedCall | None = None
        self._ended: Deferred[None] | None = None
        self.trouble: str | None = None

    def fold(self, segment: int) -> None:
        """Fold a segment after those asked for before."""
        self._waiting.append(segment)
        self._go_on()

    def stop(self) -> Deferred[None]:
        """End the process; what is not folded stays in the journal."""
        self._stopping = True
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        if not self._running or self.transport is None:
            return succeed(None)
        ended = self._ended = Deferred()
        self.transport.closeStdin()
        patience = self._clock.callLater(LONGEST_STOP, self.transport.signalProcess, "KILL")
        return ended.addCallback(lambda _: patience.cancel() if patience.active() else None)

    def _go_on(self) -> None:
        if self._stopping or not self._waiting or self._busy or self._restart is not None:
            return
        if not self._running:
            try:
                self._spawn()
            except OSError as error:
                self._try_again(f"the checkpointer cannot be started: {error}")
                return
        self._busy = True
        assert self.transport is not None
        self.transport.write(b"fold %d\n" % self._waiting[0])

    def _spawn(self) -> None:
        command = [sys.executable, "-m", "durable_streams.storage.local.checkpointer", str(self._directory)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
        self._output = b""
        self._processes.spawnProcess(self, sys.executable, command, environment)
        self._running = True

    def outReceived(self, data: bytes) -> None:
        *lines, self._output = (self._output + data).split(b"\n")
        for line in lines:
            answer, number = line.split()
            if answer == b"free":
                self._free(int(number))
            else:
                self._on_folded(int(number))

    def _on_folded(self, segment: int) -> None:
        self._waiting.remove(segment)
        self._busy = False
        self._restarts = 0
        self.trouble = None
        self._folded(segment)
        self._go_on()

    def errReceived(self, data: bytes) -> None:
        _log.error("the checkpointer says: {text}", text=data.decode("utf-8", "replace").strip())

    def processEnded(self, reason: Failure) -> None:
        self._running = self._busy = False
        if self._ended is not None:
            self._ended.callback(None)
        if self._stopping:
            return
        self._try_again(f"the checkpointer ended: {reason.getErrorMessage()}")

    def _try_again(self, trouble: str) -> None:
        delay = min(SLOWEST_RESTART, 0.1 * 2 ** min(self._restarts, 10))
        self._restarts += 1
        self.trouble = trouble
        _log.error("{trouble}; it is restarted in {delay} s", trouble=trouble, delay=delay)
        self._restart = self._clock.callLater(delay, self._restart_now)

    def _restart_now(self) -> None:
        self._restart = None
        self._go_on()
