"""gzip, both ways (RFC 9110, 8.4 and 12.5.3)."""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_streams.errors import MalformedField
from durable_streams.web.content_coding import _inflated, accepts_gzip, is_compressible
from durable_streams.web.limits import Limits
from durable_streams.web.problems import Problem
from tests.web.desk import Answer, Desk

LONG = "durable " * 1000


def unpacked(answer: Answer) -> str:
    assert isinstance(answer.body, bytes)
    return gzip.decompress(answer.body).decode()


@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("*", True),
        ("*;q=0.1", True),
        ("br, *;q=0", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0.5, identity", False),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("identity;q=0, gzip", True),
        ("gzip;q=nonsense", False),
        ("deflate, br", False),
        ("", False),
    ],
)
def test_a_client_says_what_it_would_rather_have(accepted: str, wanted: bool) -> None:
    """RFC 9110, 12.5.3: q-values, the star, and identity, which is there unless it is refused."""
    assert accepts_gzip({b"accept-encoding": accepted.encode()}) is wanted


@pytest.mark.parametrize(
    ("content_type", "smaller"),
    [
        ("text/plain; charset=utf-8", True),
        ("application/json", True),
        ("application/vnd.api+json", True),
        ("image/svg+xml", True),
        ("image/png", False),
        ("application/gzip", False),
        ("application/octet-stream", False),
    ],
)
def test_only_what_becomes_smaller_is_compressed(content_type: str, smaller: bool) -> None:
    """Of what is compressed already, or unknown, nothing is gained."""
    assert is_compressible(content_type) is smaller


def test_an_answer_is_compressed_for_who_accepts_that(desk: Desk) -> None:
    """And caches are told on what it depends."""
    desk.text_stream("a", LONG)
    plain, packed = desk.get("a"), desk.get("a", Accept_Encoding="gzip")
    assert ("content-encoding" in plain.headers, plain.headers["vary"]) == (False, "Accept-Encoding")
    assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert (plain.text, unpacked(packed)) == (LONG, LONG)
    assert packed.offset == plain.offset


def test_messages_are_compressed_too(desk: Desk) -> None:
    """Catch-up and long-poll."""
    desk.json_stream("a", json.dumps([LONG, LONG]))
    for query in ("", "?offset=-1&live=long-poll"):
        assert json.loads(unpacked(desk.get(f"a{query}", Accept_Encoding="gzip"))) == [LONG, LONG]


def test_short_answers_stay_as_they_are(desk: Desk) -> None:
    """Below 1 KiB there is nothing to be gained, and nothing varies."""
    desk.text_stream("a", "x" * 1023)
    answer = desk.get("a", Accept_Encoding="gzip")
    assert "content-encoding" not in answer.headers
    assert "vary" not in answer.headers


def test_sse_is_never_compressed(desk: Desk) -> None:
    """All readers share the same bytes."""
    desk.text_stream("a", LONG)
    assert desk.connect("a?offset=-1&live=sse", Accept_Encoding="gzip").data == [LONG]


def test_either_tag_is_recognised(desk: Desk) -> None:
    """Section 10.1: two strong tags for two representations, and 304 for whoever has one of them."""
    desk.text_stream("a", LONG)
    plain, packed = desk.get("a").headers["etag"], desk.get("a", Accept_Encoding="gzip").headers["etag"]
    assert plain != packed
    for accepted in ("gzip", "identity"):
        for tag in (plain, packed):
            answer = desk.get("a", Accept_Encoding=accepted, If_None_Match=f'"other", {tag}')
            assert (answer.status, answer.headers["etag"], answer.headers["vary"]) == (304, tag, "Accept-Encoding")
    desk.say("a", "more")
    assert desk.get("a", If_None_Match=packed).status == 200


def test_a_compressed_body_is_kept_as_what_it_says(desk: Desk) -> None:
    """In a PUT and a POST; messages are counted as if they had come plain."""
    fields = {"Content_Type": "application/json", "Content_Encoding": "gzip"}
    assert desk.put("a", gzip.compress(b"[1]"), **fields).status == 201
    assert desk.post("a", gzip.compress(b"[2, 3]"), **fields).status == 204
    assert desk.get("a").json == [1, 2, 3]


def test_a_body_that_unpacks_to_nothing_is_empty(desk: Desk) -> None:
    """Section 5.2: nothing to append is 400."""
    desk.text_stream("a")
    refused = desk.say("a", gzip.compress(b""), Content_Encoding="gzip")
    assert (refused.status, refused.json["code"]) == (400, "EMPTY_APPEND")


def test_a_bomb_does_not_go_off() -> None:
    """What a body unpacks to has the same limit as a plain one, and unpacking stops there."""
    desk = Desk(limits=Limits(body_bytes=10_000))
    desk.text_stream("a", "before")
    refused = desk.say("a", gzip.compress(bytes(10_000_000)), Content_Encoding="gzip")
    assert (refused.status, refused.json["code"]) == (413, "TOO_LARGE")
    assert desk.get("a").text == "before"
    assert desk.say("a", gzip.compress(b"x" * 10_000), Content_Encoding="gzip").status == 204
    desk.stop()


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_a_body_of_several_members_is_their_sum(parts: list[bytes]) -> None:
    """RFC 1952, 2.2."""
    body = b"".join(map(gzip.compress, parts))
    assert _inflated(body, 10_000) == b"".join(parts)


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b"data")[:-1],
        gzip.compress(b"data")[:5],
        gzip.compress(b"data") + b"rubbish",
        gzip.compress(b"data")[:-8] + bytes(8),
        zlib.compress(b"data"),
        gzip.compress(b"") * 10_001,
    ],
    ids=["cut", "half a head", "rubbish behind", "wrong checksum", "zlib", "too many members"],
)
def test_a_broken_body_is_refused_whole(body: bytes) -> None:
    """Nothing of it is kept."""
    with pytest.raises(MalformedField, match="Content-Encoding"):
        _inflated(body, 10_000)


@given(st.binary(max_size=300))
def test_whatever_comes_is_unpacked_or_refused(rubbish: bytes) -> None:
    """No other exception."""
    with suppress(MalformedField, Problem):
        _inflated(gzip.compress(rubbish)[:-20] + rubbish, 1000)
