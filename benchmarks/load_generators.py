"""The load generators: programs in C, built for each run; each prints one line of JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.wrong_answer import WrongAnswer

SOURCES = Path(__file__).parent / "load"
_LONGEST_RUN = 900


@dataclass(frozen=True)
class Latency:
    """Quantiles of durations, in milliseconds."""

    p50: float
    p99: float
    p999: float


@dataclass(frozen=True)
class HttpLoad:
    """What ``http_load`` found: how many answers, how many a second once warm, and after how long."""

    answers: int
    per_second: float
    latency: Latency


@dataclass(frozen=True)
class SseLoad:
    """What ``sse_load`` found; ``seconds`` are from the first append to the last delivery."""

    appends: int
    deliveries: int
    seconds: float
    latency: Latency


class LoadGenerators:
    """The built programs, for one server at a port of 127.0.0.1. All raise ``WrongAnswer``."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port

    def http(self, method: str, path: str, *options: str) -> HttpLoad:
        """A closed loop of requests; ``load/http_load.c`` lists the options."""
        found = self._run("http_load", "--method", method, "--path", path, *options)
        if not found["measured"]:
            raise WrongAnswer(1, "there was no answer in time")
        return HttpLoad(found["answers"], found["measured"] / found["seconds"], _latency(found))

    def long_poll(self, path: str, *options: str) -> Latency:
        """Long-polls of a new stream, and appends that wake them."""
        return _latency(self._run("long_poll_load", "--path", path, *options))

    def sse(self, path: str, *options: str) -> SseLoad:
        """Readers and writers of a new stream."""
        found = self._run("sse_load", "--path", path, *options)
        late = found["undelivered"]
        if late:
            raise WrongAnswer(late, f"{late} of {late + found['deliveries']} deliveries were still missing at the end")
        return SseLoad(found["appends"], found["deliveries"], found["seconds"], _latency(found))

    @contextmanager
    def idle_sse_readers(self, path: str, readers: int) -> Iterator[None]:
        """So many connected SSE readers while the block lasts."""
        command = self._command("sse_load", "--path", path, "--readers", str(readers), "--writers", "0")
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                if process.stdout.readline() != "ready\n":
                    raise WrongAnswer(1, "the readers could not connect")
                yield
                _refuse_wrong_answers(json.loads(process.communicate("")[0]))
            finally:
                process.kill()

    def _run(self, program: str, *options: str) -> dict[str, Any]:
        ran = subprocess.run(self._command(program, *options), capture_output=True, text=True, timeout=_LONGEST_RUN)
        if ran.returncode:
            raise WrongAnswer(1, ran.stderr.strip() or f"{program} ended by {ran.returncode}")
        found: dict[str, Any] = json.loads(ran.stdout)
        _refuse_wrong_answers(found)
        return found

    def _command(self, program: str, *options: str) -> list[str]:
        return [str(self._folder / program), "--port", str(self._port), *options]


def build_load_generators(folder: Path) -> None:
    """Compile the programs into the folder. Raises CalledProcessError; its ``stderr`` is the compiler's."""
    command = ["make", "--silent", "-C", str(SOURCES), f"BUILD={folder}"]
    subprocess.run(command, check=True, capture_output=True, text=True)


def _refuse_wrong_answers(found: dict[str, Any]) -> None:
    if found["wrong"]:
        raise WrongAnswer(found["wrong"], found["first_wrong"])


def _latency(found: dict[str, Any]) -> Latency:
    return Latency(found["p50_us"] / 1e3, found["p99_us"] / 1e3, found["p999_us"] / 1e3)
