"""Patterns over stream paths (Section 6.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_streams.errors import MalformedField
from durable_streams.protocol.globs import PatternIndex, literal_prefix, parse_pattern

SEGMENTS = st.sampled_from(["a", "b", "", "*", "%2A"])
PATTERNS = st.lists(st.sampled_from(["a", "b", "*", "**", "", "%2A"]), min_size=1, max_size=6).map("/".join)
PATHS = st.lists(SEGMENTS, min_size=1, max_size=6).map("/".join)


def says_the_rule(pattern: list[str], path: list[str]) -> bool:
    """The rule as the specification words it."""
    if not pattern:
        return not path
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        return any(says_the_rule(rest, path[skipped:]) for skipped in range(len(path) + 1))
    return bool(path) and (first == path[0] or (first == "*" and path[0] != "")) and says_the_rule(rest, path[1:])


def matches(pattern: str, path: str) -> bool:
    index: PatternIndex[str] = PatternIndex()
    index.add(pattern, "key")
    return bool(index.matching(path))


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("events/*", ["events/a", "events/b%2Fc"], ["events", "events/", "events/a/b", "other/a", "xevents/a"]),
        ("events/**", ["events", "events/a", "events/a/b/c", "events/"], ["event", "eventsx/a"]),
        ("**", ["a", "a/b", "a/b/c"], []),
        ("*", ["a"], ["a/b", ""]),
        ("**/log", ["log", "a/log", "a/b/log"], ["log/a", "xlog"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["a", "z", "a/b"]),
        ("a/*/c", ["a/b/c"], ["a/c", "a/b/b/c"]),
        ("a/*/**", ["a/b", "a/b/c"], ["a", "a/"]),
        ("exact/path", ["exact/path"], ["exact", "exact/path/more", "Exact/path"]),
    ],
)
def test_stars_stand_for_segments(pattern: str, matching: list[str], others: list[str]) -> None:
    """6.2: `*` matches one path segment, `**` zero or more."""
    assert [path for path in matching + others if matches(pattern, path)] == matching


@given(PATTERNS, PATHS)
def test_the_index_says_what_the_rule_says(pattern: str, path: str) -> None:
    """6.2: the walk along the segments finds what trying every possibility finds."""
    assert matches(pattern, path) == says_the_rule(pattern.split("/"), path.split("/"))


@given(st.lists(PATTERNS, max_size=8), st.data())
def test_an_index_of_many_is_as_many_indexes_of_one(patterns: list[str], data: st.DataObject) -> None:
    """Patterns do not disturb each other, nor does taking some away."""
    index: PatternIndex[int] = PatternIndex()
    for number, pattern in enumerate(patterns):
        index.add(pattern, number)
    gone = data.draw(st.sets(st.sampled_from(range(len(patterns))) if patterns else st.nothing()))
    for number in gone:
        index.discard(patterns[number], number)
    path = data.draw(PATHS)
    left = {number for number, pattern in enumerate(patterns) if number not in gone and matches(pattern, path)}
    assert set(index.matching(path)) == left


def test_an_index_forgets_what_is_discarded() -> None:
    """Subscriptions that come and go leave nothing behind."""
    index: PatternIndex[str] = PatternIndex()
    for pattern in ("a/*/c", "a/**/c", "**", "a"):
        index.add(pattern, "key")
        index.discard(pattern, "other")
        index.discard("a/never/added", "key")
        index.discard(pattern, "key")
    assert (index._root.children, index._root.any) == ({}, None)


@given(PATTERNS, PATHS)
def test_every_match_begins_with_the_literal_prefix(pattern: str, path: str) -> None:
    """So that a listing by prefix finds all of them."""
    if matches(pattern, path):
        assert path.startswith(literal_prefix(pattern))


@pytest.mark.parametrize(
    ("pattern", "prefix"), [("events/*", "events/"), ("events/**", "events"), ("a", "a"), ("**", ""), ("a/b*", "a/b")]
)
def test_the_literal_prefix_is_as_long_as_it_can_be(pattern: str, prefix: str) -> None:
    """A listing must not read streams for nothing."""
    assert literal_prefix(pattern) == prefix


@pytest.mark.parametrize("pattern", ["", "/a", "a*", "*a", "a/b*/c", "***", "a/***", "a" * 1025])
def test_other_patterns_are_refused(pattern: str) -> None:
    """6.2: a star is a whole segment."""
    with pytest.raises(MalformedField) as refusal:
        parse_pattern(pattern)
    assert refusal.value.field == "pattern"


def test_a_pattern_has_one_spelling() -> None:
    """6.2: the hash is of the normal form."""
    assert parse_pattern("%65vents/*/é") == "events/*/%C3%A9"
