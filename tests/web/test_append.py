"""POST: appending and closing over HTTP."""

from __future__ import annotations

import pytest

from tests.web.desk import Desk


def test_an_append_is_answered_with_the_new_tail(desk: Desk) -> None:
    """Section 5.2: 204 and Stream-Next-Offset."""
    desk.text_stream("a")
    answer = desk.say("a", "hello")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.offset == "0000000000000000_0000000000000005"


def test_refusals_come_in_the_documented_order(desk: Desk) -> None:
    """Section 5.2, Error Precedence: closed, then content type, then Stream-Seq."""
    desk.text_stream("a")
    desk.say("a", "x", Stream_Seq="5")
    wrong = desk.post("a", "x", Content_Type="text/html", Stream_Seq="1")
    assert wrong.json["code"] == "CONTENT_TYPE_MISMATCH"
    assert desk.say("a", "x", Stream_Seq="5").json["code"] == "STREAM_SEQ_REGRESSION"
    desk.post("a", Stream_Closed="true")
    closed = desk.post("a", "x", Content_Type="text/html", Stream_Seq="1")
    assert (closed.status, closed.json["code"], closed.closed) == (409, "STREAM_CLOSED", True)
    assert closed.offset == "0000000000000000_0000000000000001"


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({}, "Content-Type"),
        ({"Content_Type": "text"}, "Content-Type"),
        ({"Content_Type": "text/plain", "Producer_Id": "p"}, "Producer-Epoch"),
        ({"Content_Type": "text/plain", "Producer_Id": "", "Producer_Epoch": "0", "Producer_Seq": "0"}, "Producer-Id"),
        ({"Content_Type": "text/plain", "Producer_Id": "p", "Producer_Epoch": "0"}, "Producer-Seq"),
        (
            {"Content_Type": "text/plain", "Producer_Id": "p", "Producer_Epoch": "1.0", "Producer_Seq": "0"},
            "Producer-Epoch",
        ),
        (
            {"Content_Type": "text/plain", "Producer_Id": "p", "Producer_Epoch": "0", "Producer_Seq": "-1"},
            "Producer-Seq",
        ),
        (
            {
                "Content_Type": "text/plain",
                "Producer_Id": "p",
                "Producer_Epoch": "0",
                "Producer_Seq": "9007199254740992",
            },
            "Producer-Seq",
        ),
        (
            {"Content_Type": "text/plain", "Producer_Id": "p" * 257, "Producer_Epoch": "0", "Producer_Seq": "0"},
            "Producer-Id",
        ),
        ({"Content_Type": "text/plain", "Stream_Seq": ""}, "Stream-Seq"),
        ({"Content_Type": "text/plain", "Stream_Seq": "s" * 257}, "Stream-Seq"),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_appended(desk: Desk, headers: dict[str, str], field: str) -> None:
    """Sections 5.2 and 5.2.1: 400, and the stream is as it was."""
    desk.text_stream("a")
    answer = desk.post("a", "x", **headers)
    assert (answer.status, answer.json["field"]) == (400, field)
    assert desk.get("a").body == b""


def test_names_and_sequences_may_be_as_long_as_documented(desk: Desk) -> None:
    """Sections 5.2 and 5.2.1: 256 bytes, any bytes, in their byte order."""
    desk.text_stream("a")
    claim = {"Producer_Id": "p" * 256, "Producer_Epoch": "9007199254740991", "Producer_Seq": "0"}
    assert desk.say("a", "1", Stream_Seq="s" * 256, **claim).status == 200
    assert desk.say("a", "2", Stream_Seq="s" * 255 + "\xff").status == 204
    assert desk.say("a", "3", Stream_Seq="s" * 255 + "\xfe").json["code"] == "STREAM_SEQ_REGRESSION"
    assert desk.get("a").text == "12"


BAD_JSON = [
    b"{",
    b"[1,]",
    b'{"a":NaN}',
    b"Infinity",
    b"01",
    b"\xef\xbb\xbf1",
    b'"\xff"',
    b'"\x01"',
    b"\x1e1",
    b"1 2",
    b"[" * 20_000 + b"]" * 20_000,
    b"'a'",
    b"  ",
]


@pytest.mark.parametrize("body", BAD_JSON, ids=range(len(BAD_JSON)))
def test_what_is_no_json_is_refused_whole(desk: Desk, body: bytes) -> None:
    """Section 9.1.4: 400 that says what is wrong; no message of the batch is kept."""
    desk.json_stream("a")
    answer = desk.post("a", body, Content_Type="application/json")
    assert (answer.status, answer.json["code"]) == (400, "INVALID_JSON")
    assert desk.get("a").json == []


def test_the_bytes_of_messages_are_kept_exactly(desk: Desk) -> None:
    """Section 9.1: numbers, escapes and key order come back as they were written."""
    desk.json_stream("a")
    body = b'[ 1.0 , 1e2,{"b":1,"a":"\\u00e9"} ,"\\ud83d", 10000000000000000000001 ]'
    assert desk.post("a", body, Content_Type="application/json").status == 204
    assert desk.get("a").body == b'[1.0,1e2,{"b":1,"a":"\\u00e9"},"\\ud83d",10000000000000000000001]'


def test_an_empty_body_must_close(desk: Desk) -> None:
    """Section 5.2: 400 without Stream-Closed; with it, whatever the Content-Type says."""
    desk.text_stream("a")
    assert desk.say("a", "").json["code"] == "EMPTY_APPEND"
    closed = desk.post("a", Content_Type="image/png", Stream_Closed="true")
    assert (closed.status, closed.closed) == (204, True)
    assert desk.post("a", Stream_Closed="true").status == 204


@pytest.mark.parametrize("value", ["false", "yes", "1", "", "true,true"])
def test_an_append_closes_only_by_true(desk: Desk, value: str) -> None:
    """Section 4.1: other values are as good as no header: the append goes on, and an empty one is still refused."""
    desk.text_stream("a")
    assert desk.say("a", "data", Stream_Closed=value).closed is False
    assert desk.post("a", Stream_Closed=value).json["code"] == "EMPTY_APPEND"
    assert desk.say("a", "more", Stream_Closed="TrUe").closed


@pytest.mark.parametrize("content_type", ["image/png", "nonsense", ""])
def test_a_close_alone_has_no_content_type_to_look_at(desk: Desk, content_type: str) -> None:
    """Section 5.2: without a body it MUST NOT be a reason for a refusal, whatever a client attaches."""
    desk.text_stream("a", "data")
    answer = desk.post("a", Content_Type=content_type, Stream_Closed="true")
    assert (answer.status, answer.closed) == (204, True)
    assert answer.offset == "0000000000000000_0000000000000004"


def test_the_last_append_and_the_close_are_one_request(desk: Desk) -> None:
    """Section 5.2: once. Again it is a conflict that tells the end, for its body cannot be appended."""
    desk.text_stream("a")
    first = desk.say("a", "end", Stream_Closed="true")
    again = desk.say("a", "end", Stream_Closed="true")
    assert (first.status, first.closed, first.offset) == (204, True, "0000000000000000_0000000000000003")
    assert (again.status, again.closed, again.offset) == (409, True, first.offset)
    assert (desk.get("a").text, desk.get("a").closed) == ("end", True)


@pytest.mark.parametrize("body", ["end", ""])
def test_a_producer_that_repeats_its_close_is_told_so(desk: Desk, body: str) -> None:
    """Section 5.2.1: the closing batch again is 204 with Stream-Closed; every other one is 409 with it."""
    desk.text_stream("a")

    def close(producer: str, seq: str) -> tuple[int, bool]:
        claim = {"Producer_Id": producer, "Producer_Epoch": "0", "Producer_Seq": seq}
        answer = desk.say("a", body, Stream_Closed="true", **claim)
        return answer.status, answer.closed

    assert close("p", "0") == ((200 if body else 204), True)
    assert close("p", "0") == (204, True)
    assert close("p", "1") == close("q", "0") == (409, True)
    assert desk.get("a").text == body


def test_producers_are_told_what_the_stream_knows(desk: Desk) -> None:
    """Section 5.2.1: 200 for new data, 204 for a duplicate, 403 and 409 with the numbers."""
    desk.text_stream("a")

    def produce(epoch: int, seq: int) -> tuple[int, dict[str, str]]:
        answer = desk.say("a", "x", Producer_Id="p", Producer_Epoch=str(epoch), Producer_Seq=str(seq))
        return answer.status, {name: value for name, value in answer.headers.items() if name.startswith("producer")}

    assert produce(1, 0) == (200, {"producer-epoch": "1", "producer-seq": "0"})
    assert produce(1, 1) == (200, {"producer-epoch": "1", "producer-seq": "1"})
    assert produce(1, 0) == (204, {"producer-epoch": "1", "producer-seq": "1"})
    assert produce(1, 3) == (409, {"producer-expected-seq": "2", "producer-received-seq": "3"})
    assert produce(0, 9) == (403, {"producer-epoch": "1"})
    assert produce(2, 1)[0] == 400
    assert desk.get("a").text == "xx"


def test_an_append_on_condition(desk: Desk) -> None:
    """If-Match names a state by the tag of HEAD, of a read that came to the tail, or of the append before."""
    desk.text_stream("a", "data")
    read, known = desk.get("a").headers["etag"], desk.ask("HEAD", "a").headers["etag"]
    first = desk.say("a", "1", If_Match=read)
    assert (first.status, first.headers["etag"]) == (204, desk.ask("HEAD", "a").headers["etag"])
    late = desk.say("a", "2", If_Match=known)
    assert (late.status, late.headers["etag"]) == (412, first.headers["etag"])
    assert desk.say("a", "2", If_Match=first.headers["etag"]).status == 204
    assert desk.say("a", "3", If_Match="*").status == 204
    assert desk.say("a", "4", If_Match=f"W/{known}").status == 412
    assert desk.post("a", If_Match=known, Stream_Closed="true").status == 412
    assert "etag" not in desk.say("a", "5").headers
    assert desk.get("a").text == "data1235"
