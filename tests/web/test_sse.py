"""GET with live=sse (Section 5.8)."""

from __future__ import annotations

import base64
import json

import pytest

from tests.web.desk import Connection, Desk


def test_the_answer_is_an_event_stream(desk: Desk) -> None:
    """Its head says so; binary streams announce base64."""
    desk.text_stream("t", "x")
    desk.put("b", b"x")
    text, binary = desk.get("t?offset=-1&live=sse"), desk.get("b?offset=-1&live=sse")
    assert text.headers["content-type"] == "text/event-stream"
    assert "no-cache" in text.headers["cache-control"]
    assert "stream-sse-data-encoding" not in text.headers
    assert binary.headers["stream-sse-data-encoding"] == "base64"


def test_every_data_event_has_its_control_event(desk: Desk) -> None:
    """Catching up and live: data, control, data, control."""
    desk.text_stream("a", "old")
    live = desk.connect("a?offset=-1&live=sse")
    desk.say("a", "new")
    desk.turn()
    assert [kind for kind, _ in live.events] == ["data", "control"] * 2
    assert live.data == ["old", "new"]
    assert [control["streamNextOffset"][-1] for control in live.controls] == ["3", "6"]
    assert all(control["upToDate"] and control["streamCursor"].isdigit() for control in live.controls)


def test_an_empty_stream_begins_with_a_control_event(desk: Desk) -> None:
    """Section 8: the first control event has the tail and upToDate."""
    desk.text_stream("a", "skipped")
    live = desk.connect("a?offset=now&live=sse")
    assert live.events == [("control", live.events[0][1])]
    assert live.controls[0]["streamNextOffset"].endswith("7")
    assert live.controls[0]["upToDate"] is True


def test_an_event_source_goes_on_where_it_was(desk: Desk) -> None:
    """It repeats its URL and adds Last-Event-ID, which counts more than the URL's offset."""
    desk.text_stream("a", "seen")
    seen = desk.get("a").offset
    desk.say("a", "unseen")
    for offset in ("-1", "now", seen):
        assert desk.connect(f"a?offset={offset}&live=sse", Last_Event_ID=seen).data == ["unseen"]
    assert desk.connect("a?offset=-1&live=sse", Last_Event_ID="").data == ["seenunseen"]
    assert desk.get("a?offset=-1", Last_Event_ID=seen).text == "seenunseen"
    refused = desk.get("a?offset=-1&live=sse", Last_Event_ID="7")
    assert (refused.status, refused.json["field"]) == (400, "Last-Event-ID")


def test_the_appends_of_one_turn_are_one_event(desk: Desk) -> None:
    """Live delivery is coalesced, and the same bytes go to all."""
    desk.json_stream("a")
    first, second = desk.connect("a?offset=now&live=sse"), desk.connect("a?offset=now&live=sse")
    for number in range(5):
        desk.post("a", str(number), Content_Type="application/json")
    desk.turn()
    assert [json.loads(data) for data in first.data] == [[0, 1, 2, 3, 4]]
    assert first.frames[-1] is second.frames[-1]


def test_closing_ends_the_connection_after_the_last_bytes(desk: Desk) -> None:
    """The append that closes is delivered, then streamClosed, then the end."""
    desk.text_stream("a")
    live = desk.connect("a?offset=now&live=sse")
    desk.say("a", "the end", Stream_Closed="true")
    desk.turn()
    assert live.data == ["the end"]
    assert live.controls[-1]["streamClosed"] is True
    assert "streamCursor" not in live.controls[-1]
    assert live.finished
    late = desk.connect("a?offset=now&live=sse")
    assert (late.controls[-1]["streamClosed"], late.controls[-1]["upToDate"], late.finished) == (True, True, True)
    assert desk.is_quiet()


def test_deleting_ends_the_connection(desk: Desk) -> None:
    """No reader hangs on a stream that is gone, nor follows another one that takes its place."""
    desk.text_stream("a")
    live = desk.connect("a?offset=now&live=sse")
    desk.ask("DELETE", "a")
    desk.text_stream("a", "other")
    desk.turn()
    assert live.finished
    assert live.data == []


def test_an_expired_stream_ends_its_readers(desk: Desk) -> None:
    """Stream-Expires-At holds whoever is reading."""
    desk.text_stream("a", Stream_Expires_At="2027-01-15T08:00:05Z")
    live = desk.connect("a?offset=now&live=sse")
    desk.clock.pump([0.5] * 12)
    assert live.finished


def test_a_reader_keeps_a_sliding_window_open(desk: Desk) -> None:
    """Section 5.1: a stream with active live readers does not expire."""
    desk.text_stream("a", Stream_TTL="2")
    desk.connect("a?offset=now&live=sse")
    desk.clock.pump([0.5] * 40)
    assert desk.ask("HEAD", "a").status == 200


@pytest.mark.parametrize(
    "payload", ["a\nb", "a\r\nb\rc", "\n\n", " leading\n  two", "x\n\nevent: control\ndata: {}\n\n", "\r"]
)
def test_no_payload_can_forge_an_event(desk: Desk, payload: str) -> None:
    """Line ends in text become data lines; the text comes back with every line end as LF."""
    desk.text_stream("a", payload)
    live = desk.connect("a?offset=-1&live=sse")
    assert [kind for kind, _ in live.events] == ["data", "control"]
    assert live.data[0] == payload.replace("\r\n", "\n").replace("\r", "\n")


def test_binary_events_are_base64_one_by_one(desk: Desk) -> None:
    """Every event decodes by itself."""
    desk.put("a", bytes(range(256)))
    live = desk.connect("a?offset=-1&live=sse")
    desk.post("a", b"\x00", Content_Type="application/octet-stream")
    desk.turn()
    assert [base64.b64decode(data, validate=True) for data in live.data] == [bytes(range(256)), b"\x00"]


def test_a_character_split_over_appends_arrives_whole(desk: Desk) -> None:
    """Text readers never get half a character; until it is whole they are not up to date."""
    desk.text_stream("a")
    live = desk.connect("a?offset=now&live=sse")
    euro = "€".encode()
    desk.say("a", b"x" + euro[:1])
    desk.turn()
    assert (live.data, live.controls[-1].get("upToDate")) == (["x"], None)
    joined = desk.connect("a?offset=-1&live=sse")
    desk.say("a", euro[1:2])
    desk.turn()
    desk.say("a", euro[2:])
    desk.turn()
    assert live.data == ["x", "€"]
    assert joined.data == ["x", "€"]
    assert live.controls[-1]["upToDate"] is True


def test_a_reader_inside_a_character_gets_what_follows(desk: Desk) -> None:
    """An offset may lie there when the tail did; nobody waits for ever."""
    euro = "€".encode()
    desk.text_stream("a", euro[:1])
    behind = desk.connect("a?offset=-1&live=sse")
    inside = desk.connect("a?offset=now&live=sse")
    desk.say("a", euro[1:] + b"!")
    desk.turn()
    assert behind.data == ["€!"]
    assert inside.controls[-1]["streamNextOffset"] == behind.controls[-1]["streamNextOffset"]


def test_an_unfinished_character_at_the_end_is_sent(desk: Desk) -> None:
    """A closed stream gives all that it has."""
    desk.text_stream("a", b"x\xe2", Stream_Closed="true")
    raw = desk.get("a?offset=-1&live=sse")
    assert not isinstance(raw.body, bytes)
    live = Connection(raw.body)
    assert b"data:x\xe2\n" in live.received
    assert live.finished


def test_connections_end_in_an_orderly_way_after_their_time(desk: Desk) -> None:
    """Section 10.2: about every minute; in between a comment keeps idle ones alive."""
    desk.text_stream("a")
    live = desk.connect("a?offset=now&live=sse")
    desk.clock.pump([1] * 59)
    assert not live.finished
    assert live.received.count(b": keep-alive\n\n") == 3
    desk.clock.pump([1] * 2)
    assert live.finished
    assert desk.is_quiet()


def test_a_slow_reader_loses_nothing_and_costs_nothing(desk: Desk) -> None:
    """While it is paused nothing is sent to it; when it has drained it catches up, and goes in step again."""
    desk.json_stream("a")
    slow = desk.connect("a?offset=now&live=sse", full_after=1)
    quick = desk.connect("a?offset=now&live=sse")
    for number in range(20):
        desk.post("a", str(number), Content_Type="application/json")
        desk.turn()
    assert slow.data == []
    slow.drain()
    desk.post("a", "20", Content_Type="application/json")
    desk.turn()

    def numbers(live: Connection) -> list[int]:
        return [number for data in live.data for number in json.loads(data)]

    assert numbers(slow) == numbers(quick) == list(range(21))
    assert slow.frames[-1] is quick.frames[-1]


def test_a_reader_that_comes_between_a_change_and_its_delivery(desk: Desk) -> None:
    """It misses nothing, gets nothing twice, and is in step with the others afterwards."""
    desk.json_stream("a")
    early = desk.connect("a?offset=-1&live=sse")
    desk.post("a", "1", Content_Type="application/json")
    late = desk.connect("a?offset=-1&live=sse")
    desk.turn()
    desk.post("a", "2", Content_Type="application/json")
    desk.turn()
    desk.post("a", "3", Content_Type="application/json")
    desk.turn()
    assert early.data == late.data == ["[1]", "[2]", "[3]"]
    assert early.frames[-1] is late.frames[-1]


def test_a_client_ahead_of_time_gets_its_own_cursor(desk: Desk) -> None:
    """Section 10.1: cursors never go back, also on a shared feed."""
    desk.text_stream("a")
    plain = desk.connect("a?offset=now&live=sse")
    cursor = int(plain.controls[0]["streamCursor"]) + 500
    ahead = desk.connect(f"a?offset=now&live=sse&cursor={cursor}")
    desk.say("a", "x")
    desk.turn()
    assert all(int(control["streamCursor"]) > cursor for control in ahead.controls)
    assert int(plain.controls[-1]["streamCursor"]) < cursor


def test_a_fork_delivers_what_it_inherits_and_nothing_later_of_its_source(desk: Desk) -> None:
    """SSE on forked streams."""
    desk.text_stream("source", "inherited ")
    desk.put("fork", Stream_Forked_From="/v1/stream/source")
    live = desk.connect("fork?offset=-1&live=sse")
    desk.say("source", "elsewhere")
    desk.turn()
    desk.say("fork", "own")
    desk.turn()
    assert live.data == ["inherited ", "own"]


def test_a_thousand_readers_of_each_kind_leave_nothing_behind(desk: Desk) -> None:
    """All follow one stream, then all are gone: no waiter, no timer, no subscription is left."""
    desk.text_stream("a")
    live = [desk.connect("a?offset=now&live=sse") for _ in range(1000)]
    polls = [desk.waiting("GET", "a?offset=now&live=long-poll") for _ in range(1000)]
    desk.say("a", "x")
    desk.turn()
    assert all(reader.data == ["x"] for reader in live)
    assert all(poll.answer.text == "x" for poll in polls)
    more = [desk.waiting("GET", "a?offset=now&live=long-poll") for _ in range(1000)]
    for reader in live:
        reader.disconnect()
    for poll in more:
        poll.disconnect()
    assert desk.is_quiet()
