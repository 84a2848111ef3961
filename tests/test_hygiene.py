"""The fixtures that watch all other tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parent / "conftest.py"

LEAKS = {
    "a dropped failure": "from twisted.internet.defer import fail\n\ndef test_leak():\n    fail(ValueError())\n",
    "a running timer": (
        "from twisted.internet import reactor\n\ndef test_leak():\n    reactor.callLater(60, print)\n"
    ),
}


@pytest.mark.parametrize("source", LEAKS.values(), ids=LEAKS.keys())
def test_a_leak_is_an_error(source: str, tmp_path: Path) -> None:
    """What one test leaves behind is reported at that test."""
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "test_leaking.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout
    assert "1 error" in run.stdout
