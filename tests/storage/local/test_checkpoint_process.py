"""The checkpointer as a process of its own: it folds, it may be killed, it comes back."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet.interfaces import IReactorProcess
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from durable_streams.protocol.commands import Append, Create, Delete
from durable_streams.storage import local
from durable_streams.storage.local import LocalSettings, LocalStorage, RealWorkers
from durable_streams.storage.local.checkpoints import CheckpointProcess
from durable_streams.storage.local.segment import segment_name
from durable_streams.storage.local.verification import faults

SEGMENT = 400_000
CHECKPOINTER = "durable_streams.storage.local.checkpointer"


def _reactor() -> Any:
    from twisted.internet import reactor

    return reactor


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await deferLater(_reactor(), 0.02, lambda: None)
    raise AssertionError("it does not happen")


@pytest.fixture
def largest_file() -> Iterator[Callable[[int], None]]:
    """Limits the size of files that this process and those it starts from now on may write, in bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def checkpointer_says() -> Iterator[Callable[[], str]]:
    """What the service has logged of its checkpointer's standard error."""
    said: list[str] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        if event["log_namespace"] == CheckpointProcess.__module__ and "text" in event:
            said.append(event["text"])

    globalLogPublisher.addObserver(observe)
    yield lambda: "\n".join(said)
    globalLogPublisher.removeObserver(observe)


def _checkpointer(parent: int) -> int | None:
    """The process number of the checkpointer that a process has started."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    for child in children:
        if b"checkpointer" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    return None


@pytest_twisted.ensureDeferred
async def test_a_killed_checkpointer_comes_back_and_goes_on(tmp_path: Path) -> None:
    """Nothing is lost or folded twice; health tells while it is away."""
    reactor = _reactor()
    settings = LocalSettings(segment_bytes=SEGMENT, hot_bytes=0)
    storage = LocalStorage(tmp_path / "data", reactor, RealWorkers(reactor), settings)
    await storage.open()
    await storage.create(Create("s"))
    written = b""

    async def fill() -> None:
        nonlocal written
        for number in range(30):
            part = bytes([number]) * 20_000
            await storage.append(Append("s", part))
            written += part

    journal = tmp_path / "data" / "journal"

    def oldest() -> str:
        return min(path.name for path in journal.glob("*.journal"))

    await fill()
    first = oldest()
    await _until(lambda: oldest() > first)
    child = _checkpointer(os.getpid())
    assert child is not None
    os.kill(child, signal.SIGKILL)
    await _until(lambda: storage.failure() is not None)
    assert "checkpointer" in str(storage.failure())
    before = oldest()
    await fill()
    await _until(lambda: oldest() > before and storage.failure() is None)
    content = b""
    while len(content) < len(written):
        content += (await storage.read("s", len(content), 1 << 20)).data
    assert content == written
    await storage.close()


def test_the_checkpointer_loads_only_what_it_needs() -> None:
    """It starts while the service is busy, and Twisted alone would cost it several times what it does then."""
    loaded = f"import sys, {CHECKPOINTER}; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", loaded], capture_output=True, check=True, text=True).stdout.split()
    assert CHECKPOINTER in modules
    assert {"twisted", "zope", "asyncio", "ssl", "email", "sortedcontainers", "tempfile"}.isdisjoint(modules)


def test_the_storage_is_where_its_package_says() -> None:
    """Though it is loaded only when it is asked for."""
    assert {name: getattr(local, name).__name__ for name in local.__all__} == {name: name for name in local.__all__}
    assert set(local.__all__) <= set(dir(local))
    with pytest.raises(AttributeError, match="has no attribute 'RemoteStorage'"):
        getattr(local, "RemoteStorage")  # noqa: B009  # mypy would refuse it as an attribute


def test_the_checkpointer_has_nothing_to_say_when_all_is_well(tmp_path: Path) -> None:
    """Whatever it says on standard error is logged as an error."""
    command = [sys.executable, "-m", CHECKPOINTER, str(tmp_path)]
    ended = subprocess.run(command, input=b"", capture_output=True, check=True)
    assert (ended.stdout, ended.stderr) == (b"", b"")


@pytest_twisted.ensureDeferred
async def test_a_base_store_that_cannot_grow_loses_nothing(tmp_path: Path, largest_file: Callable[[int], None]) -> None:
    """As on a full disk: health tells, what is not folded stays in the journal and is read, and then it is folded."""
    reactor = _reactor()
    settings = LocalSettings(segment_bytes=SEGMENT, hot_bytes=0)
    storage = LocalStorage(tmp_path / "data", reactor, RealWorkers(reactor), settings)
    await storage.open()
    await storage.create(Create("s"))
    journal = tmp_path / "data" / "journal"
    largest_file(2 * SEGMENT)
    for number in range(100):
        await storage.append(Append("s", bytes([number]) * 20_000))
    await _until(lambda: storage.failure() is not None)
    assert "checkpointer" in str(storage.failure())
    assert len(list(journal.glob("*.journal"))) > 2
    await storage.append(Append("s", b"still accepted"))
    largest_file(10**9)
    await _until(lambda: storage.failure() is None and len(list(journal.glob("*.journal"))) == 1)
    content = b""
    while not content.endswith(b"still accepted"):
        content += (await storage.read("s", len(content), 1 << 20)).data
    assert content == b"".join(bytes([number]) * 20_000 for number in range(100)) + b"still accepted"
    await storage.close()
    assert list(faults(tmp_path / "data")) == []


@pytest_twisted.ensureDeferred
async def test_the_files_of_large_appends_stay_until_nothing_in_them_is_needed(tmp_path: Path) -> None:
    """The checkpointer says which may go, whenever it finds that out."""
    reactor = _reactor()
    settings = LocalSettings(segment_bytes=SEGMENT, hot_bytes=0)
    storage = LocalStorage(tmp_path / "data", reactor, RealWorkers(reactor), settings)
    await storage.open()
    for path in ("s", "filler"):
        await storage.create(Create(path))
    journal = tmp_path / "data" / "journal"

    def segments() -> int:
        return len(list(journal.glob("*.journal")))

    for number in range(20):
        await storage.append(Append("s", bytes([number]) * 150_000))
    await _until(lambda: storage._unfolded == 0)
    assert segments() > 9
    content = b""
    while len(content) < 20 * 150_000:
        content += (await storage.read("s", len(content), 1 << 20)).data
    assert content == b"".join(bytes([number]) * 150_000 for number in range(20))
    await storage.delete(Delete("s"))
    for _ in range(60):
        await storage.append(Append("filler", b"x" * 20_000))
    await _until(lambda: storage._unfolded == 0 and segments() == 1)
    await storage.close()
    assert list(faults(tmp_path / "data")) == []


@pytest_twisted.ensureDeferred
async def test_what_the_checkpointer_finds_damaged_is_in_the_log(
    tmp_path: Path, checkpointer_says: Callable[[], str]
) -> None:
    """Though it goes on, and the service does not stumble over it."""
    reactor = _reactor()
    settings = LocalSettings(segment_bytes=SEGMENT, hot_bytes=0)
    storage = LocalStorage(tmp_path / "data", reactor, RealWorkers(reactor), settings)
    await storage.open()
    for path in ("little", "much", "filler"):
        await storage.create(Create(path))
        if path != "filler":
            await storage.append(Append(path, path[:1].encode() * 120_000))
    await storage.append(Append("much", b"m" * 120_000))
    file = tmp_path / "data" / "journal" / segment_name(1)

    async def roll() -> None:
        for _ in range(30):
            await storage.append(Append("filler", b"x" * 20_000))
        await _until(lambda: storage._unfolded == 0)

    await roll()
    content = file.read_bytes()
    file.write_bytes(content.replace(b"l" * 120_000, b"?" + b"l" * 119_999))
    await storage.delete(Delete("much"))
    await roll()
    await _until(lambda: "its segment is left as it is" in checkpointer_says())
    assert f"in journal file {segment_name(1)} at position" in checkpointer_says()
    assert storage.failure() is None
    await storage.close()


@pytest_twisted.ensureDeferred
async def test_signals_for_the_whole_group_do_not_end_the_checkpointer(tmp_path: Path) -> None:
    """Ctrl-C in a terminal and a stopping systemd unit reach it too; it ends when the service has ended."""
    reactor = _reactor()
    storage = LocalStorage(tmp_path / "data", reactor, RealWorkers(reactor), LocalSettings(segment_bytes=SEGMENT))
    await storage.open()
    await storage.create(Create("s"))
    journal = tmp_path / "data" / "journal"

    async def roll() -> None:
        for _ in range(30):
            await storage.append(Append("s", b"x" * 20_000))
        await _until(lambda: len(list(journal.glob("*.journal"))) == 1)

    await roll()
    child = _checkpointer(os.getpid())
    assert child is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(child, number)
    await roll()
    assert _checkpointer(os.getpid()) == child
    assert storage.failure() is None
    await storage.close()
    assert _checkpointer(os.getpid()) is None


class NoProcesses:
    """A system that can start no process, until it can."""

    def __init__(self) -> None:
        self.refusals = 0
        self.started = 0
        self.can = False

    def spawnProcess(self, protocol: ProcessProtocol, *_: Any) -> None:
        if not self.can:
            self.refusals += 1
            raise OSError("Cannot allocate memory")
        self.started += 1
        protocol.makeConnection(StringTransport())


def test_a_checkpointer_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    """However long that lasts: health tells, whoever sealed the segment is not disturbed, and then it is folded."""
    clock, processes = Clock(), NoProcesses()
    folded: list[int] = []
    checkpointer = CheckpointProcess(tmp_path, cast(IReactorProcess, processes), clock, folded.append, print)
    checkpointer.fold(3)
    assert "Cannot allocate memory" in str(checkpointer.trouble)
    for _ in range(1200):
        clock.advance(30)
    assert processes.refusals > 1200
    processes.can = True
    clock.advance(30)
    assert processes.started == 1
    checkpointer.outReceived(b"folded 3\n")
    assert (folded, checkpointer.trouble) == ([3], None)
