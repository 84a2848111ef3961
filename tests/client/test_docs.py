"""The guides of the client and the command line do what they say: every block of them runs as it is written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running_service import running_service

REPOSITORY = Path(__file__).parent.parent.parent
WRITTEN = "http://127.0.0.1:4437/v1/stream/"


def blocks(page: str, language: str) -> list[str]:
    text = (REPOSITORY / "docs" / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


PROGRAMS = blocks("client.md", "python")
SCRIPTS = [block for block in blocks("cli.md", "sh") if "STREAM_URL" in block]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_service("--storage", "memory") as service:
        yield service.url


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_the_programs_of_the_client_guide_run(program: str, url: str, tmp_path: Path) -> None:
    """Without a word on standard error."""
    ran = subprocess.run(
        [sys.executable, "-c", program.replace(WRITTEN, url)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
def test_the_scripts_of_the_command_line_guide_run(script: str, url: str, tmp_path: Path) -> None:
    """Every command succeeds."""
    command = tmp_path / "durable-streams"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m durable_streams.cli "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    ran = subprocess.run(
        ["sh", "-e", "-c", script.replace(WRITTEN, url)],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "XDG_STATE_HOME": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout


def test_there_is_something_to_run() -> None:
    """The blocks were found."""
    assert len(PROGRAMS) >= 8
    assert len(SCRIPTS) == 2
