"""docs/architecture.md is true: its rooms exist, and the code keeps to the order in which it draws them."""

from __future__ import annotations

import re

import pytest

from tests.docs.imports import ROOMS, rooms_needed_by
from tests.docs.pages import blocks_of

PLAN = next(blocks_of("docs/architecture.md")).text
DRAWN = [name.removesuffix(".py").rstrip("/") for name in re.findall(r"^  ([a-z_]+(?:\.py|/)) ", PLAN, re.MULTILINE)]


def test_every_room_is_in_the_plan() -> None:
    """And nothing is in the plan that is not built."""
    assert sorted(DRAWN) == [room for room in ROOMS if room != "__init__"]


@pytest.mark.parametrize("room", DRAWN)
def test_a_room_imports_only_from_rooms_below_it(room: str) -> None:
    """The plan is drawn from top to bottom."""
    below = DRAWN[DRAWN.index(room) + 1 :]
    assert {(module, other) for module, other in rooms_needed_by(room) if other not in below} == set()


def test_the_client_needs_nothing_of_the_server_but_the_rules() -> None:
    """So that it could be a package of its own."""
    assert {other for _, other in rooms_needed_by("client")} == {"protocol"}


def test_the_rules_need_nothing_but_the_words_for_refusals() -> None:
    """No I/O, and no Twisted."""
    assert {other for _, other in rooms_needed_by("protocol")} == {"errors"}
