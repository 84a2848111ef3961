"""Where the client's code may reach."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import durable_streams.client

ROOM = Path(durable_streams.client.__file__).parent
MODULES = sorted(path for path in ROOM.glob("*.py") if path.name != "testing.py")


def imported_by(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_client_needs_nothing_of_the_server(path: Path) -> None:
    """Of this package only the protocol's rules; the server in memory, for tests, is the exception."""
    ours = {name for name in imported_by(path) if name.startswith("durable_streams")}
    allowed = ("durable_streams.client", "durable_streams.protocol")
    assert {name for name in ours if not name.startswith(allowed)} == set()
