"""Refusals: what a client is told, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from durable_streams.errors import StorageFailed, StorageUnavailable, StreamError
from durable_streams.web.limits import Limits
from tests.web.desk import ROOT, Answer, Desk
from tests.web.refusing_storage import RefusingStorage
from tests.web.slow_storage import BrokenReads

TEXT = {"Content_Type": "text/plain"}
SOURCE = {"Stream_Forked_From": ROOT + "text"}


@pytest.fixture
def furnished(desk: Desk) -> Desk:
    """Streams of each kind: text, JSON, closed, soft-deleted, and one with a producer at epoch 3."""
    desk.text_stream("text", "data", Stream_TTL="60")
    desk.say("text", "x", Stream_Seq="m")
    desk.json_stream("json", "[1,2]")
    desk.text_stream("closed", "data", Stream_Closed="true")
    desk.text_stream("gone", "data")
    desk.put("heir", Stream_Forked_From=ROOT + "gone")
    desk.ask("DELETE", "gone")
    desk.text_stream("produced")
    desk.say("produced", "x", Producer_Id="p", Producer_Epoch="3", Producer_Seq="0")
    return desk


def producer(epoch: str, seq: str) -> dict[str, str]:
    return {**TEXT, "Producer_Id": "p", "Producer_Epoch": epoch, "Producer_Seq": seq}


REFUSALS: list[tuple[str, str, bytes, dict[str, str], int, str, str | None]] = [
    ("GET", "none", b"", {}, 404, "STREAM_NOT_FOUND", None),
    ("HEAD", "none", b"", {}, 404, "", None),
    ("POST", "none", b"x", TEXT, 404, "STREAM_NOT_FOUND", None),
    ("POST", "none", b"", {"Stream_Closed": "true"}, 404, "STREAM_NOT_FOUND", None),
    ("DELETE", "none", b"", {}, 404, "STREAM_NOT_FOUND", None),
    ("GET", "gone", b"", {}, 410, "STREAM_GONE", None),
    ("HEAD", "gone", b"", {}, 410, "", None),
    ("POST", "gone", b"x", TEXT, 410, "STREAM_GONE", None),
    ("DELETE", "gone", b"", {}, 410, "STREAM_GONE", None),
    ("GET", "gone?offset=now&live=long-poll", b"", {}, 410, "STREAM_GONE", None),
    ("GET", "gone?offset=-1&live=sse", b"", {}, 410, "STREAM_GONE", None),
    ("PUT", "gone", b"", TEXT, 409, "STREAM_SOFT_DELETED", None),
    ("PUT", "text", b"", {**TEXT, "Stream_TTL": "61"}, 409, "STREAM_CONFLICT", "Stream-TTL"),
    ("PUT", "json", b"", TEXT, 409, "STREAM_CONFLICT", "Content-Type"),
    ("PUT", "closed", b"", TEXT, 409, "STREAM_CONFLICT", "Stream-Closed"),
    ("PUT", "heir", b"", SOURCE, 409, "STREAM_CONFLICT", "Stream-Forked-From"),
    ("POST", "closed", b"x", {"Content_Type": "image/png"}, 409, "STREAM_CLOSED", None),
    ("POST", "text", b"x", {"Content_Type": "image/png"}, 409, "CONTENT_TYPE_MISMATCH", "Content-Type"),
    ("POST", "text", b"x", {**TEXT, "Stream_Seq": "a"}, 409, "STREAM_SEQ_REGRESSION", "Stream-Seq"),
    ("POST", "text", b"", TEXT, 400, "EMPTY_APPEND", None),
    ("POST", "json", b"[]", {"Content_Type": "application/json"}, 400, "EMPTY_APPEND", None),
    ("POST", "json", b"{", {"Content_Type": "application/json"}, 400, "INVALID_JSON", None),
    ("POST", "produced", b"x", producer("2", "0"), 403, "PRODUCER_FENCED", "Producer-Epoch"),
    ("POST", "produced", b"x", producer("3", "2"), 409, "PRODUCER_SEQUENCE_GAP", "Producer-Seq"),
    ("POST", "produced", b"x", producer("4", "1"), 400, "INVALID_REQUEST", "Producer-Seq"),
    ("GET", "text?offset=0000000000000000_0000000000000009", b"", {}, 400, "INVALID_REQUEST", "offset"),
    ("GET", "json?offset=0000000000000000_0000000000000001", b"", {}, 400, "INVALID_REQUEST", "offset"),
    ("POST", "text", b"x", {**TEXT, "Content_Encoding": "br"}, 415, "ENCODED_BODY", "Content-Encoding"),
    ("POST", "text", b"x", {**TEXT, "Content_Encoding": "gzip"}, 400, "INVALID_REQUEST", "Content-Encoding"),
    ("POST", "text", b"x", {**TEXT, "If_Match": '"1:0:0"'}, 412, "PRECONDITION_FAILED", "If-Match"),
    ("POST", "text", b"x", {**TEXT, "If_Match": "x"}, 400, "INVALID_REQUEST", "If-Match"),
    ("POST", "none", b"x", {**TEXT, "If_Match": "*"}, 404, "STREAM_NOT_FOUND", None),
    ("GET", "text?tail=1", b"", {}, 400, "INVALID_REQUEST", "tail"),
    ("GET", "json?tail=x", b"", {}, 400, "INVALID_REQUEST", "tail"),
    ("GET", "json?tail=-1", b"", {}, 400, "INVALID_REQUEST", "tail"),
    ("GET", "json?tail=10001", b"", {}, 400, "INVALID_REQUEST", "tail"),
    ("GET", "json?tail=1&offset=-1", b"", {}, 400, "INVALID_REQUEST", "tail"),
    ("GET", "none?tail=1", b"", {}, 404, "STREAM_NOT_FOUND", None),
    ("PUT", "new", b"x", {**TEXT, "Content_Encoding": "br"}, 415, "ENCODED_BODY", "Content-Encoding"),
    ("PUT", "new", b"", {"Stream_Forked_From": ROOT + "none"}, 404, "STREAM_NOT_FOUND", None),
    ("PUT", "new", b"", {"Stream_Forked_From": ROOT + "gone"}, 409, "FORK_SOURCE_GONE", "Stream-Forked-From"),
    ("PUT", "new", b"", {**SOURCE, "Content_Type": "image/png"}, 409, "CONTENT_TYPE_MISMATCH", "Content-Type"),
    (
        "PUT",
        "new",
        b"",
        {**SOURCE, "Stream_Fork_Offset": "0000000000000000_0000000000000009"},
        400,
        "INVALID_REQUEST",
        "Stream-Fork-Offset",
    ),
    ("PUT", "new", b"", {**SOURCE, "Stream_Fork_Offset": "x"}, 400, "INVALID_REQUEST", "Stream-Fork-Offset"),
    (
        "PUT",
        "new",
        b"",
        {"Stream_Forked_From": ROOT + "json", "Stream_Fork_Offset": "0000000000000000_0000000000000001"},
        400,
        "INVALID_REQUEST",
        "Stream-Fork-Offset",
    ),
    ("PUT", "new", b"", {**SOURCE, "Stream_Fork_Sub_Offset": "1"}, 400, "INVALID_REQUEST", "Stream-Fork-Sub-Offset"),
    ("PATCH", "text", b"", {}, 405, "METHOD_NOT_ALLOWED", None),
    ("get", "text", b"", {}, 405, "METHOD_NOT_ALLOWED", None),
]


@pytest.mark.parametrize(("method", "path", "body", "headers", "status", "code", "field"), REFUSALS)
def test_a_refusal_is_a_problem_that_programs_can_read(
    furnished: Desk,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    status: int,
    code: str,
    field: str | None,
) -> None:
    """Sections 4.2 and 5, RFC 9457: the status, a stable code, a sentence, the field at fault; never to be cached."""
    before = contents(furnished)
    answer = furnished.ask(method, path, body, **headers)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    if method == "HEAD":
        assert answer.body == b""
    else:
        check_problem(answer.json, status, code, field)
    assert contents(furnished) == before
    assert furnished.get("new").status == 404


def check_problem(problem: dict[str, Any], status: int, code: str, field: str | None) -> None:
    assert (problem["status"], problem["code"], problem.get("field")) == (status, code, field)
    assert problem["title"]
    assert problem["detail"].endswith(".")


def contents(desk: Desk) -> list[tuple[str, bool]]:
    answers = [desk.get(path) for path in ("text", "json", "closed", "heir", "produced")]
    return [(answer.text, answer.closed) for answer in answers]


def test_a_refusal_because_of_closure_comes_first(furnished: Desk) -> None:
    """Section 5.2, Error Precedence: then the content type, then Stream-Seq; and a stale producer before closure."""
    everything_wrong = {"Content_Type": "image/png", "Stream_Seq": "a"}
    assert furnished.post("closed", "x", **everything_wrong).json["code"] == "STREAM_CLOSED"
    assert furnished.post("text", "x", **everything_wrong).json["code"] == "CONTENT_TYPE_MISMATCH"
    furnished.post("produced", Stream_Closed="true")
    assert furnished.post("produced", "x", **producer("2", "0")).json["code"] == "PRODUCER_FENCED"


def test_syntax_comes_before_the_state_of_the_stream(furnished: Desk) -> None:
    """What is malformed is so for every stream, the closed and the missing ones too."""
    for path in ("closed", "none", "gone"):
        answer = furnished.post(path, "x", Content_Type="text/plain", Producer_Id="p")
        assert (answer.status, answer.json["field"]) == (400, "Producer-Epoch")
        assert furnished.get(f"{path}?offset=x").status == 400


@pytest.mark.parametrize("method", ["PUT", "POST", "GET", "HEAD", "DELETE"])
@pytest.mark.parametrize(
    ("error", "code", "retry_after"),
    [
        (StorageUnavailable("the journal is full", 7), "UNAVAILABLE", "7"),
        (StorageFailed("the disk has gone"), "STORAGE_FAILED", "60"),
    ],
)
def test_a_storage_that_cannot_is_a_503(method: str, error: StreamError, code: str, retry_after: str) -> None:
    """It says when to try again, and does not tell strangers what the operator must know."""
    desk = Desk(RefusingStorage)
    desk.text_stream("a", "data")
    assert isinstance(desk.storage, RefusingStorage)
    desk.storage.error = error
    answer = desk.ask(method, "a", "x" if method in ("PUT", "POST") else "", **TEXT)
    assert (answer.status, answer.headers["retry-after"]) == (503, retry_after)
    if method != "HEAD":
        assert answer.json["code"] == code
        assert "the disk has gone" not in answer.text
    desk.stop()


def test_an_error_that_nobody_foresaw_is_a_500_without_details() -> None:
    """Its traceback is for the log alone."""
    desk = Desk(BrokenReads)
    desk.text_stream("a", "data")
    assert isinstance(desk.storage, BrokenReads)
    desk.storage.broken = True
    answers: list[Answer] = [desk.get("a"), desk.get("a?offset=-1&live=long-poll"), desk.get("a?offset=-1&live=sse")]
    for answer in answers:
        assert (answer.status, answer.json["code"]) == (500, "INTERNAL_ERROR")
        assert "the disk has gone" not in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"
    desk.stop()


def test_a_body_beyond_the_limit_is_refused_on_every_channel() -> None:
    """Section 5.2: 413; the handlers see to it too, for applications whose own site has no such limit."""
    desk = Desk(limits=Limits(body_bytes=10))
    desk.text_stream("a")
    assert desk.say("a", "x" * 10).status == 204
    assert desk.say("a", "x" * 11).json["code"] == "TOO_LARGE"
    assert desk.get("a").text == "x" * 10
    desk.stop()
