"""Every example has its command in examples/README.md, and the tours end well."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.docs.pages import ROOT
from tests.examples.running_example import command_of

README = (ROOT / "examples" / "README.md").read_text()
SCRIPTS = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
APPLICATIONS = sorted(path.parent.name for path in (ROOT / "examples").glob("*/__main__.py"))


@pytest.mark.parametrize("name", [*SCRIPTS, *APPLICATIONS])
def test_an_example_has_one_command(name: str) -> None:
    """A newcomer copies it."""
    assert len(re.findall(rf"\.venv/bin/python (?:-m examples\.{name}\b|examples/{name}\.py\b)", README)) == 1


def test_the_simple_demo() -> None:
    """Prints what it says it shows: reads, a wait with and without an end, messages, closure, what a restart left."""
    ran = subprocess.run(command_of("simple_demo"), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    for line in (
        "all of it: b'Hello, world!'",
        "from the first append's offset on: b'world!'",
        "waited for: b' And then?'",
        "waited in vain: b''",
        "{'team': 'red', 'goals': 2} then 0",
        "too late: StreamIsClosed(path='scores'",
        "4 messages, closed: True",
        "still there: b'Hello, world! And then?'",
        "[('log', 'open'), ('scores', 'closed')]",
    ):
        assert line in ran.stdout
