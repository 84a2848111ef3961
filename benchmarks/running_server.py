"""A server under measurement, as a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.adapters import ROOT, STREAM_ROOT, Adapter
from benchmarks.process_tree import Usage, usage_of_tree

_START_SECONDS = 30
_STOP_SECONDS = 15
# Between the choice of a port and its use somebody else may take it.
_ATTEMPTS = 3


class ServerDidNotStart(Exception):
    """``name`` of the server, and the end of what it ``said``."""

    def __init__(self, name: str, said: str) -> None:
        super().__init__(name, said)
        self.name = name
        self.said = said


class RunningServer:
    """A started server that answers at ``port`` of 127.0.0.1."""

    def __init__(self, adapter: Adapter, process: subprocess.Popen[bytes], port: int) -> None:
        self.adapter = adapter
        self.port = port
        self._process = process

    def usage(self) -> Usage:
        """Of the server and its helper processes."""
        return usage_of_tree(self._process.pid)

    def has_ended(self) -> bool:
        return self._process.poll() is not None


@contextmanager
def running_server(adapter: Adapter, folder: Path) -> Iterator[RunningServer]:
    """Start a server that keeps its data below the folder, and wait until it answers; it ends with the block.

    Raises ``ServerDidNotStart``.
    """
    with TemporaryDirectory(dir=folder, prefix=f"{adapter.name}-") as own:
        server, process = _start(adapter, Path(own))
        try:
            yield server
        finally:
            _stop(process)


def _start(adapter: Adapter, folder: Path) -> tuple[RunningServer, subprocess.Popen[bytes]]:
    log = folder / "log"
    for _ in range(_ATTEMPTS):
        data, port = folder / "data", _free_port()
        data.mkdir(exist_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                adapter.command(port, data),
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if _answers(process, port):
            return RunningServer(adapter, process, port), process
        _stop(process)
    raise ServerDidNotStart(adapter.name, log.read_text(errors="replace")[-2000:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    give_up_at = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < give_up_at:
        connection = HTTPConnection("127.0.0.1", port, timeout=_START_SECONDS)
        try:
            connection.request("HEAD", f"{STREAM_ROOT}none")
            if connection.getresponse().status == 404:
                return True
        except (OSError, HTTPException):
            time.sleep(0.02)
        finally:
            connection.close()
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
