"""Operations on one stream, against the real server without sockets (Sections 5.1 to 5.5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from twisted.internet.defer import Deferred, succeed

from durable_streams.client import (
    Appended,
    BadRequest,
    Conflict,
    Created,
    InvalidArgument,
    PreconditionFailed,
    StreamClosed,
    StreamGone,
    StreamHandle,
    StreamNotFound,
    StreamSeqConflict,
)
from durable_streams.testing import MemoryServer
from tests.client.outcomes import error_of, result_of
from tests.client.scripted_server import ScriptedServer, answer


@pytest.fixture
def stream(server: MemoryServer) -> StreamHandle:
    return server.stream("chat")


class TestCreate:
    def test_a_new_stream_says_so_and_an_existing_one_too(self, stream: StreamHandle) -> None:
        """201 is new, 200 is there already with the same configuration (Section 5.1)."""
        first = result_of(stream.create(content_type="text/plain"))
        assert first == Created(True, first.offset, "text/plain", False)
        assert result_of(stream.create(content_type="text/plain")) == first._replace(is_new=False)

    def test_another_configuration_is_a_conflict(self, stream: StreamHandle) -> None:
        """409, with the server's word for it and the field at fault (RFC 9457)."""
        result_of(stream.create(content_type="text/plain"))
        error = error_of(stream.create(content_type="application/json"), Conflict)
        assert (error.status, error.code, error.problem.field) == (409, "STREAM_CONFLICT", "Content-Type")
        assert error.url == stream.url
        assert "Content-Type" in str(error)

    def test_initial_data_closed_and_ttl(self, stream: StreamHandle) -> None:
        """All of a stream can be there at once (Section 5.1, Stream-Closed)."""
        created = result_of(stream.create(content_type="text/plain", ttl=3600, closed=True, data="all of it"))
        assert created.closed
        metadata = result_of(stream.head())
        assert (metadata.closed, metadata.ttl, metadata.offset) == (True, 3600, created.offset)
        assert result_of(stream.read_text().collect()) == "all of it"

    def test_expiry_as_a_datetime_is_sent_in_utc(self, stream: StreamHandle) -> None:
        """Stream-Expires-At is RFC 3339."""
        moment = datetime(2040, 1, 31, 13, 0, tzinfo=timezone(timedelta(hours=1)))
        result_of(stream.create(expires_at=moment))
        assert result_of(stream.head()).expires_at == "2040-01-31T12:00:00.000Z"

    def test_expiry_without_a_time_zone_is_refused_before_anything_is_sent(self, stream: StreamHandle) -> None:
        """A naive time would mean another one elsewhere."""
        with pytest.raises(InvalidArgument, match="expires_at must have a time zone"):
            stream.create(expires_at=datetime(2040, 1, 31))  # naive on purpose

    def test_what_the_server_finds_malformed_is_a_bad_request(self, stream: StreamHandle) -> None:
        """400 names the header at fault."""
        error = error_of(stream.create(ttl=-1), BadRequest)
        assert (error.code, error.problem.field) == ("INVALID_REQUEST", "Stream-TTL")


class TestFork:
    def test_a_fork_of_a_handle_has_its_content(self, server: MemoryServer, stream: StreamHandle) -> None:
        """Stream-Forked-From is the path of the source's URL (Section 4.2)."""
        result_of(stream.create(content_type="text/plain", data="abc"))
        offset = result_of(stream.head()).offset
        result_of(stream.append("def"))
        fork = server.stream("fork")
        result_of(fork.create(forked_from=stream, fork_offset=offset, fork_sub_offset=2))
        assert result_of(fork.read_text().collect()) == "abcde"
        assert fork.content_type == "text/plain"

    @pytest.mark.parametrize("source", ["http://elsewhere.test/v1/stream/chat", "/v1/stream/chat"])
    def test_the_source_may_be_a_url_or_a_path(self, server: MemoryServer, stream: StreamHandle, source: str) -> None:
        """Both come down to a path on the same server."""
        result_of(stream.create(content_type="text/plain", data="abc"))
        fork = server.stream("fork")
        result_of(fork.create(forked_from=source))
        assert result_of(fork.read_text().collect()) == "abc"

    def test_a_missing_source_is_not_found(self, server: MemoryServer, stream: StreamHandle) -> None:
        """404 (Section 4.2, Fork creation errors)."""
        assert error_of(server.stream("fork").create(forked_from=stream), StreamNotFound).status == 404

    def test_a_deleted_source_is_gone(self, server: MemoryServer, stream: StreamHandle) -> None:
        """A soft-deleted stream answers 410 (Section 4.2)."""
        result_of(stream.create(content_type="text/plain"))
        result_of(server.stream("fork").create(forked_from=stream))
        result_of(stream.delete())
        assert error_of(stream.head(), StreamGone).status == 410


class TestAppend:
    def test_bytes_and_text(self, stream: StreamHandle) -> None:
        """Text is UTF-8; each append tells the tail (Section 5.2)."""
        result_of(stream.create(content_type="text/plain"))
        result_of(stream.append(b"b\xc3\xbc"))
        appended = result_of(stream.append("cher"))
        assert appended == Appended(result_of(stream.head()).offset, False)
        assert result_of(stream.read().collect()) == "bücher".encode()

    def test_json_values(self, stream: StreamHandle) -> None:
        """Every value is one message, an array too (Section 9.1.2)."""
        result_of(stream.create(content_type="application/json"))
        result_of(stream.append_json({"n": 1}, [1, 2]))
        result_of(stream.append('[{"n": 2}, {"n": 3}]'))
        assert result_of(stream.read_json().collect()) == [{"n": 1}, [1, 2], {"n": 2}, {"n": 3}]

    def test_stream_seq_must_grow(self, stream: StreamHandle) -> None:
        """A regression is an error of its own (Section 5.2)."""
        result_of(stream.create(content_type="text/plain"))
        result_of(stream.append("a", stream_seq="2"))
        error = error_of(stream.append("b", stream_seq="1"), StreamSeqConflict)
        assert error.code == "STREAM_SEQ_REGRESSION"

    def test_an_append_may_depend_on_the_state_of_the_stream(self, stream: StreamHandle) -> None:
        """RFC 9110, 13.1.1: who has read the latest appends; the other is told the state, and may try again."""
        result_of(stream.create(content_type="text/plain"))
        read = result_of(stream.head()).etag
        first = result_of(stream.append("a", if_match=read))
        error = error_of(stream.append("b", if_match=read), PreconditionFailed)
        assert (error.status, error.problem.field, error.etag) == (412, "If-Match", first.etag)
        result_of(stream.append("c", if_match=first.etag))
        assert result_of(stream.read_text().collect()) == "ac"
        assert result_of(stream.append("d")).etag is None

    @pytest.mark.parametrize(("count", "expected"), [(0, []), (2, [3, 4]), (9, [1, 2, 3, 4])])
    def test_the_last_messages(self, stream: StreamHandle, count: int, expected: list[int]) -> None:
        """As many as there are, and the offset to go on from."""
        result_of(stream.create(content_type="application/json", data="[1, 2, 3, 4]"))
        reading = stream.read_last(count)
        assert result_of(reading.collect()) == expected
        assert reading.offset == result_of(stream.head()).offset

    def test_only_messages_can_be_counted(self, stream: StreamHandle) -> None:
        """Other streams are 400."""
        result_of(stream.create(content_type="text/plain", data="a"))
        assert error_of(stream.read_last(1).collect(), BadRequest).problem.field == "tail"

    def test_the_content_type_is_learned_once(self) -> None:
        """A handle that does not know it asks, and remembers."""
        ok = answer(204, {"Stream-Next-Offset": "1"})
        server = ScriptedServer([answer(200, {"Content-Type": "text/x-log; charset=utf-8"}), ok, ok])
        stream = server.stream()
        result_of(stream.append("a"))
        result_of(stream.append("b"))
        assert [asked.method for asked in server.asked] == ["HEAD", "POST", "POST"]
        assert [asked.headers["content-type"] for asked in server.asked[1:]] == ["text/x-log; charset=utf-8"] * 2

    def test_an_empty_append_is_refused_by_the_server(self, stream: StreamHandle) -> None:
        """400 (Section 5.2, Request Body)."""
        result_of(stream.create(content_type="text/plain"))
        assert error_of(stream.append(b""), BadRequest).code == "EMPTY_APPEND"


class TestClose:
    def test_close_may_be_repeated(self, stream: StreamHandle) -> None:
        """Close-only requests are idempotent (Section 5.3)."""
        result_of(stream.create(content_type="text/plain", data="abc"))
        first = result_of(stream.close())
        assert first.closed
        assert result_of(stream.close()) == first

    def test_close_with_final_data_is_one_step(self, stream: StreamHandle) -> None:
        """The data are the end of the stream; a second time they cannot be appended (Section 5.2)."""
        result_of(stream.create(content_type="text/plain", data="abc"))
        assert result_of(stream.close("def")).closed
        error = error_of(stream.close("ghi"), StreamClosed)
        assert result_of(stream.read_text().collect()) == "abcdef"
        assert error.final_offset == result_of(stream.head()).offset

    def test_append_after_the_end_tells_where_it_was(self, stream: StreamHandle) -> None:
        """409 with Stream-Closed and the final offset (Section 5.2)."""
        closed = result_of(stream.create(content_type="text/plain", data="abc", closed=True))
        assert error_of(stream.append("x"), StreamClosed).final_offset == closed.offset


class TestDelete:
    def test_a_deleted_stream_is_not_found(self, stream: StreamHandle) -> None:
        """404 from then on (Section 5.4)."""
        result_of(stream.create())
        result_of(stream.delete())
        error_of(stream.head(), StreamNotFound)
        error_of(stream.delete(), StreamNotFound)

    def test_a_repeated_delete_whose_first_answer_was_lost_has_succeeded(self) -> None:
        """The stream is gone, which is what was asked for."""
        server = ScriptedServer([lambda asked: asked.cut(), answer(404)])
        deleted = server.stream().delete()
        server.advance(2)
        assert result_of(deleted) is None


class TestHeadersAndParams:
    def test_values_and_callables_go_with_every_request(self) -> None:
        """A callable is asked anew each time; it may answer by a Deferred or a coroutine."""
        tokens = iter(["first", "second"])

        async def tenant() -> str:
            return "t1"

        def shard() -> Deferred[str]:
            return succeed("s/7")

        server = ScriptedServer.always(answer(200))
        stream = server.stream(
            headers={"Authorization": lambda: next(tokens), "X-Fixed": "yes"}, params={"tenant": tenant, "shard": shard}
        )
        result_of(stream.head())
        result_of(stream.head())
        assert [asked.headers["authorization"] for asked in server.asked] == ["first", "second"]
        assert {asked.headers["x-fixed"] for asked in server.asked} == {"yes"}
        assert server.asked[0].target == "/stream?shard=s%2F7&tenant=t1"

    def test_a_retry_asks_for_the_values_again(self) -> None:
        """A token that has expired meanwhile is replaced."""
        tokens = iter(["old", "new"])
        server = ScriptedServer([answer(503), answer(200)])
        head = server.stream(headers={"Authorization": lambda: next(tokens)}).head()
        server.advance(2)
        result_of(head)
        assert [asked.headers["authorization"] for asked in server.asked] == ["old", "new"]

    def test_what_a_callable_raises_is_the_callers(self) -> None:
        """Nothing is sent, and nothing is retried."""

        def broken() -> str:
            raise LookupError("no token")

        server = ScriptedServer([])
        error_of(server.stream(headers={"Authorization": broken}).head(), LookupError)

    def test_the_query_is_in_the_order_of_names(self) -> None:
        """One spelling for caches (Section 10.1); what the URL had is left as it was."""
        server = ScriptedServer.always(answer(200, {"Stream-Next-Offset": "9", "Stream-Up-To-Date": "true"}))
        stream = server.stream(params={"zone": "z", "a b": "ü"}).sibling("http://scripted.test/a%2Fb//c?p=%7E#frag")
        result_of(stream.read("0_1").collect())
        assert server.asked[0].target == "/a%2Fb//c?a%20b=%C3%BC&offset=0_1&p=%7E&zone=z"


def test_metadata_has_every_header(stream: StreamHandle) -> None:
    """Fields that the protocol does not name are there too, by lower-case name."""
    result_of(stream.create(content_type="Text/Plain; charset=UTF-8"))
    metadata = result_of(stream.head())
    assert metadata.content_type == "Text/Plain; charset=UTF-8"
    assert metadata.headers["cache-control"] == "no-store"


def test_a_listing_comes_in_pages(server: MemoryServer) -> None:
    """The listing extension: path, offset, content type and closed state, and whether more follow."""
    page = b'{"streams":[{"path":"a","offset":"0_1","contentType":"text/plain","closed":true}],"more":true}'
    scripted = ScriptedServer([answer(200, {"Content-Type": "application/json"}, page)])
    listing = result_of(scripted_directory(scripted).list("pre fix", "after", 1))
    assert scripted.asked[0].target == "/v1/stream/__ds/streams?after=after&limit=1&prefix=pre%20fix"
    assert listing.more
    assert [(listed.path, listed.offset, listed.content_type, listed.closed) for listed in listing.streams] == [
        ("a", "0_1", "text/plain", True)
    ]


def scripted_directory(scripted: ScriptedServer):
    from durable_streams.client import StreamDirectory

    return StreamDirectory("http://scripted.test/v1/stream", scripted.network.treq, clock=scripted.clock)


def test_utc_datetimes_keep_their_milliseconds(stream: StreamHandle) -> None:
    """What is written is what comes back."""
    result_of(stream.create(expires_at=datetime(2040, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)))
    assert result_of(stream.head()).expires_at == "2040-01-01T00:00:00.250Z"
