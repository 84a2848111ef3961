"""The process that twistd runs: what a server has to ask of it."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import signal
from collections.abc import Callable
from typing import Any

_COLLECTOR_THRESHOLDS = (50_000, 20, 100)
_MOST_FREE_MEMORY = 64 * 1024 * 1024
_LARGEST_BLOCK = 32 * 1024 * 1024
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


class Process:
    """The process around ``reactor``."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def fail(self) -> None:
        """Stop, with exit status 1: supervisors must see that the start has failed."""
        # twistd itself ends with 0 whenever its reactor was stopped.
        atexit.register(os._exit, 1)
        self._reactor.callWhenRunning(self._reactor.stop)

    def settle(self) -> None:
        """The server is up: let the collector leave alone what it is made of, and look at the rest less often.

        Streams are many and live long; walking them every few hundred requests would cost more than serving those.
        """
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECTOR_THRESHOLDS)
        keep_freed_memory()

    def at_next_signal(self, hurry: Callable[[], None]) -> None:
        """Call ``hurry`` when the process, which is stopping already, is told once more to stop."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._reactor.callFromThread(hurry))


def keep_freed_memory() -> None:
    """Have glibc keep some memory that is free instead of asking the system for each large body anew.

    What comes from the system is filled with zeros page by page, which takes longer than to receive it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, _MOST_FREE_MEMORY)
