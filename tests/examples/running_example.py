"""An example as its README says to run it, but where there is room for it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.docs.pages import ROOT, blocks_of

_LISTENING = re.compile(r"listening on (http://\S+)/")
KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")


def command_of(example: str) -> list[str]:
    """The one line of examples/README.md that runs ``example``, for the Python of the tests."""
    lines = [line for block in blocks_of("examples/README.md") for line in block.text.splitlines()]
    (line,) = (line for line in lines if re.search(rf"\bexamples[./]{example}\b", line))
    return shlex.split(line.replace(".venv/bin/python", shlex.quote(sys.executable)))


class RunningExample:
    """A started example; ``log`` has the lines of its standard output and standard error so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[str] = []
        self._told = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.log.append(line)
                if _LISTENING.search(line):
                    self._told.set()
        self._told.set()

    @property
    def origin(self) -> str:
        """Where it listens: scheme, host and port."""
        self._told.wait(30)
        found = next((found for line in self.log if (found := _LISTENING.search(line))), None)
        assert found is not None, "".join(self.log)
        return found[1]

    def kill(self) -> None:
        """End it without a chance to do anything."""
        self.process.kill()
        self.end()

    def end(self) -> int:
        """Ask it to stop; returns its exit status."""
        self.process.terminate()
        status = self.process.wait(30)
        self._reader.join(30)
        return status


@contextmanager
def running_example(example: str, *options: str, **environment: str) -> Iterator[RunningExample]:
    """Start an example that serves, with further options, and no keys but those given; it ends with the block."""
    inherited = {name: value for name, value in os.environ.items() if name not in KEYS}
    process = subprocess.Popen(
        [*command_of(example), *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**inherited, "PYTHONUNBUFFERED": "1", **environment},
    )
    running = RunningExample(process)
    try:
        assert running.origin
        yield running
    finally:
        running.end()
