"""A reader who follows a page to the letter, in an empty folder, beside a fresh service."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.pages import ROOT, Block
from tests.running_service import RunningService, running_service

SERVICE = "127.0.0.1:4437"
PROGRAM_PORT = "8080"
_ANY_PORT = "--listen tcp:0:interface=127.0.0.1"
_PATIENCE = 60


class Reader:
    """Runs the blocks of one page; what one leaves behind, the next one finds."""

    def __init__(self, folder: Path, service: RunningService) -> None:
        self._folder = folder
        self._service = service
        self._port = str(_free_port())
        self._program: subprocess.Popen[str] | None = None
        self._printed = ""

    def follow(self, block: Block) -> None:
        """Do what a block says. Raises AssertionError when it does not work as written."""
        match block.manner:
            case "python":
                self._run(block, [sys.executable, "-c", self._translated(block)])
            case "sh":
                self._run(block, ["sh", "-e", "-c", self._translated(block)])
            case "starts":
                self._start(block)
            case "serves":
                self._serve(block)
            case "file":
                self.stop()
                (self._folder / block.argument).write_text(self._translated(block))
            case "prints":
                assert self._printed.strip() == self._translated(block).strip(), f"{block}\n{self._printed}"
            case "see":
                assert (ROOT / block.argument).is_file(), str(block)
            case "mermaid":
                pass
            case _:
                raise AssertionError(f"{block}: nobody knows how to run it")

    def _translated(self, block: Block) -> str:
        """The block with the places of this machine for those that pages speak of."""
        text = block.text.replace(SERVICE, self._service.origin.partition("://")[2])
        text = re.sub(rf"\b{PROGRAM_PORT}\b", self._port, text)
        return text.replace(".venv/bin/", f"{Path(sys.executable).parent}/")

    def _run(self, block: Block, command: list[str]) -> None:
        ran = subprocess.run(
            command, env=self._environment(), cwd=self._folder, capture_output=True, text=True, timeout=_PATIENCE
        )
        complaints = "" if block.language == "sh" else ran.stderr
        assert (ran.returncode, complaints) == (0, ""), f"{block}\n{ran.stdout}\n{ran.stderr}"
        self._printed = ran.stdout

    def _start(self, block: Block) -> None:
        """Start a service as the block says, but where there is room for another one, and end it when it listens."""
        place = self._folder / "started"
        place.mkdir(exist_ok=True)
        command = self._translated(block).strip().replace("durable-streams", f"durable-streams {_ANY_PORT}", 1)
        with subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            env=self._environment(),
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as service:
            assert service.stdout is not None
            said = list(_until(service.stdout, "listening on"))
            service.terminate()
        assert "listening on" in said[-1], f"{block}\n{''.join(said)}"

    def _serve(self, block: Block) -> None:
        """Start a program and wait until its port answers."""
        self.stop()
        self._program = subprocess.Popen(
            [sys.executable, "-c", self._translated(block)],
            env=self._environment(),
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        give_up = time.monotonic() + _PATIENCE
        while not _answers(int(self._port)):
            if self._program.poll() is not None or time.monotonic() > give_up:
                self._program.kill()
                raise AssertionError(f"{block} does not serve:\n{self._program.communicate()[1]}")
            time.sleep(0.05)

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        state = str(self._folder / ".state")
        return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": state}

    def stop(self) -> None:
        """End the program that is serving, if there is one; the next one has a port of its own."""
        self._port = str(_free_port())
        if self._program is not None:
            self._program.terminate()
            self._program.communicate(timeout=_PATIENCE)
            self._program = None


def _until(lines: Iterable[str], words: str) -> Iterator[str]:
    """The lines up to the first one with ``words``."""
    for line in lines:
        yield line
        if words in line:
            return


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def reader_in(folder: Path) -> Iterator[Reader]:
    """A reader, with the service running as the pages tell to start it."""
    with running_service("--data-dir", str(folder / "durable-streams-data")) as service:
        reader = Reader(folder, service)
        try:
            yield reader
        finally:
            reader.stop()
