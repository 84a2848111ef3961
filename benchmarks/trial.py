"""One workload's turn on one freshly started server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load_generators import LoadGenerators
from benchmarks.process_tree import Usage
from benchmarks.running_server import RunningServer
from benchmarks.stream_client import StreamClient


@dataclass
class Spent:
    """What a server used during a part of a trial; complete when the part is over."""

    cpu_seconds: float = 0.0
    written_bytes: int = 0
    resident_bytes: int = 0


@dataclass(frozen=True)
class Trial:
    """What a workload works with. ``folder`` is for its own files; ``seconds`` is how long to measure."""

    server: RunningServer
    load: LoadGenerators
    streams: StreamClient
    folder: Path
    seconds: float

    @contextmanager
    def spending(self) -> Iterator[Spent]:
        """Count what the server uses during the block."""
        spent = Spent()
        before = self.server.usage()
        yield spent
        after: Usage = self.server.usage()
        spent.cpu_seconds = after.cpu_seconds - before.cpu_seconds
        spent.written_bytes = after.written_bytes - before.written_bytes
        spent.resident_bytes = after.resident_bytes

    def file(self, name: str, content: bytes) -> str:
        """The path of a file with this content, for a load generator."""
        path = self.folder / name
        path.write_bytes(content)
        return str(path)
