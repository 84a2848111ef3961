"""Retention against a naive model, on every storage: whatever is done in whatever order, the same is left.

Chunks of messages are short, so that limits of few messages span several.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from durable_streams.errors import OffsetTrimmed
from durable_streams.interfaces import IStorage
from durable_streams.protocol.commands import Append, Create, ForkRequest
from durable_streams.protocol.offsets import EARLIEST
from durable_streams.protocol.retention import Retention
from durable_streams.storage.local.directory import JOURNAL, DataDirectory
from durable_streams.storage.local.files import OsFiles
from durable_streams.storage.local.settings import LocalSettings
from durable_streams.storage.local.storage import LocalStorage
from durable_streams.storage.local.verification import faults
from durable_streams.storage.memory import MemoryStorage
from tests.short_chunks import short_chunks
from tests.storage.local.oracle import Expected
from tests.storage.local.simulated_workers import ClockWorkers

SEGMENT = 270_000
FILLER = bytes(130_000)


@dataclass
class World:
    """A storage, and what its streams must be."""

    clock: Clock = field(default_factory=Clock)
    expected: dict[str, Expected] = field(default_factory=dict)
    storage: Any = None

    def outcome(self, answer: Deferred[Any]) -> Any:
        outcomes: list[Any] = []
        answer.addBoth(outcomes.append)
        for _ in range(100):
            if outcomes:
                break
            self.clock.advance(0)
        assert outcomes, "no answer"
        if isinstance(outcomes[0], Failure):
            outcomes[0].raiseException()
        return outcomes[0]

    def create(self, path: str, policy: Retention) -> None:
        self.outcome(self.storage.create(Create(path, retention=policy)))
        self.expected[path] = Expected(retention=policy)

    def append(self, path: str, length: int) -> None:
        expected = self.expected[path]
        data = bytes([65 + len(expected.messages) % 26]) * length
        self.outcome(self.storage.append(Append(path, data)))
        expected.append(data, self.clock.seconds())

    def fork(self, source: str, path: str, share: float, policy: Retention) -> None:
        """Fork at a share of what is left of the source."""
        origin = self.expected[source]
        earliest = origin.earliest_at(self.clock.seconds())
        position = earliest + int((len(origin.content) - earliest) * share)
        self.outcome(self.storage.create(Create(path, fork=ForkRequest(source, position), retention=policy)))
        inherited = min(earliest, position)
        self.expected[path] = Expected(origin.content[:position], retention=policy, inherited=inherited)

    def check(self) -> None:
        """Every stream has exactly what the model keeps, and nothing below it can be read."""
        for path, expected in self.expected.items():
            earliest = expected.earliest_at(self.clock.seconds())
            found = self.outcome(self.storage.read(path, EARLIEST, 1 << 30))
            data = found.data
            while not found.up_to_date:
                found = self.outcome(self.storage.read(path, found.end, 1 << 30))
                data += found.data
            described = self.outcome(self.storage.describe(path))
            assert (described.earliest, data) == (earliest, expected.content[earliest:])
            if earliest:
                with pytest.raises(OffsetTrimmed):
                    self.outcome(self.storage.read(path, earliest - 1, 1))


LIMIT = st.none() | st.integers(1, 12)
POLICY = st.builds(Retention, LIMIT, LIMIT, st.none() | st.integers(1, 300))
STEP = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 3), st.integers(1, 60)),
    st.tuples(st.just("append"), st.integers(0, 3), st.integers(1, 60)),
    st.tuples(st.just("wait"), st.sampled_from((0.5, 1.0, 3.0, 20.0)), st.none()),
    st.tuples(st.just("sweep"), st.none(), st.none()),
    st.tuples(st.just("fork"), st.integers(0, 3), st.tuples(st.floats(0, 1), POLICY)),
    st.tuples(st.just("restart"), st.none(), st.none()),
    st.tuples(st.just("fold"), st.none(), st.none()),
)


def live(world: World, policies: list[Retention], steps: list[tuple[str, Any, Any]], restart: Any, fold: Any) -> None:
    for number, policy in enumerate(policies):
        world.create(f"s{number}", policy)
    for kind, first, second in steps:
        paths = sorted(world.expected)
        path = paths[first % len(paths)] if kind in ("append", "fork") else ""
        if kind == "append":
            world.append(path, second)
        elif kind == "fork" and len(paths) < 7:
            world.fork(path, f"f{len(paths)}", *second)
        elif kind == "wait":
            world.clock.advance(first)
        elif kind == "sweep":
            world.outcome(world.storage.expire())
        elif kind == "restart":
            restart()
        elif kind == "fold":
            fold()
        world.check()


@given(st.lists(POLICY, min_size=1, max_size=3), st.lists(STEP, max_size=40))
def test_memory(policies: list[Retention], steps: list[tuple[str, Any, Any]]) -> None:
    with short_chunks(2):
        world = World()
        world.clock.advance(1_700_000_000)
        world.storage = MemoryStorage(world.clock)
        world.outcome(world.storage.open())
        live(world, policies, steps, lambda: None, lambda: None)


@contextmanager
def local_world() -> Iterator[tuple[World, Path]]:
    """A world on the disk that keeps nothing in memory that it need not."""
    with TemporaryDirectory() as directory:
        world = World()
        world.clock.advance(1_700_000_000)
        yield world, Path(directory) / "data"


def opened(world: World, directory: Path) -> IStorage:
    made = DataDirectory(directory)
    made.open()
    made.close()
    workers = ClockWorkers(world.clock, OsFiles(directory / JOURNAL))
    storage = LocalStorage(directory, world.clock, workers, LocalSettings(segment_bytes=SEGMENT, hot_bytes=0))
    world.outcome(storage.open())
    return storage


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(POLICY, min_size=1, max_size=3), st.lists(STEP, max_size=25))
def test_local(policies: list[Retention], steps: list[tuple[str, Any, Any]]) -> None:
    """Restarts and folding in between change nothing; in the end nothing is wrong with the directory."""
    with short_chunks(2), local_world() as (world, directory):
        world.storage = opened(world, directory)
        world.outcome(world.storage.create(Create("filler")))

        def restart() -> None:
            world.outcome(world.storage.close())
            world.storage = opened(world, directory)

        def fold() -> None:
            for _ in range(4):
                world.outcome(world.storage.append(Append("filler", FILLER)))
            for _ in range(10):
                world.clock.advance(0)

        live(world, policies, steps, restart, fold)
        world.outcome(world.storage.close())
        assert list(faults(directory)) == []
