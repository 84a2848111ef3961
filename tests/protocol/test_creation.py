"""Creating streams and forks (Sections 5.1 and 4.2)."""

from __future__ import annotations

from typing import Any

import pytest

from durable_streams.errors import (
    ContentTypeMismatch,
    ForkBeyondTail,
    ForkInsideMessage,
    ForkSourceGone,
    ForkSubOffsetBeyond,
    InvalidMessages,
    StreamConflict,
    StreamNotFound,
)
from durable_streams.protocol.commands import Append, Create, ForkRequest, ResolvedSubOffset
from durable_streams.protocol.creation import confirm_existing, decide_create
from durable_streams.protocol.events import ForkPoint, StreamCreated
from durable_streams.protocol.producers import ProducerClaim
from durable_streams.protocol.stream import Stream
from tests.protocol.test_appending import perform

AT = 1000.0
SOURCE_ID = 7
NEW_ID = 8


def stream(
    path: str = "source",
    content_type: str = "text/plain",
    data: bytes = b"0123456789",
    *,
    ttl: int | None = None,
    expires_at: float | None = None,
    closed: bool = False,
) -> Stream:
    return Stream.created_by(StreamCreated(SOURCE_ID, AT, path, content_type, ttl, expires_at, None, data, closed))


def create(**given: Any) -> Stream:
    """A new stream at ``path``, as a storage makes it."""
    return Stream.created_by(decide_create(Create("path", **given), None, NEW_ID, AT))


def fork_command(position: int | None = None, sub_offset: int = 0, **given: Any) -> Create:
    return Create("fork", fork=ForkRequest("source", position, sub_offset, given.pop("resolved", None)), **given)


def fork(source: Stream, position: int | None = None, sub_offset: int = 0, **given: Any) -> Stream:
    """A new stream at ``fork``, as a storage makes it."""
    return Stream.created_by(decide_create(fork_command(position, sub_offset, **given), source, NEW_ID, AT))


def conflict(existing: Stream, command: Create, source: Stream | None = None) -> tuple[str, ...] | None:
    """In which fields the command differs from the stream that is there; None when it is confirmed."""
    try:
        confirm_existing(existing, source, command)
    except StreamConflict as refusal:
        return refusal.differing
    return None


class TestCreating:
    def test_says_all_that_the_stream_will_be(self) -> None:
        """Section 5.1: the event holds the whole configuration and the first content."""
        command = Create("path", "text/plain", 60, None, False, b"first")
        event = decide_create(command, None, NEW_ID, AT)
        assert event == StreamCreated(NEW_ID, AT, "path", "text/plain", 60, None, None, b"first", False)

    def test_without_a_type_is_of_bytes(self) -> None:
        """Section 5.1: the default is ``application/octet-stream``."""
        assert create().content_type == "application/octet-stream"

    def test_closed_is_complete_at_once(self) -> None:
        """Section 5.1: the body is the complete and final content."""
        created = create(closed=True, body=b"all")
        assert (created.closed, created.tail) == (True, 3)

    @pytest.mark.parametrize(
        ("body", "data"), [(b"", b""), (b"[]", b""), (b"[1,2]", b"1\x1e2\x1e"), (b"[[]]", b"[]\x1e")]
    )
    def test_json_stores_messages(self, body: bytes, data: bytes) -> None:
        """Section 9.1.3: unlike an append, a creation may have an empty array; it is an empty stream."""
        command = Create("path", "application/json", body=body)
        assert decide_create(command, None, NEW_ID, AT).data == data

    def test_json_is_validated(self) -> None:
        """Section 9.1.4: what is not JSON is refused."""
        with pytest.raises(InvalidMessages):
            create(content_type="application/json", body=b"[1")


class TestCreatingAgain:
    @pytest.mark.parametrize(
        ("first", "again"),
        [
            ({}, {}),
            ({}, {"content_type": "application/octet-stream"}),
            ({"content_type": "text/plain"}, {"content_type": "TEXT/plain; charset=utf-8"}),
            ({"ttl": 60}, {"ttl": 60}),
            ({"ttl": 0}, {"ttl": 0}),
            ({"expires_at": 5000.0}, {"expires_at": 5000.0}),
            ({"closed": True}, {"closed": True}),
            ({"body": b"one"}, {"body": b"other"}),
        ],
    )
    def test_the_same_is_confirmed(self, first: dict[str, Any], again: dict[str, Any]) -> None:
        """Section 5.1: content type, expiry and closure decide; the body does not."""
        assert conflict(create(**first), Create("path", **again)) is None

    @pytest.mark.parametrize(
        ("first", "again", "field"),
        [
            ({"content_type": "text/plain"}, {}, "Content-Type"),
            ({"content_type": "text/plain"}, {"content_type": "text/html"}, "Content-Type"),
            ({"ttl": 60}, {"ttl": 61}, "Stream-TTL"),
            ({"ttl": 60}, {}, "Stream-TTL"),
            ({}, {"ttl": 0}, "Stream-TTL"),
            ({"ttl": 60}, {"expires_at": 1060.0}, "Stream-Expires-At"),
            ({"expires_at": 5000.0}, {"expires_at": 5000.001}, "Stream-Expires-At"),
            ({}, {"closed": True}, "Stream-Closed"),
            ({"closed": True}, {}, "Stream-Closed"),
            ({}, {"fork": ForkRequest("source")}, "Stream-Forked-From"),
        ],
    )
    def test_another_configuration_is_a_conflict(
        self, first: dict[str, Any], again: dict[str, Any], field: str
    ) -> None:
        """Section 5.1: the refusal names what differs."""
        assert conflict(create(**first), Create("path", **again)) == (field,)

    def test_every_difference_is_named(self) -> None:
        """Section 5.1: a client sees all of them at once."""
        assert conflict(create(), Create("path", "text/plain", ttl=1, closed=True)) == (
            "Content-Type",
            "Stream-TTL",
            "Stream-Closed",
        )

    def test_closure_is_that_of_now(self) -> None:
        """Section 5.1, "Closure status matching": the current status counts, not that of the creation."""
        existing = create()
        perform(existing, Append("path", close=True))
        assert conflict(existing, Create("path")) == ("Stream-Closed",)
        assert conflict(existing, Create("path", closed=True)) is None

    def test_the_path_of_a_soft_deleted_stream_is_blocked(self) -> None:
        """Section 4.2, "Soft-delete": re-creation is a conflict, even of the very same stream."""
        existing = create()
        existing.soft_deleted = True
        assert conflict(existing, Create("path")) == ("soft-deleted",)


class TestForking:
    def test_without_an_offset_begins_at_the_tail(self) -> None:
        """Section 4.2: ``Stream-Fork-Offset`` defaults to the source's tail."""
        event = decide_create(fork_command(), stream(), NEW_ID, AT)
        assert event.fork == ForkPoint(SOURCE_ID, "source", 10, None, 0)

    @pytest.mark.parametrize("position", [0, 4, 10])
    def test_inherits_what_lies_before_the_offset(self, position: int) -> None:
        """Section 4.2: up to, but not including, the fork offset; Section 8: in the same offset space."""
        made = fork(stream(), position)
        assert (made.beginning, made.tail) == (position, position)

    def test_may_append_at_once(self) -> None:
        """Section 5.1: the body is the first content of its own."""
        made = fork(stream(), 4, body=b"own")
        assert (made.beginning, made.tail) == (4, 7)

    def test_beyond_the_tail_is_refused(self) -> None:
        """Section 5.1: an offset that exceeds the source's tail is 400."""
        with pytest.raises(ForkBeyondTail) as refusal:
            fork(stream(), 11)
        assert (refusal.value.position, refusal.value.tail) == (11, 10)

    @pytest.mark.parametrize("resolved", [None, ResolvedSubOffset(SOURCE_ID + 1, 0)], ids=["unknown", "another stream"])
    def test_inside_a_message_is_refused(self, resolved: ResolvedSubOffset | None) -> None:
        """Section 8, "Fork offset validity": nobody has found that a message begins there."""
        source = stream(content_type="application/json", data=b"1\x1e22\x1e")
        with pytest.raises(ForkInsideMessage) as refusal:
            fork(source, 3, resolved=resolved)
        assert (refusal.value.path, refusal.value.position) == ("source", 3)

    @pytest.mark.parametrize(("position", "resolved"), [(0, None), (2, ResolvedSubOffset(SOURCE_ID, 0)), (5, None)])
    def test_between_messages_is_as_good_as_between_bytes(
        self, position: int, resolved: ResolvedSubOffset | None
    ) -> None:
        """Section 4.2: at the beginning and at the tail that is plain without a look."""
        source = stream(content_type="application/json", data=b"1\x1e22\x1e")
        assert fork(source, position, resolved=resolved).beginning == position

    def test_of_nothing_is_not_found(self) -> None:
        """Section 4.2: the source does not exist."""
        with pytest.raises(StreamNotFound) as refusal:
            decide_create(fork_command(), None, NEW_ID, AT)
        assert refusal.value.path == "source"

    def test_of_a_soft_deleted_stream_is_a_conflict(self) -> None:
        """Section 4.2: the source has been deleted but still has forks."""
        source = stream()
        source.soft_deleted = True
        with pytest.raises(ForkSourceGone):
            fork(source)

    def test_of_a_closed_stream_is_open(self) -> None:
        """Section 4.2: the fork starts open regardless of its source."""
        assert not fork(stream(closed=True)).closed

    @pytest.mark.parametrize("content_type", [None, "text/plain", "Text/Plain;charset=utf-8"])
    def test_has_the_type_of_its_source(self, content_type: str | None) -> None:
        """Section 4.2: inherited, or equal."""
        assert fork(stream(), content_type=content_type).content_type == "text/plain"

    def test_of_another_type_is_a_conflict(self) -> None:
        """Section 4.2: a differing content type is 409."""
        with pytest.raises(ContentTypeMismatch):
            fork(stream(), content_type="application/json")

    @pytest.mark.parametrize(
        ("of_source", "requested", "gets"),
        [
            ((None, None), (None, None), (None, None)),
            ((None, None), (60, None), (60, None)),
            ((None, None), (None, 5000.0), (None, 5000.0)),
            ((30, None), (None, None), (30, None)),
            ((30, None), (60, None), (60, None)),
            ((30, None), (None, 5000.0), (None, 5000.0)),
            ((None, 4000.0), (None, None), (None, 4000.0)),
            ((None, 4000.0), (60, None), (60, None)),
            ((None, 4000.0), (None, 5000.0), (None, 5000.0)),
        ],
    )
    def test_gets_its_expiry_by_the_table(
        self,
        of_source: tuple[int | None, float | None],
        requested: tuple[int | None, float | None],
        gets: tuple[int | None, float | None],
    ) -> None:
        """Section 4.2: the table of source and request."""
        made = fork(stream(ttl=of_source[0], expires_at=of_source[1]), ttl=requested[0], expires_at=requested[1])
        assert (made.ttl, made.expires_at) == gets

    def test_inherits_no_state_of_writers(self) -> None:
        """Section 4.2: neither producers nor ``Stream-Seq``."""
        source = stream()
        perform(source, Append("source", b"1", stream_seq="b", producer=ProducerClaim("p", 3, 0)))
        made = fork(source)
        assert perform(made, Append("fork", b"2", stream_seq="a", producer=ProducerClaim("p", 0, 0))) is not None


class TestASubOffset:
    @pytest.mark.parametrize(("anchor", "sub_offset", "position"), [(0, 10, 10), (4, 0, 4), (4, 3, 7), (10, 0, 10)])
    def test_of_bytes_counts_from_the_offset(self, anchor: int, sub_offset: int, position: int) -> None:
        """Section 4.2: decoded body bytes past the anchor, as far as the source has data."""
        assert fork(stream(), anchor, sub_offset).beginning == position

    @pytest.mark.parametrize(("anchor", "sub_offset"), [(0, 11), (10, 1), (None, 1), (4, 2**53 - 1)])
    def test_beyond_the_data_is_refused(self, anchor: int | None, sub_offset: int) -> None:
        """Section 4.2: overshoot is 400."""
        with pytest.raises(ForkSubOffsetBeyond):
            fork(stream(), anchor, sub_offset)

    def test_of_messages_is_as_long_as_they_are(self) -> None:
        """Section 4.2: of a JSON source it is a number of messages, which the service has measured."""
        source = stream(content_type="application/json", data=b"1\x1e22\x1e333\x1e")
        assert fork(source, 2, 2, resolved=ResolvedSubOffset(SOURCE_ID, 7)).beginning == 9

    @pytest.mark.parametrize("resolved", [None, ResolvedSubOffset(SOURCE_ID + 1, 7)], ids=["too few", "another stream"])
    def test_of_messages_that_are_not_there_is_refused(self, resolved: ResolvedSubOffset | None) -> None:
        """Section 4.2: there are fewer messages, or the source was created anew since they were counted."""
        source = stream(content_type="application/json", data=b"1\x1e22\x1e333\x1e")
        with pytest.raises(ForkSubOffsetBeyond):
            fork(source, 2, 2, resolved=resolved)


class TestForkingAgain:
    @pytest.mark.parametrize(("position", "sub_offset"), [(None, 0), (0, 0), (4, 0), (4, 3)])
    def test_the_same_is_confirmed(self, position: int | None, sub_offset: int) -> None:
        """Section 4.2, "Idempotent fork creation": source, offset and sub-offset match."""
        source = stream()
        existing = fork(source, position, sub_offset)
        assert conflict(existing, fork_command(position, sub_offset), source) is None

    def test_the_same_is_confirmed_although_the_source_has_grown_or_gone(self) -> None:
        """Section 4.2: an omitted offset meant the tail of that time."""
        source = stream()
        existing = fork(source)
        perform(source, Append("source", b"more"))
        assert conflict(existing, fork_command(), source) is None
        assert conflict(existing, fork_command(), None) is None

    def test_an_omitted_offset_matches_the_tail_while_it_is_there(self) -> None:
        """Section 4.2: omitted means the current tail, so it names the same fork until the source grows."""
        source = stream()
        existing = fork(source, 10)
        assert conflict(existing, fork_command(), source) is None
        perform(source, Append("source", b"more"))
        assert conflict(existing, fork_command(), source) == ("Stream-Forked-From",)

    def test_an_offset_matches_a_fork_that_was_made_without_one(self) -> None:
        """Section 4.2: the tail of that time and its offset are one place."""
        source = stream()
        existing = fork(source)
        perform(source, Append("source", b"more"))
        assert conflict(existing, fork_command(10), source) is None
        assert conflict(existing, fork_command(9), source) == ("Stream-Forked-From",)

    def test_type_and_expiry_may_be_left_to_the_fork(self) -> None:
        """Section 4.2: both are inherited when they are omitted."""
        source = stream(ttl=60)
        assert conflict(fork(source, 4), fork_command(4), source) is None

    @pytest.mark.parametrize(
        "command",
        [
            fork_command(5),
            fork_command(4, 4),
            fork_command(7),
            fork_command(),
            Create("fork", fork=ForkRequest("other", 4, 3)),
            Create("fork", "text/plain"),
        ],
        ids=["offset", "sub-offset", "same place, other words", "the tail", "source", "no fork"],
    )
    def test_another_origin_is_a_conflict(self, command: Create) -> None:
        """Section 4.2: 409 when ``Stream-Forked-From``, offset or sub-offset differ."""
        source = stream()
        assert conflict(fork(source, 4, 3), command, source) == ("Stream-Forked-From",)

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"content_type": "text/html"}, "Content-Type"),
            ({"ttl": 61}, "Stream-TTL"),
            ({"expires_at": 5000.0}, "Stream-Expires-At"),
            ({"closed": True}, "Stream-Closed"),
        ],
    )
    def test_another_configuration_is_a_conflict(self, given: dict[str, Any], field: str) -> None:
        """Section 5.1: the rules of every creation hold for forks."""
        source = stream()
        assert conflict(fork(source, 4, ttl=60), fork_command(4, **given), source) == (field,)
