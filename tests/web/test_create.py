"""PUT: creating streams and forks over HTTP."""

from __future__ import annotations

import pytest

from tests.web.desk import ROOT, Desk


def test_the_answer_describes_the_stream_and_where_it_is(desk: Desk) -> None:
    """Section 5.1: 201, Location, Content-Type, Stream-Next-Offset."""
    answer = desk.text_stream("a", "hello")
    assert answer.status == 201
    assert answer.headers["location"] == f"http://streams.example{ROOT}a"
    assert answer.headers["content-type"] == "text/plain"
    assert answer.offset == "0000000000000000_0000000000000005"
    assert not answer.closed


def test_a_closed_creation_says_so(desk: Desk) -> None:
    """Section 5.1: Stream-Closed on 201 and on 200."""
    assert desk.text_stream("a", "done", Stream_Closed="TRUE").closed
    again = desk.text_stream("a", Stream_Closed="true")
    assert (again.status, again.closed) == (200, True)
    assert "location" not in again.headers


@pytest.mark.parametrize("value", ["false", "yes", "1", ""])
def test_stream_closed_means_true_and_nothing_else(desk: Desk, value: str) -> None:
    """Section 4.1: other values are as good as absent, and no error."""
    answer = desk.text_stream("a", Stream_Closed=value)
    assert (answer.status, answer.closed) == (201, False)


BAD_FIELDS = (
    [
        ({"Stream_TTL": value}, "Stream-TTL")
        for value in ("", "-1", "+1", "01", "1.0", "1e3", " ", "\xb2", "9007199254740992", "9" * 40)
    ]
    + [
        ({"Stream_Expires_At": value}, "Stream-Expires-At")
        for value in (
            "",
            "tomorrow",
            "2030-01-01",
            "2030-01-01T00:00:00",
            "20300101T000000Z",
            "2030-W01-1T00:00:00Z",
            "2030-02-30T00:00:00Z",
            "2030-01-01T24:00:00Z",
            "2030-01-01T00:00:00+25:00",
            "1893456000",
        )
    ]
    + [
        ({"Stream_TTL": "60", "Stream_Expires_At": "2030-01-01T00:00:00Z"}, "Stream-Expires-At"),
        ({"Content_Type": "nonsense"}, "Content-Type"),
        ({"Content_Type": "text/plain; =x"}, "Content-Type"),
        ({"Stream_Fork_Offset": "-1"}, "Stream-Fork-Offset"),
        ({"Stream_Fork_Sub_Offset": "0"}, "Stream-Fork-Sub-Offset"),
        ({"Stream_Forked_From": "/elsewhere/a"}, "Stream-Forked-From"),
        ({"Stream_Forked_From": ROOT + "source", "Stream_Fork_Offset": "now"}, "Stream-Fork-Offset"),
        ({"Stream_Forked_From": ROOT + "source", "Stream_Fork_Offset": "7"}, "Stream-Fork-Offset"),
        ({"Stream_Forked_From": ROOT + "source", "Stream_Fork_Sub_Offset": "-1"}, "Stream-Fork-Sub-Offset"),
        ({"Stream_Forked_From": ROOT + "source", "Stream_Fork_Sub_Offset": ""}, "Stream-Fork-Sub-Offset"),
    ]
)


@pytest.mark.parametrize(("headers", "field"), BAD_FIELDS)
def test_a_bad_field_is_named_and_nothing_is_created(desk: Desk, headers: dict[str, str], field: str) -> None:
    """Section 5.1: 400; the problem tells which field is at fault."""
    desk.put("source", "data")
    answer = desk.put("a", **headers)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["field"] == field
    assert desk.get("a").status == 404


def test_a_body_that_is_no_json_creates_nothing(desk: Desk) -> None:
    """Section 9.1.4."""
    assert desk.json_stream("a", "{broken").json["code"] == "INVALID_JSON"
    assert desk.get("a").status == 404
    assert desk.json_stream("a", "[]").status == 201
    assert desk.get("a").json == []


def test_a_conflict_names_what_differs(desk: Desk) -> None:
    """Section 5.1: 409 with another configuration."""
    desk.text_stream("a", Stream_TTL="60")
    answer = desk.text_stream("a", Stream_TTL="61")
    assert (answer.status, answer.json["code"], answer.json["field"]) == (409, "STREAM_CONFLICT", "Stream-TTL")


def test_fork_refusals(desk: Desk) -> None:
    """Section 4.2: the table of fork errors."""
    desk.text_stream("source", "abc")
    desk.text_stream("gone")
    desk.put("keeper", Stream_Forked_From=ROOT + "gone")
    desk.ask("DELETE", "gone")
    far = "0000000000000000_0000000000000009"

    def status(**headers: str) -> int:
        return desk.put("f", **headers).status

    assert status(Stream_Forked_From=ROOT + "none") == 404
    assert status(Stream_Forked_From=ROOT + "source", Stream_Fork_Offset=far) == 400
    assert status(Stream_Forked_From=ROOT + "source", Stream_Fork_Sub_Offset="1") == 400
    assert status(Stream_Forked_From=ROOT + "source", Content_Type="text/html") == 409
    assert status(Stream_Forked_From=ROOT + "gone") == 409
    assert desk.get("f").status == 404


def test_a_sub_offset_counts_messages_of_json(desk: Desk) -> None:
    """Section 4.2: Stream-Fork-Sub-Offset."""
    desk.json_stream("source", '[{"n":1}, {"n":2}, {"n":3}]')
    fork = {"Stream_Forked_From": ROOT + "source", "Stream_Fork_Offset": "-1"}
    assert desk.put("f", Stream_Fork_Sub_Offset="2", **fork).status == 201
    assert desk.get("f").json == [{"n": 1}, {"n": 2}]
    assert desk.put("g", Stream_Fork_Sub_Offset="4", **fork).status == 400


SOURCES = [{}, {"Stream_TTL": "50"}, {"Stream_Expires_At": "2030-01-31T12:00:00.000Z"}]
WISHES = [{}, {"Stream_TTL": "90"}, {"Stream_Expires_At": "2031-01-31T12:00:00.000Z"}]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("wish", WISHES)
def test_a_fork_lives_as_the_table_says(desk: Desk, source: dict[str, str], wish: dict[str, str]) -> None:
    """Section 4.2: what the request says, or else what the source has."""
    desk.text_stream("source", **source)
    desk.put("fork", Stream_Forked_From=ROOT + "source", **wish)
    fields = {"Stream_TTL": "stream-ttl", "Stream_Expires_At": "stream-expires-at"}
    expected = {fields[name]: value for name, value in (wish or source).items()}
    told = desk.ask("HEAD", "fork").headers
    assert {name: told[name] for name in fields.values() if name in told} == expected


def test_a_fork_may_be_asked_for_again(desk: Desk) -> None:
    """Section 4.2, Idempotent fork creation: the same is 200, anything else 409; the body is not appended again."""
    desk.text_stream("source", "abcdef")
    offset = "0000000000000000_0000000000000002"
    fork = {"Stream_Forked_From": ROOT + "source", "Stream_Fork_Offset": offset}
    assert desk.put("f", "own", **fork).status == 201
    again = desk.put("f", "own", **fork)
    assert (again.status, again.offset, "location" in again.headers) == (
        200,
        "0000000000000000_0000000000000005",
        False,
    )
    assert desk.put("f", Content_Type="text/plain", **fork).status == 200
    assert desk.put("f", Stream_Fork_Sub_Offset="0", **fork).status == 200
    assert desk.get("f").text == "abown"
    others: list[dict[str, str]] = [
        {**fork, "Stream_Fork_Sub_Offset": "1"},
        {**fork, "Stream_Fork_Offset": "-1"},
        {**fork, "Stream_TTL": "60"},
        {**fork, "Stream_Closed": "true"},
        {**fork, "Content_Type": "text/html"},
        {"Stream_Forked_From": ROOT + "f"},
        {"Content_Type": "text/plain"},
    ]
    for other in others:
        assert desk.put("f", **other).status == 409, other


def test_forks_do_not_show(desk: Desk) -> None:
    """Section 4.2: no answer tells that a stream is a fork."""
    desk.text_stream("source", "data")
    answers = [desk.put("f", Stream_Forked_From=ROOT + "source"), desk.get("f"), desk.ask("HEAD", "f")]
    assert not any("fork" in name for answer in answers for name in answer.headers)


def test_a_deleted_source_is_freed_by_its_last_fork(desk: Desk) -> None:
    """Section 4.2: 410 while forks need it, its path taken; 404 and free when the last one is gone."""
    desk.text_stream("a", "data")
    desk.put("b", Stream_Forked_From=ROOT + "a")
    desk.put("c", Stream_Forked_From=ROOT + "b")
    assert [desk.ask("DELETE", path).status for path in ("a", "b", "a")] == [204, 204, 410]
    assert desk.get("c").text == "data"
    assert desk.text_stream("a").status == 409
    assert desk.ask("DELETE", "c").status == 204
    assert [desk.get(path).status for path in "abc"] == [404] * 3
    assert desk.text_stream("a").status == 201


def test_a_source_is_named_as_its_url_spells_it(desk: Desk) -> None:
    """Section 4.2: the path component, in any spelling that RFC 3986 calls equal."""
    desk.text_stream("caf%C3%A9/%7Ea", "data")
    assert desk.put("f", Stream_Forked_From=ROOT + "caf%c3%a9/~a").status == 201
    assert desk.put("g", Stream_Forked_From=ROOT + "caf\u00c3\u00a9/~a").status == 201
    assert desk.get("g").text == "data"


PATHS = [
    "a/b",
    "a%2Fb",
    "a//b",
    "a/",
    "%2e%2e/x",
    "../x",
    "a b".replace(" ", "%20"),
    "caf%C3%A9",
    "%FF%FE",
    "x" * 4000,
    "a;b=c",
]


def test_every_name_is_a_stream_of_its_own(desk: Desk) -> None:
    """Stream URLs are opaque: no spelling is folded into another one, but those that RFC 3986 calls equal."""
    for number, path in enumerate(PATHS):
        expected = 200 if path == "../x" else 201
        assert desk.put(path, str(number)).status == expected, path
    for number, path in enumerate(PATHS):
        assert desk.get(path).text == ("4" if path == "../x" else str(number))
    assert desk.get("caf\xe9".encode().decode("latin-1")).text == desk.get("caf%c3%a9").text


@pytest.mark.parametrize("path", ["", "__ds", "__ds/x", "%5F%5fds/x"])
@pytest.mark.parametrize("method", ["PUT", "POST", "GET", "HEAD", "DELETE"])
def test_reserved_names_are_no_streams(desk: Desk, path: str, method: str) -> None:
    """Section 6: the first segment __ds is reserved, in every spelling."""
    assert desk.ask(method, path, "x", Content_Type="text/plain").status == 404
