"""Entity tags of catch-up reads (Sections 5.6 and 10.1)."""

from __future__ import annotations

import re

import pytest

from durable_streams.errors import MalformedField
from durable_streams.protocol.etags import etag, gzip_etag, matches, name_tail, parse_if_match

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


def test_compressed_bytes_have_a_tag_of_their_own() -> None:
    """RFC 9110, 8.8.3.3: a strong tag stands for bytes, and these are others."""
    assert gzip_etag(TAG) != TAG
    assert re.fullmatch(r'"[\x21\x23-\x7e]+"', gzip_etag(TAG))


@pytest.mark.parametrize(
    ("field", "tags"),
    [
        ("*", ("*",)),
        (" * ", ("*",)),
        ('"a"', ('"a"',)),
        ('"a", "b"', ('"a"', '"b"')),
        ('W/"a","b"', ('"b"',)),
        ('W/"a"', ()),
    ],
)
def test_if_match_lists_strong_tags(field: str, tags: tuple[str, ...]) -> None:
    """RFC 9110, 13.1.1: the comparison is strong, so weak tags never match."""
    assert parse_if_match(field) == tags


@pytest.mark.parametrize("field", ["", "x", '"a', '"a" "b"', '"a",', 'w/"a"', '"a", *'])
def test_if_match_must_be_well_formed(field: str) -> None:
    """A condition that nobody understands must not be passed over."""
    with pytest.raises(MalformedField, match="If-Match"):
        parse_if_match(field)


@pytest.mark.parametrize(
    "tag", [etag(7, 10, 10, False), etag(7, 0, 10, False), gzip_etag(etag(7, 3, 10, False)), "*"], ids=str
)
def test_whoever_has_read_up_to_the_tail_can_name_the_state(tag: str) -> None:
    """Wherever the read began, compressed or not."""
    assert name_tail(('"other"', tag), 7, 10, closed=False)


@pytest.mark.parametrize(
    "tag",
    [etag(7, 0, 9, False), etag(7, 10, 10, True), etag(8, 10, 10, False), '"7:0:10:x"', '"7:0"', '""'],
    ids=["fewer data", "closed", "another stream", "made up", "half", "empty"],
)
def test_a_tag_of_another_state_does_not_name_this_one(tag: str) -> None:
    """More data, a closure and a re-creation all change the state."""
    assert not name_tail((tag,), 7, 10, closed=False)
