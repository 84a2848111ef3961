"""The files of the journal on the real disk: all that is written is there, at its position."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from durable_streams.storage.local.files import OsFiles


def _written(directory: Path, parts: Sequence[bytes]) -> bytes:
    files = OsFiles(directory)
    file = files.allocate("file", 100_000)
    file.write_parts(7, parts)
    file.sync()
    file.close()
    return files.read_at("file", 7, sum(map(len, parts)) + 1)


def test_parts_are_written_behind_each_other(tmp_path: Path) -> None:
    """And nothing behind them."""
    assert _written(tmp_path, [b"head", b"", b"x" * 50_000, b"tail"]) == b"head" + b"x" * 50_000 + b"tail\0"


def test_more_parts_than_the_system_takes_at_once_are_written(tmp_path: Path) -> None:
    """As of a batch of very many appends."""
    parts = [b"%05d" % number for number in range(5000)]
    assert _written(tmp_path, parts) == b"".join(parts) + b"\0"


@pytest.mark.parametrize("taken", [0, 1, 4, 5000])
def test_what_the_system_did_not_take_is_written_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    """As when a signal comes in between."""

    def short(descriptor: int, parts: Sequence[bytes], position: int) -> int:
        return os.pwrite(descriptor, b"".join(parts)[:taken], position)

    monkeypatch.setattr(os, "pwritev", short)
    assert _written(tmp_path, [b"head", b"x" * 10_000, b"tail"]) == b"head" + b"x" * 10_000 + b"tail\0"
