"""The canonical spelling of a stream's path (Section 12.2; RFC 3986, 6.2.2)."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_streams.protocol.paths import canonical_path, path_named

SPELLINGS = st.lists(
    st.one_of(st.binary(max_size=3), st.sampled_from([b"%", b"%7e", b"%2F", b"%2f", b"%C3%A9", b"/", b"..", b"~"]))
).map(b"".join)


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        (b"a/b", "a/b"),
        (b"%7euser", "~user"),
        (b"%41%2D%39", "A-9"),
        (b"caf\xc3\xa9", "caf%C3%A9"),
        (b"caf%c3%a9", "caf%C3%A9"),
        (b"a b", "a%20b"),
        (b"a%20b", "a%20b"),
        (b"a%2fb", "a%2Fb"),
        (b"%3b", "%3B"),
        (b";", ";"),
        (b"100%", "100%25"),
        (b"%zz", "%25zz"),
        (b"a\nb", "a%0Ab"),
        (b'"<>\\^`{|}', "%22%3C%3E%5C%5E%60%7B%7C%7D"),
        (b"", ""),
    ],
)
def test_each_spelling_has_one_canonical_form(spelling: bytes, canonical: str) -> None:
    """RFC 3986, 6.2.2: escapes in upper case, and none where none is needed."""
    assert canonical_path(spelling) == canonical


@pytest.mark.parametrize(
    ("one", "other"),
    [(b"a/b", b"a%2Fb"), (b"a", b"a/"), (b"a/b", b"a//b"), (b"a/../b", b"b"), (b"a/./b", b"a/b"), (b"a", b"A")],
)
def test_other_paths_stay_apart(one: bytes, other: bytes) -> None:
    """Section 12.2: a path is opaque; no dots or slashes lead from one stream to another."""
    assert canonical_path(one) != canonical_path(other)


def test_a_delimiter_and_its_escape_stay_apart() -> None:
    """RFC 3986, 2.2: escaping a reserved character changes what a URL means."""
    assert canonical_path(b"a;b") != canonical_path(b"a%3Bb")


@given(SPELLINGS)
def test_a_canonical_path_is_its_own_canonical_path(raw: bytes) -> None:
    """What is stored can be compared, listed and sent again."""
    once = canonical_path(raw)
    assert canonical_path(once.encode("ascii")) == once


@given(SPELLINGS)
def test_the_canonical_spelling_names_the_same_bytes(raw: bytes) -> None:
    """Normalizing never changes what the escapes stand for."""
    assert unquote_to_bytes(canonical_path(raw)) == unquote_to_bytes(raw)


@given(SPELLINGS)
def test_a_canonical_path_can_stand_in_a_url(raw: bytes) -> None:
    """Nothing in it could end the path, the URL or a header line."""
    assert not set(canonical_path(raw)) & set('?#"<>\\^`{|} \r\n\0\x7f')


@given(st.text(alphabet=st.characters(exclude_characters="%", exclude_categories=["Cs"])))
def test_an_application_names_a_stream_as_a_client_would(name: str) -> None:
    """A name in a program and its URL lead to one stream."""
    assert path_named(name) == canonical_path(quote(name, safe="/!$&'()*+,;=:@").encode("ascii"))
