"""docs/protocol.md points to code and tests that are there."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from operator import attrgetter

import pytest

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "protocol.md").read_text()
ROWS = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| ") and line.count(" | ") == 3]
CODE = sorted({name for row in ROWS for name in re.findall(r"`([a-z_/0-9]+(?:\.[A-Za-z_.]+)?/?)`", row[2])})
TESTS = sorted({name for row in ROWS for name in re.findall(r"`([a-z_/0-9]+\.py(?:::\w+)*)`", row[3])})


def test_the_tables_are_found() -> None:
    """Rows of four columns: clause, rule, where it is kept, where it is tested."""
    assert len(CODE) > 50
    assert len(TESTS) > 20


@pytest.mark.parametrize("name", CODE)
def test_what_keeps_a_rule_exists(name: str) -> None:
    """A room, a module, or something in it."""
    room, _, rest = name.rpartition("/")
    module, _, member = rest.partition(".")
    dotted = ".".join(["durable_streams", *filter(None, [*room.split("/"), module])])
    found = import_module(dotted)
    if member:
        attrgetter(member)(found)


@pytest.mark.parametrize("name", TESTS)
def test_what_tests_a_rule_exists(name: str) -> None:
    """A file below tests/, or a suite that is shipped; and one test in it, where one is named."""
    file, *path = name.split("::")
    places = [ROOT / room / file for room in ("tests", "durable_streams")]
    found: ast.AST = ast.parse(next(place for place in places if place.is_file()).read_text())
    for part in path:
        found = next(node for node in ast.iter_child_nodes(found) if getattr(node, "name", None) == part)


def test_every_test_that_is_named_is_read() -> None:
    """A name that the pattern above does not understand would never be looked for."""
    said = {name for row in ROWS for name in re.findall(r"`([^`]*(?:\.py|::)[^`]*)`", row[3])}
    assert said == set(TESTS)
