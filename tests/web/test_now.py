"""``offset=now``: whoever comes late and wants only what is new (Section 8)."""

from __future__ import annotations

import pytest

from tests.web.desk import Answer, Desk

END = "0000000000000000_0000000000000004"


@pytest.mark.parametrize(
    ("content_type", "data", "nothing"),
    [("text/plain", b"data", b""), ("application/octet-stream", b"data", b""), ("application/json", b"123", b"[]")],
)
def test_a_catch_up_has_no_data_but_the_tail(desk: Desk, content_type: str, data: bytes, nothing: bytes) -> None:
    """Section 8: 200, an empty body of the stream's kind, the tail, up to date, not to be cached; no ETag (10.1)."""
    desk.put("a", data, Content_Type=content_type)
    answer = desk.get("a?offset=now")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, nothing, content_type)
    assert (answer.offset, answer.up_to_date, answer.headers["cache-control"]) == (END, True, "no-store")
    assert "etag" not in answer.headers


def test_a_catch_up_of_nothing_is_like_any_other(desk: Desk) -> None:
    """Section 8: an empty stream has a tail too."""
    desk.text_stream("a")
    answer = desk.get("a?offset=now")
    assert (answer.status, answer.body, answer.up_to_date, answer.closed) == (200, b"", True, False)
    assert desk.get(f"a?offset={answer.offset}").status == 200


def test_a_long_poll_waits_at_once_and_has_only_what_is_new(desk: Desk) -> None:
    """Section 8: no empty answer first; then 200 with the new data, and the tail behind them."""
    desk.text_stream("a", "old")
    poll = desk.waiting("GET", "a?offset=now&live=long-poll")
    assert not poll.is_answered
    desk.say("a", "!")
    answer = poll.answer
    assert (answer.status, answer.text, answer.offset, answer.up_to_date) == (200, "!", END, True)


def test_what_a_long_poll_found_after_now_is_never_kept(desk: Desk) -> None:
    """Section 10.1: no ETag for ``now``. The same URL means another place a moment later, so no cache may answer it."""
    desk.text_stream("a", "old")
    poll = desk.waiting("GET", "a?offset=now&live=long-poll")
    desk.say("a", "x" * 2000)
    assert poll.answer.headers["cache-control"] == "no-store"
    assert "etag" not in poll.answer.headers
    from_its_offset = desk.get("a?offset=0000000000000000_0000000000000003&live=long-poll")
    assert "max-age" in from_its_offset.headers["cache-control"]
    assert "etag" in from_its_offset.headers


def test_sse_begins_at_the_tail(desk: Desk) -> None:
    """Section 8: the first control event has the tail and ``upToDate``; no historical data, only what comes."""
    desk.text_stream("a", "data")
    live = desk.connect("a?offset=now&live=sse")
    assert [kind for kind, _ in live.events] == ["control"]
    assert (live.controls[0]["streamNextOffset"], live.controls[0]["upToDate"]) == (END, True)
    desk.say("a", "new")
    desk.turn()
    assert live.data == ["new"]


def test_a_json_follower_is_sent_no_batch_without_messages(desk: Desk) -> None:
    """Section 5.8: an empty array would be a data event of nothing, which clients have stumbled over."""
    desk.json_stream("a")
    late, early = desk.connect("a?offset=now&live=sse"), desk.connect("a?offset=-1&live=sse")
    assert [kind for kind, _ in late.events] == [kind for kind, _ in early.events] == ["control"]
    desk.post("a", "1", Content_Type="application/json")
    desk.turn()
    assert late.data == early.data == ["[1]"]


def test_a_closed_stream_is_told_by_a_catch_up(desk: Desk) -> None:
    """Section 8: 200 without data, with the closure and the final offset."""
    desk.text_stream("a", "data", Stream_Closed="true")
    assert told(desk.get("a?offset=now")) == (200, b"", END, True, True)


def test_a_closed_json_stream_is_told_by_an_empty_array(desk: Desk) -> None:
    """Section 8: an empty body is ``[]`` there, the end of the stream included."""
    desk.json_stream("a", "123", Stream_Closed="true")
    assert told(desk.get("a?offset=now")) == (200, b"[]", END, True, True)


def test_a_closed_stream_is_told_by_a_long_poll(desk: Desk) -> None:
    """Section 8: 204 at once, with the closure and the final offset."""
    desk.text_stream("a", "data", Stream_Closed="true")
    assert told(desk.get("a?offset=now&live=long-poll")) == (204, b"", END, True, True)
    assert desk.is_quiet()


def told(answer: Answer) -> tuple[object, ...]:
    return answer.status, answer.body, answer.offset, answer.closed, answer.up_to_date


def test_a_closed_stream_is_told_by_sse(desk: Desk) -> None:
    """Section 8: the first control event is the only one, and then the connection ends."""
    desk.text_stream("a", "data", Stream_Closed="true")
    live = desk.connect("a?offset=now&live=sse")
    assert live.controls == [{"streamNextOffset": END, "upToDate": True, "streamClosed": True}]
    assert (live.data, live.finished) == ([], True)
