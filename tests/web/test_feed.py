"""Live delivery where it is delicate: reads that take their time, connections that pause, readers that come and go."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred

from durable_streams.web.request import Frame, Response
from tests.web.desk import Connection, Desk
from tests.web.slow_storage import BrokenReads, SlowReads


@pytest.fixture
def slow() -> Iterator[Desk]:
    """A service whose storage answers reads when it is told to."""
    desk = Desk(SlowReads)
    yield desk
    desk.stop()


def reads_of(desk: Desk) -> SlowReads:
    assert isinstance(desk.storage, SlowReads)
    return desk.storage


def settle(desk: Desk) -> None:
    """Answer all reads, and those that follow from them."""
    desk.turn()
    while reads_of(desk).answer_reads():
        desk.turn()


def connect_slowly(desk: Desk, path: str) -> Deferred[Response]:
    answer = desk.asked("GET", path)
    assert isinstance(answer, Deferred)
    return answer


def connected(answer: Deferred[Response]) -> Connection:
    outcomes: list[Response] = []
    answer.addCallback(outcomes.append)
    body = outcomes[0].body
    assert not isinstance(body, bytes)
    return Connection(body)


# --- reads that take their time


def test_a_change_during_the_first_read_is_delivered(slow: Desk) -> None:
    """Section 5.8: a reader that read before an append and follows after it must not wait for the next one."""
    slow.text_stream("a", "old")
    reads_of(slow).hold = True
    answer = connect_slowly(slow, "a?offset=-1&live=sse")
    slow.say("a", "new")
    reads_of(slow).answer_reads()
    live = connected(answer)
    assert live.data == ["old"]
    settle(slow)
    assert live.data == ["old", "new"]


def test_a_change_during_a_delivery_is_delivered_after_it(slow: Desk) -> None:
    """Notices are hints: one that comes while the feed is reading makes it read again."""
    slow.json_stream("a")
    live = slow.connect("a?offset=now&live=sse")
    slow.turn()
    reads_of(slow).hold = True
    slow.post("a", "1", Content_Type="application/json")
    slow.turn()
    slow.post("a", "2", Content_Type="application/json")
    assert reads_of(slow).answer_reads() == 1
    assert live.data == ["[1]"]
    settle(slow)
    assert live.data == ["[1]", "[2]"]


def test_a_stream_closed_during_a_delivery_ends_its_readers(slow: Desk) -> None:
    """Section 5.8: the last bytes, streamClosed, the end; also when the read that finds them takes its time."""
    slow.text_stream("a", "old")
    live = slow.connect("a?offset=-1&live=sse")
    reads_of(slow).hold = True
    slow.say("a", "the end", Stream_Closed="true")
    settle(slow)
    assert live.data == ["old", "the end"]
    assert live.controls[-1]["streamClosed"] is True
    assert live.finished
    assert slow.is_quiet()


def test_a_closed_stream_is_read_slowly_to_its_end(slow: Desk) -> None:
    """Section 5.8: catching up with a closed stream ends the connection once."""
    slow.text_stream("a", "all there is", Stream_Closed="true")
    reads_of(slow).hold = True
    answer = connect_slowly(slow, "a?offset=-1&live=sse")
    reads_of(slow).answer_reads()
    live = connected(answer)
    settle(slow)
    assert (live.data, live.finished) == (["all there is"], True)
    assert slow.is_quiet()


@pytest.mark.parametrize("again", [False, True])
def test_a_stream_deleted_during_a_delivery_ends_its_readers(slow: Desk, again: bool) -> None:
    """Section 5.4: and another stream at the same path is not theirs."""
    slow.text_stream("a", "old")
    live = slow.connect("a?offset=-1&live=sse")
    reads_of(slow).hold = True
    slow.say("a", " and new")
    slow.turn()
    slow.ask("DELETE", "a")
    if again:
        slow.text_stream("a", "another stream")
    settle(slow)
    assert "another stream" not in "".join(live.data)
    assert live.finished
    assert slow.is_quiet()


def test_whoever_leaves_during_a_read_leaves_nothing_behind(slow: Desk) -> None:
    """A disconnect while catching up, and one of the only reader of a feed that is reading."""
    slow.text_stream("a", "old")
    reads_of(slow).hold = True
    answer = connect_slowly(slow, "a?offset=-1&live=sse")
    reads_of(slow).answer_reads()
    catching_up = connected(answer)
    slow.turn()
    slow.say("a", "new")
    slow.turn()
    catching_up.disconnect()
    assert slow.is_quiet()
    settle(slow)
    assert catching_up.data == ["old"]


def test_a_reader_that_joins_during_a_delivery_gets_it_once(slow: Desk) -> None:
    """It stands where the feed stands, or makes a feed of its own that merges: nothing twice, nothing lost."""
    slow.json_stream("a")
    early = slow.connect("a?offset=-1&live=sse")
    slow.turn()
    reads_of(slow).hold = True
    slow.post("a", "1", Content_Type="application/json")
    slow.turn()
    answer = connect_slowly(slow, "a?offset=-1&live=sse")
    slow.post("a", "2", Content_Type="application/json")
    reads_of(slow).answer_reads()
    late = connected(answer)
    settle(slow)
    slow.post("a", "3", Content_Type="application/json")
    settle(slow)

    def numbers(live: Connection) -> list[int]:
        return [number for data in live.data for number in json.loads(data)]

    assert numbers(early) == numbers(late) == [1, 2, 3]
    slow.post("a", "4", Content_Type="application/json")
    settle(slow)
    assert early.frames[-1] is late.frames[-1]


def test_feeds_that_meet_become_one_in_whatever_order(desk: Desk) -> None:
    """Three readers that came at three moments share their frames from the second delivery on."""
    desk.json_stream("a")
    readers = []
    for number in range(3):
        readers.append(desk.connect("a?offset=-1&live=sse"))
        desk.post("a", str(number), Content_Type="application/json")
    desk.turn()
    for number in (3, 4):
        desk.post("a", str(number), Content_Type="application/json")
        desk.turn()
    assert all([n for data in reader.data for n in json.loads(data)] == list(range(5)) for reader in readers)
    assert len({reader.frames[-1] for reader in readers}) == 1


def test_a_read_that_breaks_ends_the_connection_in_an_orderly_way() -> None:
    """The client reconnects, and gets a problem that says what is wrong; the log has the traceback."""
    desk = Desk(BrokenReads)
    desk.text_stream("a", "old")
    live, other = desk.connect("a?offset=-1&live=sse"), desk.connect("a?offset=-1&live=sse", full_after=1)
    desk.turn()
    assert isinstance(desk.storage, BrokenReads)
    desk.storage.broken = True
    desk.say("a", "new")
    desk.turn()
    other.drain()
    assert live.finished
    assert other.finished
    assert desk.get("a").status == 500
    assert desk.is_quiet()
    desk.stop()


# --- pages


def test_every_page_of_a_catch_up_has_its_control_event() -> None:
    """Section 5.8: a control event after every data event, upToDate with the last alone."""
    desk = Desk(max_read_bytes=10)
    desk.text_stream("a", "0123456789" * 3 + "end")
    live = desk.connect("a?offset=-1&live=sse")
    assert [kind for kind, _ in live.events] == ["data", "control"] * 4
    assert [control.get("upToDate") for control in live.controls] == [None, None, None, True]
    assert [int(control["streamNextOffset"][-16:]) for control in live.controls] == [10, 20, 30, 33]
    desk.stop()


def test_a_message_larger_than_a_page_comes_whole() -> None:
    """Section 9.1.1, over SSE."""
    desk = Desk(max_read_bytes=10)
    desk.json_stream("a", '[1,"a message that is larger than a page",2]')
    live = desk.connect("a?offset=-1&live=sse")
    assert [number for data in live.data for number in json.loads(data)] == [
        1,
        "a message that is larger than a page",
        2,
    ]
    desk.stop()


def test_pages_end_between_characters() -> None:
    """Text is cut where a character ends, so every event is text by itself."""
    desk = Desk(max_read_bytes=10)
    text = "a€" * 20
    desk.text_stream("a", text)
    live = desk.connect("a?offset=-1&live=sse")
    assert "".join(live.data) == text
    assert "\ufffd" not in live.received.decode()
    desk.stop()


def test_a_page_smaller_than_a_character_goes_on() -> None:
    """No size of a page makes a reader stand still."""
    desk = Desk(max_read_bytes=2)
    desk.text_stream("a", "€uro")
    live = desk.connect("a?offset=-1&live=sse")
    assert live.controls[-1]["upToDate"] is True
    desk.stop()


def test_pages_of_bytes_decode_one_by_one() -> None:
    """Section 5.8: base64 of one event never needs the next one."""
    desk = Desk(max_read_bytes=10)
    data = bytes(range(256))
    desk.put("a", data)
    live = desk.connect("a?offset=-1&live=sse")
    assert len(live.data) == 26
    assert b"".join(base64.b64decode(part, validate=True) for part in live.data) == data
    desk.stop()


def test_text_that_is_no_utf8_still_arrives(desk: Desk) -> None:
    """A stream of text/plain may hold any bytes; they are sent as they are, and never stop the reader."""
    desk.text_stream("a", b"\xff\x80x\xe2\x28y\xf0\x90")
    live = desk.connect("a?offset=-1&live=sse")
    assert b"data:\xff\x80x\xe2\x28y\n" in live.received
    desk.say("a", b"\x80\x80!")
    desk.turn()
    assert live.data[-1] == b"\xf0\x90\x80\x80!".decode()


# --- waiting


def test_readers_who_wait_cost_no_reads(slow: Desk) -> None:
    """A reader in step is woken by a change, never by a clock that looks whether there is one."""
    slow.json_stream("a", "[1]")
    live = slow.connect("a?offset=-1&live=sse")
    poll = slow.waiting("GET", "a?offset=now&live=long-poll")
    slow.turn()
    reads_of(slow).hold = True
    slow.clock.pump([0.1] * 200)
    assert reads_of(slow).answer_reads() == 0
    slow.post("a", "2", Content_Type="application/json")
    settle(slow)
    assert (live.data, poll.answer.json) == (["[1]", "[2]"], [2])


# --- back-pressure


def test_a_full_connection_is_sent_one_page_and_no_more() -> None:
    """Whatever the stream has: what waits for a slow reader is bounded by a page."""
    desk = Desk(max_read_bytes=10)
    desk.text_stream("a", "0123456789" * 100)
    live = desk.connect("a?offset=-1&live=sse", full_after=1)
    assert len(live.frames) == 1
    desk.say("a", "more")
    desk.turn()
    desk.clock.advance(20)
    assert len(live.frames) == 1
    live.drain()
    assert "".join(live.data) == "0123456789" * 100 + "more"
    desk.stop()


def test_a_connection_may_be_full_before_it_begins(desk: Desk) -> None:
    """Pipelined behind an answer that is not read yet, a reader waits for its turn."""
    desk.text_stream("a", "data")
    body = desk.get("a?offset=-1&live=sse").body
    assert not isinstance(body, bytes)
    body.pause()
    live = Connection(body)
    assert live.frames == []
    live.drain()
    assert live.data == ["data"]


def test_a_pause_during_a_read_holds_what_was_read_back(slow: Desk) -> None:
    """Nothing is sent to a connection that has become full meanwhile; after it has drained nothing is missing."""
    slow.text_stream("a", "one ")
    reads_of(slow).hold = True
    answer = connect_slowly(slow, "a?offset=-1&live=sse")
    reads_of(slow).answer_reads()
    live = connected(answer)
    slow.say("a", "two ")
    slow.turn()
    live.pause()
    settle(slow)
    assert live.data == ["one "]
    slow.say("a", "three")
    live.drain()
    settle(slow)
    assert "".join(live.data) == "one two three"


def test_a_paused_reader_still_ends_in_time(desk: Desk) -> None:
    """Section 10.2: the end is queued behind what was sent; a comment is not."""
    desk.text_stream("a", "data")
    live = desk.connect("a?offset=-1&live=sse", full_after=1)
    desk.clock.pump([1] * 61)
    assert live.finished
    assert b"keep-alive" not in live.received
    assert desk.is_quiet()


class Multiplexed(Connection):
    """Two responses share a connection, as in HTTP/2: what one is sent may make the other one pause, or end."""

    def __init__(self, desk: Desk, path: str) -> None:
        self.neighbours: list[Connection] = []
        body = desk.get(path).body
        assert not isinstance(body, bytes)
        super().__init__(body)

    def send(self, frame: Frame) -> None:
        super().send(frame)
        for neighbour in self.neighbours:
            neighbour.pause()


def test_a_neighbour_that_pauses_during_a_delivery_loses_nothing(desk: Desk) -> None:
    """It has not been sent the frame, so it is not where the others are."""
    desk.json_stream("a")
    first = Multiplexed(desk, "a?offset=now&live=sse")
    second = desk.connect("a?offset=now&live=sse")
    desk.turn()
    first.neighbours.append(second)
    desk.post("a", "1", Content_Type="application/json")
    desk.turn()
    assert (first.data, second.data) == (["[1]"], [])
    second.drain()
    assert second.data == ["[1]"]


# --- age and silence


def test_a_connection_that_ends_may_begin_the_next_one(desk: Desk) -> None:
    """A pipelined request begins while the one before it ends; the clockwork goes on, once."""
    desk.text_stream("a")
    follow_ups: list[Connection] = []

    class Pipelined(Connection):
        def finish(self) -> None:
            super().finish()
            follow_ups.append(desk.connect("a?offset=now&live=sse"))

    body = desk.get("a?offset=now&live=sse").body
    assert not isinstance(body, bytes)
    Pipelined(body)
    desk.clock.pump([1] * 61)
    assert len(follow_ups) == 1
    desk.clock.pump([1] * 62)
    assert follow_ups[0].finished
    assert follow_ups[0].received.count(b"keep-alive") == 3
    assert desk.is_quiet()


def test_ages_are_counted_from_each_beginning(desk: Desk) -> None:
    """One timer serves all, and each connection has its own minute."""
    desk.text_stream("a")
    first = desk.connect("a?offset=now&live=sse")
    desk.clock.pump([1] * 30)
    second = desk.connect("a?offset=now&live=sse")
    desk.clock.pump([1] * 31)
    assert (first.finished, second.finished) == (True, False)
    desk.clock.pump([1] * 30)
    assert second.finished


def test_a_reader_goes_on_where_its_last_connection_ended(desk: Desk) -> None:
    """Section 5.8: reconnecting with streamNextOffset and streamCursor, nothing is lost and nothing comes twice."""
    desk.text_stream("a", "one ")
    read, offset, cursor = "", "-1", ""
    for word in ("two ", "three ", "four"):
        live = desk.connect(f"a?offset={offset}&live=sse{cursor}")
        desk.clock.pump([1] * 61)
        desk.say("a", word)
        assert live.finished
        read += "".join(live.data)
        offset, echoed = live.controls[-1]["streamNextOffset"], live.controls[-1]["streamCursor"]
        cursor = f"&cursor={echoed}"
    read += "".join(desk.connect(f"a?offset={offset}&live=sse{cursor}").data)
    assert read == "one two three four"


def test_readers_ahead_of_time_share_their_frames_too(desk: Desk) -> None:
    """Section 10.1: after reconnecting, most cursors are ahead; the data are encoded once all the same."""
    desk.text_stream("a")
    now = int(desk.connect("a?offset=now&live=sse").controls[0]["streamCursor"])
    ahead = [desk.connect(f"a?offset=now&live=sse&cursor={now + 1000}") for _ in range(400)]
    desk.say("a", "x")
    desk.turn()
    assert all(int(live.controls[-1]["streamCursor"]) > now + 1000 for live in ahead)
    assert len({live.frames[-1] for live in ahead}) <= 180


# --- stopping


def test_a_service_that_drains_ends_its_readers_and_keeps_nobody_waiting(desk: Desk) -> None:
    """Readers of now get their end, those to come what is there and their end; appends go on."""
    desk.text_stream("a", "old")
    live = desk.connect("a?offset=now&live=sse")
    poll = desk.waiting("GET", "a?offset=now&live=long-poll")
    desk.service.drain()
    assert live.finished
    assert (poll.answer.status, poll.answer.up_to_date) == (204, True)
    late = desk.connect("a?offset=-1&live=sse")
    assert (late.data, late.finished) == (["old"], True)
    assert desk.get("a?offset=now&live=long-poll").status == 204
    assert desk.say("a", "new").status == 204
    assert desk.is_quiet()


@pytest.mark.parametrize("number", [1, 1000])
def test_nothing_is_left_of_readers_that_left(desk: Desk, number: int) -> None:
    """No subscription, no feed, no timer, whatever they were doing when they left."""
    desk.text_stream("a", "data")
    live = [desk.connect("a?offset=-1&live=sse", full_after=index % 3 or None) for index in range(number)]
    desk.say("a", "x")
    for reader in live:
        reader.disconnect()
    assert desk.is_quiet()
    assert desk.service.live_reads == set()
    desk.turn()
