"""Entity tags of catch-up reads (Sections 5.6 and 10.1)."""

from __future__ import annotations

import re

import pytest

from durable_streams.protocol.etags import etag, matches

TAG = etag(7, 0, 10, closed=False)


@pytest.mark.parametrize(
    "other",
    [etag(7, 0, 10, closed=True), etag(7, 0, 11, closed=False), etag(7, 1, 10, closed=False), etag(8, 0, 10, False)],
    ids=["closed since", "more data", "another start", "created again"],
)
def test_a_tag_changes_with_whatever_changes_the_answer(other: str) -> None:
    """Section 10.1: the tag varies with the range and the closure; a stream created anew has another id."""
    assert other != TAG


def test_the_same_range_has_the_same_tag() -> None:
    """Section 10.1: repeat reads can be answered by 304."""
    assert etag(7, 0, 10, closed=False) == TAG


@pytest.mark.parametrize("closed", [True, False])
def test_a_tag_is_a_strong_entity_tag(closed: bool) -> None:
    """RFC 9110, 8.8.3: quoted, of visible characters."""
    assert re.fullmatch(r'"[\x21\x23-\x7e]+"', etag(2**80, 0, 10**15, closed))


@pytest.mark.parametrize(
    "field",
    [TAG, f"W/{TAG}", f'"other", {TAG}', f'"other",{TAG},"third"', f'W/"other", W/{TAG}', "*", " * ", f'"a,b", {TAG}'],
)
def test_if_none_match_may_be_a_list_weak_or_a_star(field: str) -> None:
    """Section 10.1: a matching ``If-None-Match`` gets 304 (RFC 9110, 13.1.2)."""
    assert matches(field, TAG)


@pytest.mark.parametrize("field", ["", '"other"', TAG.strip('"'), TAG[:-1], f'"x{TAG[1:]}', '"*"'])
def test_other_tags_do_not_match(field: str) -> None:
    """RFC 9110, 13.1.2: only an equal tag means that the client has the data."""
    assert not matches(field, TAG)
