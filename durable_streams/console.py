"""How a command of the command line talks with its terminal, and how it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.python.failure import Failure

from durable_streams.client import (
    ClientError,
    Conflict,
    ConnectionFailed,
    FileOffsetStore,
    Forbidden,
    InvalidArgument,
    OffsetTrimmed,
    RetryPolicy,
    StreamDirectory,
    StreamGone,
    StreamHandle,
    StreamNotFound,
    Unauthorized,
    connections,
)
from durable_streams.standard_input import StandardInput

FAILED = 1
NOT_FOUND = 3
CONFLICT = 4
REFUSED = 5
UNREACHABLE = 6
INTERRUPTED = 130
BROKEN_PIPE = 141

EXIT_CODES: list[tuple[type[Exception], int]] = [
    (OffsetTrimmed, FAILED),
    (StreamNotFound, NOT_FOUND),
    (StreamGone, NOT_FOUND),
    (Conflict, CONFLICT),
    (Unauthorized, REFUSED),
    (Forbidden, REFUSED),
    (ConnectionFailed, UNREACHABLE),
]
"""By the first class that fits; anything else is ``FAILED``."""

PATIENCE = RetryPolicy(max_retries=4)
"""A person waits: after about a second and a half a command that cannot reach its server says so."""

STEADFAST = RetryPolicy()
"""For work that goes on and on, over restarts of the server."""

PROGRESS_INTERVAL = 0.5
"""Seconds between two lines of progress, and before the first."""


class Console:
    """One command's server, its input and output, and its way to the end.

    ``out`` gets data and nothing else, ``err`` what is meant for people.
    """

    def __init__(
        self, directory: StreamDirectory, offsets: FileOffsetStore, reactor: Any, out: BinaryIO, err: TextIO
    ) -> None:
        self.directory = directory
        self.offsets = offsets
        self.reactor = reactor
        self.out = out
        self.err = err
        self.on_interrupt: Callable[[], None] = lambda: None
        """What to say when the command is interrupted."""

    def stream(self, name: str) -> StreamHandle:
        """The stream that an argument names: relative to the root, or a whole URL.

        The Authorization header is for the root's server; a URL elsewhere does not get it.
        """
        if not name.startswith(("http://", "https://")):
            return self.directory.stream(name)
        root = self.directory.stream("")
        if urlsplit(name)[:2] == urlsplit(root.url)[:2]:
            return root.sibling(name)
        return StreamHandle(name, root.requests.treq, retry=PATIENCE, clock=self.reactor)

    def say(self, line: str) -> None:
        """Tell the person."""
        self.err.write(line + "\n")
        self.err.flush()

    def write(self, data: bytes) -> None:
        """Write data at once. Raises ``BrokenPipeError`` when nobody reads them."""
        self.out.write(data)
        self.out.flush()

    def input(self) -> StandardInput:
        """What comes on standard input."""
        return StandardInput(self.reactor)

    def progress(self) -> Progress:
        """A line that tells of long work, where a person can see it."""
        return Progress(self.reactor, self.err if self.err.isatty() and not self.out.isatty() else None)

    def run(self, command: Callable[[], Coroutine[Any, Any, None]]) -> int:
        """Run the command on the reactor to its end, or until it is interrupted; returns the exit code."""
        ending = _Ending(self)
        self.reactor.callWhenRunning(ending.begin, command)
        self.reactor.run()
        return ending.code

    def describe(self, error: Exception) -> int:
        """Tell of a failure, and return its exit code."""
        self.say(f"durable-streams: {error}")
        return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), FAILED)


def terminal(url: str, auth: str | None) -> Console:
    """The console of this process."""
    from twisted.internet import reactor

    headers = {} if auth is None else {"Authorization": auth}
    directory = StreamDirectory(url, headers=headers, retry=PATIENCE)
    offsets = FileOffsetStore(_state_directory() / "offsets")
    return Console(directory, offsets, reactor, sys.stdout.buffer, sys.stderr)


class Progress:
    """Counts bytes, and shows them on a terminal's last line once the work takes long. ``err`` None shows nothing."""

    def __init__(self, clock: Any, err: TextIO | None) -> None:
        self._clock = clock
        self._err = err
        self._shown_at = clock.seconds()
        self._is_shown = False
        self.total = 0

    def add(self, count: int) -> None:
        self.total += count
        if self._err is not None and self._clock.seconds() - self._shown_at >= PROGRESS_INTERVAL:
            self._shown_at = self._clock.seconds()
            self._is_shown = True
            self._err.write(f"\r{_readable(self.total)}")
            self._err.flush()

    def end(self) -> None:
        """Leave the line as it is and begin another."""
        if self._is_shown and self._err is not None:
            self._err.write(f"\r{_readable(self.total)}\n")


def _readable(count: int) -> str:
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.2f} GB"


def _state_directory() -> Path:
    """Where programs keep what should survive their end (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "durable-streams"


class _Ending:
    """The end of a command: by itself, by a failure, or by an interrupt."""

    def __init__(self, console: Console) -> None:
        self.code = 0
        self._console = console
        self._is_interrupted = False
        self._running: Deferred[None] | None = None

    def begin(self, command: Callable[[], Coroutine[Any, Any, None]]) -> None:
        reactor = self._console.reactor
        reactor.addSystemEventTrigger("before", "shutdown", self._shut_down)
        self._running = running = Deferred.fromCoroutine(command())
        running.addErrback(self._failed)
        running.addBoth(lambda _: connections.shared().close())
        running.addBoth(lambda _: self._stop())

    def _stop(self) -> None:
        # An interrupt may have stopped it just now.
        with suppress(ReactorNotRunning):
            self._console.reactor.stop()

    def _shut_down(self) -> Deferred[None] | None:
        """A signal stops the reactor before the command has ended: cancel it, and wait for its last words."""
        running = self._running
        if running is None or running.called:
            return None
        self._is_interrupted = True
        running.cancel()
        return running

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if self._is_interrupted:
            self.code = INTERRUPTED
            self._console.on_interrupt()
        elif isinstance(error, BrokenPipeError):
            self.code = BROKEN_PIPE
            # Python would try once more to write what is left, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        elif isinstance(error, (ClientError, InvalidArgument, OSError, ValueError)):
            self.code = self._console.describe(error)
        else:
            self.code = FAILED
            failure.printTraceback(file=self._console.err)
