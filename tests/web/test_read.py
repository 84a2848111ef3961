"""GET and HEAD: catch-up, long-poll, caching."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.web.desk import NOW, ROOT, Desk


@pytest.fixture
def small() -> Iterator[Desk]:
    """A service that answers with ten bytes at most."""
    desk = Desk(max_read_bytes=10)
    yield desk
    desk.stop()


def test_pages_of_bytes(small: Desk) -> None:
    """Section 5.6: a chunk limit; Stream-Up-To-Date and Stream-Closed only with the last chunk."""
    small.text_stream("a", "0123456789abcdef", Stream_Closed="true")
    first = small.get("a")
    assert (first.text, first.up_to_date, first.closed) == ("0123456789", False, False)
    second = small.get(f"a?offset={first.offset}")
    assert (second.text, second.up_to_date, second.closed) == ("abcdef", True, True)
    third = small.get(f"a?offset={second.offset}")
    assert (third.status, third.text, third.closed, third.offset) == (200, "", True, second.offset)


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", "image/png"])
def test_pages_join_to_the_whole(small: Desk, content_type: str) -> None:
    """Section 5.6: each page begins where the one before it ended, characters or not; only the last is up to date."""
    data = "0123456€89".encode() * 7
    small.put("a", data, Content_Type=content_type)
    pages = [small.get("a")]
    while not pages[-1].up_to_date:
        pages.append(small.get(f"a?offset={pages[-1].offset}"))
    assert [len(page.body) for page in pages if isinstance(page.body, bytes)] == [10] * 8 + [4]
    assert b"".join(page.body for page in pages if isinstance(page.body, bytes)) == data


def test_a_page_reaches_over_the_seam_of_a_fork(small: Desk) -> None:
    """Section 4.2: inherited and own data are one stream, also within one page."""
    small.text_stream("source", "01234")
    small.put("fork", "56789abc", Stream_Forked_From=ROOT + "source")
    first = small.get("fork")
    assert (first.text, first.up_to_date) == ("0123456789", False)
    assert small.get(f"fork?offset={first.offset}").text == "abc"


def test_messages_on_both_sides_of_a_seam_are_one_array(desk: Desk) -> None:
    """Section 9.1, JSON mode and forked streams."""
    desk.json_stream("source", "[1,2]")
    desk.put("fork", "[3]", Content_Type="application/json", Stream_Forked_From=ROOT + "source")
    assert desk.get("fork").json == [1, 2, 3]


def test_pages_of_messages_are_whole(small: Desk) -> None:
    """Section 9.1.1: never half a message, even when one is larger than the limit."""
    messages = [1, 22, "a long message that is larger than the limit", 3, [4], 5]
    small.json_stream("a", str(messages).replace("'", '"'))
    found = []
    offset = "-1"
    while True:
        answer = small.get(f"a?offset={offset}")
        found += answer.json
        offset = answer.offset
        if answer.up_to_date:
            break
    assert found == messages


@pytest.mark.parametrize(
    "query",
    [
        "offset=",
        "offset=0",
        "offset=-2",
        "offset=NOW",
        "offset=0000000000000000_000000000000000a",
        "offset=0000000000000001_0000000000000000",
        "offset=0000000000000000_0000000000000099",
        "offset=%EF%BC%90",
        "offset=-1&offset=-1",
        "live=sse",
        "live=long-poll",
        "offset=-1&live=",
        "offset=-1&live=websocket",
        "offset=-1&live=long-poll&timeout=-1",
        "offset=-1&live=long-poll&timeout=nan",
    ],
)
def test_a_bad_query_is_refused_by_name(desk: Desk, query: str) -> None:
    """Sections 5.6 to 5.8 and 8: 400 that names the parameter."""
    desk.text_stream("a", "data")
    answer = desk.get(f"a?{query}")
    assert answer.status == 400
    assert answer.json["field"] in query or answer.json["field"] == "offset"


def test_an_offset_inside_a_message_is_refused(desk: Desk) -> None:
    """Section 8: only offsets that were minted here."""
    desk.json_stream("a", '["a,b", 2]')
    assert desk.get("a?offset=0000000000000000_0000000000000003").status == 400
    assert desk.get("a?offset=0000000000000000_0000000000000006").json == [2]


@pytest.mark.parametrize("query", ["offset=%2D1", "%6Fffset=-1", "offset=%30{}_%30{}", "offset=-1&live=long%2Dpoll"])
def test_what_is_url_encoded_is_decoded(desk: Desk, query: str) -> None:
    """Section 8: clients MUST encode offsets, and may encode more than is needed."""
    desk.text_stream("a", "data")
    answer = desk.get("a?" + query.format("0" * 15, "0" * 15))
    assert (answer.status, answer.text) == (200, "data")


def test_offset_now_has_no_data_and_is_not_cached(desk: Desk) -> None:
    """Section 8: 200 with an empty body of the stream's kind, no ETag."""
    desk.json_stream("a", "[1]")
    answer = desk.get("a?offset=now")
    assert (answer.json, answer.up_to_date, answer.headers["cache-control"]) == ([], True, "no-store")
    assert "etag" not in answer.headers
    desk.post("a", Stream_Closed="true")
    assert desk.get("a?offset=now").closed


def test_the_tag_tells_a_closed_stream_and_a_recreated_one(desk: Desk) -> None:
    """Section 10.1: the ETag varies with closure; a re-created stream never answers 304 to an old tag."""
    desk.text_stream("a", "data")
    first = desk.get("a").headers["etag"]
    desk.post("a", Stream_Closed="true")
    second = desk.get("a").headers["etag"]
    desk.ask("DELETE", "a")
    desk.text_stream("a", "atad", Stream_Closed="true")
    third = desk.get("a").headers["etag"]
    assert len({first, second, third}) == 3
    assert desk.get("a", If_None_Match=second).status == 200


@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', '"x",W/{}', "*"])
def test_if_none_match_in_every_form(desk: Desk, form: str) -> None:
    """Section 10.1 and RFC 9110: lists, weak tags and the asterisk; 304 has no body and the tag."""
    desk.text_stream("a", "data")
    tag = desk.get("a").headers["etag"]
    answer = desk.get("a", If_None_Match=form.format(tag))
    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)


@pytest.mark.parametrize("form", ["{}x", "x{}", '"x"', "W/x", "", '"', ", ,"])
def test_other_tags_are_no_match(desk: Desk, form: str) -> None:
    """RFC 9110, 8.8.3: a tag is what stands between its quotes, and nothing else is one."""
    desk.text_stream("a", "data")
    tag = desk.get("a").headers["etag"].strip('"')
    assert desk.get("a", If_None_Match=form.format(tag)).status == 200


def test_the_tag_of_a_range_is_for_that_range(desk: Desk) -> None:
    """Section 10.1: another offset, and more data, are another tag; the same range has the same one."""
    desk.text_stream("a", "data")
    whole, rest = desk.get("a"), desk.get("a?offset=0000000000000000_0000000000000002")
    assert whole.headers["etag"] != rest.headers["etag"]
    assert desk.get("a?offset=-1", If_None_Match=whole.headers["etag"]).status == 304
    desk.say("a", "more")
    assert desk.get("a", If_None_Match=whole.headers["etag"]).text == "datamore"


def test_the_end_is_not_hidden_by_a_cached_tail(desk: Desk) -> None:
    """Section 10.1: whoever keeps the empty answer of an open tail has to ask again, and learns of the closure."""
    desk.text_stream("a", "data")
    tail = f"a?offset={desk.get('a').offset}"
    before = desk.get(tail)
    assert before.headers["cache-control"] == "public, no-cache"
    assert desk.get(tail, If_None_Match=before.headers["etag"]).status == 304
    desk.post("a", Stream_Closed="true")
    after = desk.get(tail, If_None_Match=before.headers["etag"])
    assert (after.status, after.closed) == (200, True)
    assert after.headers["cache-control"] == "public, max-age=60, stale-while-revalidate=300"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "public, max-age=60, stale-while-revalidate=300"),
        ({"Stream_TTL": "3600"}, "public, max-age=60, stale-while-revalidate=300"),
        ({"Stream_TTL": "30"}, "public, max-age=30"),
        ({"Stream_TTL": "0"}, None),
        ({"Stream_Expires_At": "2027-01-15T08:00:25Z"}, "public, max-age=25"),
        ({"Stream_Expires_At": "2027-01-15T08:00:00.5Z"}, "no-store"),
        ({"Stream_Expires_At": "2027-01-15T08:05:00Z"}, "public, max-age=60"),
        ({"Stream_Expires_At": "2027-01-15T09:00:00Z"}, "public, max-age=60, stale-while-revalidate=300"),
    ],
)
def test_caches_never_outlive_the_stream(desk: Desk, headers: dict[str, str], expected: str | None) -> None:
    """Sections 5.6 and 10.1; a stream without any time to live is gone at once."""
    desk.text_stream("a", "data", **headers)
    answer = desk.get("a")
    assert answer.headers["cache-control"] == (expected or "no-store")
    assert answer.status == (404 if expected is None else 200)


def test_confidential_streams_are_private() -> None:
    """Section 10.1: ``private`` where an operator asks for it."""
    desk = Desk(cache_scope="private")
    desk.text_stream("a", "data")
    assert desk.get("a").headers["cache-control"].startswith("private, ")
    desk.stop()


def test_nginx_alone_may_share_an_answer_without_data_for_a_second(desk: Desk) -> None:
    """Section 10.1: caches in general keep none, and even nginx none that are private (docs/deployment.md)."""
    desk.text_stream("a", "data")
    at_tail = desk.get("a?offset=" + desk.get("a").offset)
    assert (at_tail.headers["x-accel-expires"], at_tail.headers["cache-control"]) == ("1", "public, no-cache")
    assert "x-accel-expires" not in desk.get("a").headers
    confidential = Desk(cache_scope="private")
    confidential.text_stream("a")
    assert "x-accel-expires" not in confidential.get("a").headers
    confidential.stop()


def test_head_tells_all_and_is_never_cached(desk: Desk) -> None:
    """Section 5.5."""
    desk.text_stream("a", "data", Stream_TTL="60")
    desk.text_stream("b", Stream_Expires_At="2030-01-31T12:00:00.5+01:00", Stream_Closed="true")
    a, b = desk.ask("HEAD", "a"), desk.ask("HEAD", "b")
    assert (a.status, a.body, a.headers["stream-ttl"], a.headers["cache-control"]) == (200, b"", "60", "no-store")
    assert (b.headers["stream-expires-at"], b.closed) == ("2030-01-31T11:00:00.500Z", True)


def test_long_poll_answers_with_what_is_there(desk: Desk) -> None:
    """Section 5.7: data at once, with a cursor."""
    desk.text_stream("a", "data")
    answer = desk.get("a?offset=-1&live=long-poll")
    assert (answer.status, answer.text, answer.headers["stream-cursor"].isdigit()) == (200, "data", True)


@pytest.mark.parametrize("live", ["long-poll", "true", "1"])
def test_long_poll_waits_for_the_next_append(desk: Desk, live: str) -> None:
    """Section 5.7; ``true`` and ``1`` are other words for it."""
    desk.text_stream("a", "old")
    poll = desk.waiting("GET", f"a?offset=now&live={live}")
    assert not poll.is_answered
    desk.say("a", "new")
    assert (poll.answer.status, poll.answer.text) == (200, "new")
    assert desk.is_quiet()


def test_long_poll_ends_when_its_time_is_up(desk: Desk) -> None:
    """Section 5.7: 204 with offset, up-to-date and cursor, not to be cached."""
    desk.text_stream("a", "old")
    poll = desk.waiting("GET", "a?offset=now&live=long-poll")
    desk.clock.pump([1] * 29)
    assert not poll.is_answered
    desk.clock.advance(1)
    answer = poll.answer
    assert (answer.status, answer.up_to_date, answer.headers["cache-control"]) == (204, True, "no-store")
    assert answer.offset == "0000000000000000_0000000000000003"
    assert answer.headers["stream-cursor"]


@pytest.mark.parametrize(("asked", "given"), [("2", 2), ("0.5", 0.5), ("100000", 300)])
def test_a_client_may_name_the_time_within_bounds(desk: Desk, asked: str, given: float) -> None:
    """Section 5.7: ``timeout`` in seconds, as an extension."""
    desk.text_stream("a")
    poll = desk.waiting("GET", f"a?offset=now&live=long-poll&timeout={asked}")
    desk.clock.advance(given - 0.1)
    assert not poll.is_answered
    desk.clock.advance(0.1)
    assert poll.answer.status == 204


def test_long_poll_tells_the_end_at_once(desk: Desk) -> None:
    """Section 5.7: a closed stream at its tail is never waited for."""
    desk.text_stream("a", "data")
    waiting = desk.waiting("GET", "a?offset=now&live=long-poll")
    desk.post("a", Stream_Closed="true")
    for answer in (waiting.answer, desk.get("a?offset=now&live=long-poll")):
        assert (answer.status, answer.closed, answer.up_to_date) == (204, True, True)


def test_long_poll_of_a_deleted_stream_is_told(desk: Desk) -> None:
    """Section 5.4: in-flight reads may end with 404."""
    desk.text_stream("a")
    waiting = desk.waiting("GET", "a?offset=now&live=long-poll")
    desk.ask("DELETE", "a")
    assert waiting.answer.status == 404


def test_a_stream_created_again_is_not_the_one_waited_for(desk: Desk) -> None:
    """Section 8: offsets belong to one stream."""
    desk.text_stream("a")
    waiting = desk.waiting("GET", "a?offset=now&live=long-poll")
    desk.ask("DELETE", "a")
    desk.text_stream("a", "other")
    assert waiting.answer.status == 404


def test_a_client_that_leaves_leaves_nothing(desk: Desk) -> None:
    """A disconnect releases the waiter and its timer."""
    desk.text_stream("a")
    waiting = desk.waiting("GET", "a?offset=now&live=long-poll")
    waiting.disconnect()
    assert desk.is_quiet()


def test_a_poll_of_a_stream_that_expires_is_told(desk: Desk) -> None:
    """Section 5.1: an absolute time holds whoever waits."""
    desk.text_stream("a", Stream_Expires_At="2027-01-15T08:00:05Z")
    waiting = desk.waiting("GET", "a?offset=now&live=long-poll")
    desk.clock.pump([0.5] * 12)
    assert waiting.answer.status == 404


def test_a_poll_of_a_stream_that_its_forks_keep_is_told(desk: Desk) -> None:
    """Section 5.4: soft-deleted is 410, for those who wait too."""
    desk.text_stream("a")
    desk.put("fork", Stream_Forked_From=ROOT + "a")
    waiting = desk.waiting("GET", "a?offset=now&live=long-poll")
    desk.ask("DELETE", "a")
    assert waiting.answer.status == 410


def test_a_poll_of_a_fork_waits_for_the_forks_own_appends(desk: Desk) -> None:
    """Section 5.7: inherited data come at once, appends to the source wake nobody."""
    desk.text_stream("source", "data")
    desk.put("fork", Stream_Forked_From=ROOT + "source")
    assert desk.get("fork?offset=-1&live=long-poll").text == "data"
    waiting = desk.waiting("GET", "fork?offset=now&live=long-poll")
    desk.say("source", "not for the fork")
    desk.turn()
    assert not waiting.is_answered
    desk.say("fork", "own")
    assert waiting.answer.text == "own"


def test_a_poll_keeps_a_sliding_window_open(desk: Desk) -> None:
    """Section 5.1: a stream with live readers does not expire; without them it does."""
    desk.text_stream("a", Stream_TTL="2")
    waiting = desk.waiting("GET", "a?offset=now&live=long-poll")
    desk.clock.pump([0.5] * 40)
    assert not waiting.is_answered
    waiting.disconnect()
    desk.clock.pump([0.5] * 6)
    assert desk.ask("HEAD", "a").status == 404


def test_no_array_without_messages_is_polled(desk: Desk) -> None:
    """Section 9.1: a poll of a JSON stream has messages or 204, never an empty array."""
    desk.json_stream("a")
    poll = desk.waiting("GET", "a?offset=now&live=long-poll")
    desk.post("a", "[1,[]]", Content_Type="application/json")
    assert poll.answer.json == [1, []]
    assert desk.get("a?offset=now&live=long-poll&timeout=0").body == b""


def test_a_cursor_is_the_number_of_the_interval(desk: Desk) -> None:
    """Section 10.1: intervals of 20 seconds since October 9, 2024."""
    desk.text_stream("a", "data")
    first = int(desk.get("a?offset=-1&live=long-poll").headers["stream-cursor"])
    assert first == (NOW - 1_728_432_000) // 20
    desk.clock.advance(20)
    assert int(desk.get("a?offset=-1&live=long-poll").headers["stream-cursor"]) == first + 1


def test_the_step_past_a_cursor_is_random_and_bounded(desk: Desk) -> None:
    """Section 10.1: a jitter of 1 to 3600 seconds, at least one interval."""
    desk.text_stream("a", "data")
    cursor = int(desk.get("a?offset=-1&live=long-poll").headers["stream-cursor"])
    steps = [
        int(desk.get(f"a?offset=-1&live=long-poll&cursor={cursor}").headers["stream-cursor"]) - cursor
        for _ in range(200)
    ]
    assert min(steps) >= 1
    assert max(steps) <= 180
    assert len(set(steps)) > 10


@pytest.mark.parametrize("cursor", ["", "abc", "-1", "1.5", "%EF%BC%91", "9" * 40])
def test_a_cursor_that_is_none_of_ours_is_ignored(desk: Desk, cursor: str) -> None:
    """Section 10.1: it is only a cache key."""
    desk.text_stream("a", "data")
    answer = desk.get(f"a?offset=-1&live=long-poll&cursor={cursor}")
    assert (answer.status, int(answer.headers["stream-cursor"])) == (200, (NOW - 1_728_432_000) // 20)


def test_parameters_of_others_are_ignored(desk: Desk) -> None:
    """Section 11.1: also when they are repeated or unreadable."""
    desk.text_stream("a", "data")
    assert desk.get("a?x=1&x=2&%FF=%FF&&=&offset=-1&utm_source=%zz").text == "data"


def test_cursors_never_go_back(desk: Desk) -> None:
    """Section 10.1: strictly greater than a client's cursor that is not behind."""
    desk.text_stream("a", "data")
    current = int(desk.get("a?offset=-1&live=long-poll").headers["stream-cursor"])
    for echoed in (current, current + 1000):
        answer = desk.get(f"a?offset=-1&live=long-poll&cursor={echoed}")
        assert int(answer.headers["stream-cursor"]) > echoed
    behind = desk.get(f"a?offset=-1&live=long-poll&cursor={current - 5}")
    assert int(behind.headers["stream-cursor"]) == current


@pytest.mark.parametrize(
    ("count", "last"), [(0, []), (1, [5]), (2, [4, 5]), (5, [1, 2, 3, 4, 5]), (9, [1, 2, 3, 4, 5])]
)
def test_the_last_messages(desk: Desk, count: int, last: list[int]) -> None:
    """``tail=N`` begins N messages before the tail, inherited ones included, and goes on like any read."""
    desk.json_stream("source", "[1,2,3]")
    desk.put("a", "[4,5]", Content_Type="application/json", Stream_Forked_From=ROOT + "source")
    answer = desk.get(f"a?tail={count}")
    assert (answer.json, answer.up_to_date, answer.headers["cache-control"]) == (last, True, "public, no-cache")
    assert desk.get(f"a?offset={answer.offset}").json == []


def test_the_last_messages_and_what_follows(desk: Desk) -> None:
    """In the live modes too."""
    desk.json_stream("a", "[1,2,3]")
    assert desk.get("a?tail=2&live=long-poll").json == [2, 3]
    live = desk.connect("a?tail=1&live=sse")
    desk.post("a", "4", Content_Type="application/json")
    desk.turn()
    assert live.data == ["[3]", "[4]"]


def test_more_last_messages_than_an_answer_holds(small: Desk) -> None:
    """The limit of an answer holds: the first of them come first."""
    small.json_stream("a", json.dumps(list(range(100, 200))))
    first = small.get("a?tail=50")
    assert first.json == [150, 151]
    assert small.get(f"a?offset={first.offset}").json == [152, 153]
