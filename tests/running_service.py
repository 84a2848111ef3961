"""The real service as a process of its own."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import HTTPError
from urllib.request import urlopen

LISTENING = re.compile(r"listening on (https?://[^/\s]+)(/\S*)")
ROOT = Path(__file__).parent.parent
# A service under test signs its own certificate.
_TRUSTING = ssl._create_unverified_context()


class RunningService:
    """A started ``twistd durable-streams``; ``url`` is the stream root, with its final slash."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[str] = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def _read_log(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.log.append(line)
                if LISTENING.search(line):
                    self._listening.set()
        self._listening.set()

    def wait_until_it_answers(self, seconds: float = 30) -> None:
        self._listening.wait(seconds)
        if not any(LISTENING.search(line) for line in self.log):
            raise AssertionError(f"the service did not start: {''.join(self.log)}")
        # It may say that it listens before its reactor runs, and a signal would end it at once until then.
        with suppress(HTTPError):
            urlopen(self.origin, timeout=seconds, context=_TRUSTING).close()

    @property
    def origin(self) -> str:
        """Scheme, host and port of the first listener."""
        return self._match()[1]

    @property
    def url(self) -> str:
        match = self._match()
        return match[1] + match[2].rstrip(";")

    def _match(self) -> re.Match[str]:
        return next(match for line in self.log if (match := LISTENING.search(line)))

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def terminate(self) -> int:
        """Ask it to stop, and wait; returns the exit status."""
        self.ask_to_stop()
        return self.wait()

    def ask_to_stop(self) -> None:
        """What a supervisor does; asked twice, it waits for no client."""
        self.process.terminate()

    def wait(self) -> int:
        """Wait for its end; returns the exit status."""
        status = self.process.wait(30)
        self._reader.join(30)
        return status


@contextmanager
def running_service(
    *options: str, listen: str = "tcp:0:interface=127.0.0.1", reactor: str | None = None, cwd: Path | None = None
) -> Iterator[RunningService]:
    """Start the service with options after ``durable-streams`` and wait until it answers; it ends with the block.

    ``cwd`` is where relative paths in the options begin: a new folder that goes with the service unless given.
    """
    twistd = [sys.executable, "-c", _TWISTD, "-n", "--pidfile=", *(["--reactor", reactor] if reactor else [])]
    with TemporaryDirectory() as empty:
        process = subprocess.Popen(
            [*twistd, "durable-streams", "--listen", listen, *options],
            cwd=cwd or empty,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )
        service = RunningService(process)
        try:
            service.wait_until_it_answers()
            yield service
        finally:
            if process.poll() is None:
                service.kill()


_TWISTD = "import sys; sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()"
