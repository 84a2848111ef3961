"""Retention over HTTP: how a policy is asked for and shown, and what readers are told who fell behind it."""

from __future__ import annotations

import json

import pytest

from tests.web.desk import ROOT, Desk

LIMITS = ("Stream-Retention-Max-Age", "Stream-Retention-Max-Messages", "Stream-Retention-Max-Bytes")


def offset(position: int) -> str:
    return f"0000000000000000_{position:016d}"


def trimmed(desk: Desk, path: str = "a") -> str:
    """A stream of three letters that has dropped the first one."""
    desk.text_stream(path, Stream_Retention_Max_Messages="2")
    for letter in "abc":
        desk.say(path, letter)
    return path


def test_a_policy_is_shown_by_head(desk: Desk) -> None:
    given = {"Stream_Retention_Max_Age": "60", "Stream_Retention_Max_Messages": "7", "Stream_Retention_Max_Bytes": "9"}
    assert desk.text_stream("a", **given).status == 201
    head = desk.ask("HEAD", "a")
    assert [head.headers[name.lower()] for name in LIMITS] == ["60", "7", "9"]
    desk.text_stream("b", Stream_Retention_Max_Bytes="5")
    assert "stream-retention-max-age" not in desk.ask("HEAD", "b").headers


def test_head_tells_where_the_stream_begins(desk: Desk) -> None:
    trimmed(desk)
    assert desk.ask("HEAD", "a").headers["stream-earliest-offset"] == offset(1)


@pytest.mark.parametrize("field", LIMITS)
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "1e3", "007", "", "many", "9007199254740992"])
def test_a_limit_that_cannot_be_meant_is_refused(desk: Desk, field: str, value: str) -> None:
    answer = desk.text_stream("a", **{field.replace("-", "_"): value})
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "INVALID_REQUEST", field)
    assert desk.get("a").status == 404


def test_the_same_creation_again_must_ask_for_the_same_policy(desk: Desk) -> None:
    assert desk.text_stream("a", Stream_Retention_Max_Messages="2").status == 201
    assert desk.text_stream("a", Stream_Retention_Max_Messages="2").status == 200
    for other in ({}, {"Stream_Retention_Max_Messages": "3"}, {"Stream_Retention_Max_Bytes": "2"}):
        answer = desk.text_stream("a", **other)
        assert (answer.status, answer.json["code"]) == (409, "STREAM_CONFLICT")
        assert answer.json["field"].startswith("Stream-Retention-Max-")


@pytest.mark.parametrize("live", ["", "&live=long-poll", "&live=sse"])
def test_a_read_below_the_earliest_position_is_gone_in_every_mode(desk: Desk, live: str) -> None:
    trimmed(desk)
    answer = desk.get(f"a?offset={offset(0)}{live}")
    assert (answer.status, answer.headers["stream-earliest-offset"]) == (410, offset(1))
    assert answer.headers["cache-control"] == "no-store"
    problem = answer.json
    assert (problem["code"], problem["field"], problem["earliestOffset"]) == ("OFFSET_TRIMMED", "offset", offset(1))


@pytest.mark.parametrize("live", ["", "&live=long-poll"])
def test_who_is_at_the_earliest_position_has_lost_nothing(desk: Desk, live: str) -> None:
    trimmed(desk)
    assert desk.get(f"a?offset={offset(1)}{live}").text == "bc"


@pytest.mark.parametrize("query", ["", "?offset=-1", "?offset=-1&live=long-poll"])
def test_the_beginning_is_what_is_left(desk: Desk, query: str) -> None:
    trimmed(desk)
    answer = desk.get("a" + query)
    assert (answer.text, answer.offset, answer.up_to_date) == ("bc", offset(3), True)
    assert desk.connect("a?offset=-1&live=sse").data == ["bc"]


def test_messages_are_dropped_whole(desk: Desk) -> None:
    desk.json_stream("a", "[1,22,333,4444]", Stream_Retention_Max_Messages="2")
    assert desk.get("a").json == [333, 4444]
    assert desk.ask("HEAD", "a").headers["stream-earliest-offset"] == offset(5)
    assert desk.get(f"a?offset={offset(5)}").json == [333, 4444]
    assert desk.get(f"a?offset={offset(7)}").status == 400


def test_everything_is_too_old_one_day(desk: Desk) -> None:
    desk.text_stream("a", "all of it", Stream_Retention_Max_Age="60")
    desk.clock.advance(60)
    answer = desk.get("a")
    assert (answer.status, answer.text, answer.offset) == (200, "", offset(9))
    assert desk.get(f"a?offset={offset(9)}").status == 200
    assert desk.get(f"a?offset={offset(8)}").headers["stream-earliest-offset"] == offset(9)


def test_a_long_poll_that_was_overtaken_is_gone(desk: Desk) -> None:
    """A live reader never gets a silent gap: all that it waited for was dropped before it could be told."""
    desk.json_stream("a", "[1]", Stream_Retention_Max_Messages="1")
    poll = desk.waiting("GET", f"a?offset={offset(2)}&live=long-poll")
    desk.post("a", "[2,3]", Content_Type="application/json")
    desk.turn()
    assert (poll.answer.status, poll.answer.headers["stream-earliest-offset"]) == (410, offset(4))
    assert desk.is_quiet()


def test_an_sse_reader_that_was_overtaken_ends_with_the_earliest_offset(desk: Desk) -> None:
    """The status is gone by then, so the last control event says it; from there the client is answered 410."""
    desk.text_stream("a", "a", Stream_Retention_Max_Messages="1")
    live = desk.connect("a?offset=-1&live=sse")
    desk.turn()
    desk.say("a", "b")
    desk.say("a", "c")
    desk.turn()
    assert live.data == ["a"]
    assert live.controls[-1] == {"streamNextOffset": offset(1), "streamEarliestOffset": offset(2)}
    assert live.finished
    assert desk.get(f"a?offset={offset(1)}&live=sse").status == 410
    assert desk.is_quiet()


def test_a_slow_sse_reader_is_told_when_it_has_drained(desk: Desk) -> None:
    desk.text_stream("a", "a", Stream_Retention_Max_Messages="1")
    live = desk.connect("a?offset=-1&live=sse")
    live.pause()
    for letter in "bcd":
        desk.say("a", letter)
        desk.turn()
    live.drain()
    assert live.controls[-1]["streamEarliestOffset"] == offset(3)
    assert (live.data, live.finished) == (["a"], True)


def test_a_reader_in_step_gets_every_message_of_a_turn_that_is_left(desk: Desk) -> None:
    desk.json_stream("a", Stream_Retention_Max_Messages="3")
    live = desk.connect("a?offset=now&live=sse")
    for first in (0, 3, 6):
        desk.post("a", json.dumps([first, first + 1, first + 2]), Content_Type="application/json")
        desk.turn()
    assert [json.loads(data) for data in live.data] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_the_tag_of_a_read_from_the_beginning_changes_when_the_beginning_moves(desk: Desk) -> None:
    desk.text_stream("a", "a", Stream_Retention_Max_Messages="2")
    desk.say("a", "b")
    first = desk.get("a?offset=-1")
    assert desk.get("a?offset=-1", If_None_Match=first.headers["etag"]).status == 304
    desk.say("a", "c")
    assert desk.get("a?offset=-1", If_None_Match=first.headers["etag"]).text == "bc"


def test_what_may_be_dropped_is_not_cached_for_long(desk: Desk) -> None:
    """A cache that kept the beginning would send clients below the edge again and again."""
    desk.text_stream("kept", "ab")
    desk.text_stream("counted", "ab", Stream_Retention_Max_Messages="2")
    desk.text_stream("aged", "ab", Stream_Retention_Max_Age="20")
    assert desk.get("kept?offset=-1").headers["cache-control"] == "public, max-age=60, stale-while-revalidate=300"
    for path, at_offset in (("counted", "max-age=60"), ("aged", "max-age=20")):
        for query in ("", "?offset=-1", "?offset=-1&live=long-poll"):
            assert desk.get(path + query).headers["cache-control"] == "public, no-cache"
        assert desk.get(f"{path}?offset={offset(1)}").headers["cache-control"] == f"public, {at_offset}"


def test_a_fork_keeps_what_it_inherited(desk: Desk) -> None:
    trimmed(desk)
    fork = desk.put("f", "!", Stream_Forked_From=ROOT + "a", Stream_Retention_Max_Messages="5")
    assert fork.status == 201
    for letter in "defg":
        desk.say("a", letter)
    assert (desk.get("a").text, desk.get("f").text) == ("fg", "bc!")
    assert desk.get(f"f?offset={offset(0)}").headers["stream-earliest-offset"] == offset(1)
    late = desk.put("g", Stream_Forked_From=ROOT + "a", Stream_Fork_Offset=offset(2))
    assert (late.status, late.headers["stream-earliest-offset"]) == (410, offset(5))


def test_browsers_may_use_the_fields() -> None:
    desk = Desk(cors_origins=("https://app.example",))
    trimmed(desk)
    exposed = desk.get("a", Origin="https://app.example").headers["access-control-expose-headers"]
    allowed = desk.ask("OPTIONS", "a", Origin="https://app.example").headers["access-control-allow-headers"]
    for name in LIMITS:
        assert name in exposed
        assert name in allowed
    assert "Stream-Earliest-Offset" in exposed
    desk.stop()
