"""The checkpointer as a process of its own: it folds, it may be killed, it comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest_twisted
from twisted.internet.task import deferLater

from durable_streams.protocol.commands import Append, Create
from durable_streams.storage.local import LocalSettings, LocalStorage, RealWorkers

SEGMENT = 400_000


def _reactor() -> Any:
    from twisted.internet import reactor

    return reactor


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await deferLater(_reactor(), 0.02, lambda: None)
    raise AssertionError("it does not happen")


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
