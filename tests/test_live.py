"""Following a stream for an application, in process and over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.application.service import IService, MultiService
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs

from durable_streams import errors
from durable_streams.client import StreamNotFound
from durable_streams.live import Gap, InProcess, LiveListener, LiveSource, OverHttp, Status
from durable_streams.protocol.offsets import offset_of
from durable_streams.protocol.retention import Retention
from durable_streams.testing import MemoryServer
from tests.client.outcomes import result_of

SourceOf = Callable[[MemoryServer], LiveSource]


def in_process(server: MemoryServer) -> LiveSource:
    return InProcess(server.service)


def over_http(server: MemoryServer) -> LiveSource:
    return OverHttp(server.directory())


@pytest.fixture
def server() -> Iterator[MemoryServer]:
    server = MemoryServer()
    for name, content_type in (("text", "text/plain"), ("json", "application/json"), ("binary", "image/png")):
        result_of(server.service.create(name, content_type=content_type))
    yield server
    result_of(server.stop())


class Application:
    """Writes down what a listener tells it."""

    def __init__(self, server: MemoryServer, source: LiveSource, **options: Any) -> None:
        self.server = server
        self.messages: list[Any] = []
        self.offsets: list[str] = []
        self.statuses: list[str] = []
        self.errors: list[Exception] = []
        self.completed = 0
        self.before_next: Callable[[], object] = lambda: None
        self.listener = LiveListener(
            source,
            on_data=self.take,
            on_status=lambda status: self.statuses.append(status.value),
            on_complete=self.complete,
            on_error=self.errors.append,
            clock=server.clock,
            **options,
        )

    def take(self, messages: list[Any], offset: str) -> object:
        self.messages += messages
        self.offsets.append(offset)
        return self.before_next()

    def complete(self) -> None:
        self.completed += 1

    def listen(self, stream: str, offset: str = "-1") -> None:
        self.listener.listen(stream, offset)
        self.server.advance()

    def write(self, stream: str, data: bytes) -> None:
        result_of(self.server.service.append(stream, data))
        self.server.advance()


@pytest.fixture(params=[in_process, over_http])
def app(server: MemoryServer, request: pytest.FixtureRequest) -> Iterator[Application]:
    source_of: SourceOf = request.param
    app = Application(server, source_of(server))
    yield app
    app.listener.stop_listening()


class TestListening:
    def test_messages_come_with_the_offset_behind_them(self, app: Application) -> None:
        """What was there, then what comes; the offset is kept for the application."""
        app.write("json", b'[{"n":1},{"n":2}]')
        app.listen("json")
        app.write("json", b'{"n":3}')
        assert app.messages == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert app.listener.offset == app.offsets[-1]
        assert app.listener.stream == "json"

    def test_text_and_bytes(self, app: Application) -> None:
        """Text comes as whole characters, other data as bytes."""
        app.listen("text")
        app.write("text", b"5 \xe2\x82")
        app.write("text", b"\xac")
        assert "".join(app.messages) == "5 €"
        app.messages.clear()
        app.listen("binary")
        app.write("binary", b"\x89PNG")
        assert b"".join(app.messages) == b"\x89PNG"

    def test_from_now_on_only(self, app: Application) -> None:
        """History is left out."""
        app.write("text", b"old")
        app.listen("text", "now")
        app.write("text", b"new")
        assert app.messages == ["new"]

    def test_the_statuses_of_a_life(self, app: Application) -> None:
        """idle, connecting, streaming, idle."""
        assert app.listener.status is Status.IDLE
        app.listen("text")
        assert app.listener.listening
        app.listener.stop_listening()
        assert not app.listener.listening
        assert app.statuses == ["connecting", "streaming", "idle"]

    def test_an_empty_stream_is_streaming_too(self, app: Application) -> None:
        """Being connected does not depend on data."""
        app.listen("json")
        assert app.listener.status is Status.STREAMING
        assert app.messages == []

    def test_the_end_of_the_stream(self, app: Application) -> None:
        """All data, then ``on_complete``, once; the listener is idle."""
        app.listen("text")
        result_of(app.server.service.append("text", b"end", close=True))
        app.server.advance()
        assert (app.messages, app.completed, app.errors) == (["end"], 1, [])
        assert app.listener.status is Status.IDLE
        assert not app.listener.listening

    def test_a_stream_that_has_ended_before(self, app: Application) -> None:
        """It completes at once."""
        result_of(app.server.service.append("text", b"all", close=True))
        app.listen("text")
        assert (app.messages, app.completed) == (["all"], 1)


class TestControl:
    def test_listening_to_another_stream_stops_the_first(self, app: Application) -> None:
        """One stream at a time."""
        app.listen("text")
        app.listen("json")
        app.write("text", b"unheard")
        app.write("json", b"1")
        assert app.messages == [1]
        assert app.listener.stream == "json"

    def test_stop_keeps_the_place_and_resume_goes_on(self, app: Application) -> None:
        """What came meanwhile is not missed."""
        app.write("text", b"one ")
        app.listen("text")
        app.listener.stop_listening()
        assert (app.listener.stream, app.listener.offset) == ("text", app.offsets[-1])
        app.write("text", b"two")
        assert app.messages == ["one "]
        app.listener.resume()
        app.server.advance()
        assert app.messages == ["one ", "two"]

    def test_resume_while_listening_changes_nothing(self, app: Application) -> None:
        """There is no second listener."""
        app.listen("text")
        app.listener.resume()
        app.write("text", b"once")
        assert app.messages == ["once"]

    def test_reset_forgets_the_place(self, app: Application) -> None:
        """As if it were new."""
        app.write("text", b"x")
        app.listen("text")
        app.listener.reset()
        assert (app.listener.stream, app.listener.offset, app.listener.status) == (None, "-1", Status.IDLE)
        with pytest.raises(ValueError, match="no stream"):
            app.listener.resume()

    def test_an_offset_of_ones_own(self, app: Application) -> None:
        """An application may keep offsets itself."""
        app.write("text", b"one ")
        offset = result_of(app.server.service.describe("text")).tail
        app.write("text", b"two")
        app.listen("text", f"0000000000000000_{offset:016d}")
        assert app.messages == ["two"]

    def test_stopping_from_within_a_callback(self, app: Application) -> None:
        """The first message may be all that is wanted."""
        app.write("json", b"[1,2]")
        app.before_next = app.listener.stop_listening
        app.listen("json")
        app.write("json", b"3")
        assert app.messages == [1, 2]
        assert app.listener.status is Status.IDLE
        assert app.server.network.live == []

    def test_listening_to_another_from_within_a_callback(self, app: Application) -> None:
        """A message may tell where to go on."""

        def go_on() -> None:
            app.before_next = lambda: None
            app.listener.listen("json")

        app.write("json", b'"there"')
        app.before_next = go_on
        app.listen("text")
        app.write("text", b"go")
        app.server.advance()
        assert app.messages == ["go", "there"]


class TestBackPressure:
    def test_a_deferred_holds_the_next_messages(self, app: Application) -> None:
        """Nothing more is taken while the application is busy, and the offset waits with it."""
        busy: Deferred[None] = Deferred()
        app.listen("text")
        start = app.listener.offset
        app.before_next = lambda: busy
        app.write("text", b"one ")
        app.write("text", b"two")
        assert app.messages == ["one "]
        assert app.listener.offset == start
        app.before_next = lambda: None
        busy.callback(None)
        app.server.advance()
        assert "".join(app.messages) == "one two"

    def test_stopping_cancels_the_work_under_way(self, app: Application) -> None:
        """The messages were not dealt with: they come again."""
        busy: Deferred[None] = Deferred()
        cancelled: list[Any] = []
        busy.addErrback(lambda failure: cancelled.append(failure.trap(CancelledError)))
        app.write("text", b"one")
        app.before_next = lambda: busy
        app.listen("text")
        app.listener.stop_listening()
        assert cancelled == [CancelledError]
        app.before_next = lambda: None
        app.listener.resume()
        app.server.advance()
        assert app.messages == ["one", "one"]


class TestErrors:
    def test_a_stream_that_does_not_exist(self, app: Application) -> None:
        """An error, no reconnection; the listener can be used again."""
        app.listen("nothing")
        (error,) = app.errors
        assert isinstance(error, (StreamNotFound, errors.StreamNotFound))
        assert app.listener.status is Status.DISCONNECTED
        assert not app.listener.listening
        app.listen("text")
        assert app.statuses[-1] == "streaming"

    def test_a_stream_that_is_deleted_meanwhile(self, app: Application) -> None:
        """The same error, after what came before."""
        app.listen("text")
        app.write("text", b"last words")
        result_of(app.server.service.delete("text"))
        app.server.advance(1)
        assert app.messages == ["last words"]
        (error,) = app.errors
        assert isinstance(error, (StreamNotFound, errors.StreamNotFound))

    def test_a_listener_that_crashes(self, app: Application) -> None:
        """What ``on_data`` raises ends the listening; the messages count as not dealt with."""
        app.listen("text")
        start = app.listener.offset

        def crash() -> None:
            raise LookupError("a bug")

        app.before_next = crash
        app.write("text", b"x")
        (error,) = app.errors
        assert isinstance(error, LookupError)
        assert (app.listener.status, app.listener.offset) == (Status.DISCONNECTED, start)
        app.before_next = lambda: None
        app.listener.resume()
        app.server.advance()
        assert app.messages == ["x", "x"]

    def test_without_on_error_it_is_logged(self, server: MemoryServer) -> None:
        """An error never passes without a trace."""
        listener = LiveListener(InProcess(server.service), on_data=lambda messages, offset: None, clock=server.clock)
        with capturedLogs() as events:
            listener.listen("nothing")
            server.advance()
        (event,) = [event for event in events if "log_failure" in event]
        assert event["log_failure"].check(errors.StreamNotFound)
        assert event["stream"] == "nothing"

    def test_a_callback_that_fails_does_no_harm(self, server: MemoryServer) -> None:
        """Telling the status is not worth losing the stream."""
        seen: list[Any] = []

        def broken(status: Status) -> None:
            raise LookupError("a bug")

        listener = LiveListener(
            InProcess(server.service),
            on_data=lambda messages, offset: seen.extend(messages),
            on_status=broken,
            clock=server.clock,
        )
        listener.listen("text")
        result_of(server.service.append("text", b"x"))
        server.advance()
        assert seen == ["x"]
        listener.stop_listening()


class TestReconnection:
    def test_a_lost_connection_is_taken_up_again(self, server: MemoryServer) -> None:
        """The application sees the status change, and each message once."""
        app = Application(server, over_http(server))
        app.listen("text")
        app.write("text", b"one ")
        server.refuse()
        server.advance(0.5)
        assert app.listener.status is Status.DISCONNECTED
        assert app.listener.listening
        result_of(server.service.append("text", b"two"))
        server.accept()
        server.advance(10)
        assert app.messages == ["one ", "two"]
        assert app.statuses[:3] == ["connecting", "streaming", "disconnected"]
        assert app.statuses[-1] == "streaming"
        assert app.errors == []
        app.listener.stop_listening()

    def test_an_application_may_give_up_when_the_connection_is_lost(self, server: MemoryServer) -> None:
        """Stopping from within ``on_status`` leaves nothing that would reconnect."""
        app = Application(server, over_http(server))
        app.listen("text")
        before = set(server.clock.getDelayedCalls())
        app.listener._on_status = lambda status: app.listener.stop_listening()
        server.refuse()
        assert not app.listener.listening
        assert set(server.clock.getDelayedCalls()) <= before

    def test_it_takes_as_long_as_it_takes(self, server: MemoryServer) -> None:
        """An hour without the server is no error."""
        app = Application(server, over_http(server))
        server.refuse()
        app.listen("text")
        for _ in range(360):
            server.advance(10)
        assert app.errors == []
        server.accept()
        server.advance(10)
        assert app.listener.status is Status.STREAMING
        app.listener.stop_listening()

    def test_a_service_that_stops_disconnects(self, server: MemoryServer) -> None:
        """In process the end of the service is an outage too."""
        app = Application(server, in_process(server))
        app.listen("text")
        server.service.release_waiters()
        assert app.listener.status is Status.DISCONNECTED
        server.advance(1)
        assert app.statuses[-1] == "streaming"
        app.listener.stop_listening()


class TestServiceTree:
    def test_the_tree_starts_and_stops_it(self, server: MemoryServer) -> None:
        """A listener with a stream listens while the service runs."""
        app = Application(server, in_process(server), stream="text")
        tree = MultiService()
        app.listener.setServiceParent(tree)
        assert IService.providedBy(app.listener)
        assert not app.listener.listening
        tree.startService()
        app.write("text", b"one ")
        tree.stopService()
        assert app.listener.status is Status.IDLE
        app.write("text", b"two")
        tree.startService()
        server.advance()
        assert app.messages == ["one ", "two"]
        tree.stopService()

    def test_without_a_stream_it_waits_to_be_told(self, server: MemoryServer) -> None:
        """Starting is no listening."""
        app = Application(server, in_process(server))
        app.listener.startService()
        assert not app.listener.listening
        app.listen("text")
        app.listener.stopService()
        assert not app.listener.listening


def test_a_gap_is_an_error_unless_the_application_wants_to_jump(server: MemoryServer, app: Application) -> None:
    """In process and over HTTP: the error knows where the stream begins now."""
    result_of(server.service.create("kept", content_type="text/plain", retention=Retention(max_messages=1)))
    for letter in (b"a", b"b", b"c"):
        result_of(server.service.append("kept", letter))
    app.listen("kept", offset_of(0))
    (error,) = app.errors
    assert isinstance(error, Gap)
    assert error.earliest_offset == offset_of(2)
    assert (app.messages, app.listener.listening) == ([], False)


@pytest.mark.parametrize("source_of", [in_process, over_http])
def test_a_listener_jumps_over_a_gap(server: MemoryServer, source_of: SourceOf) -> None:
    """It is told of the gap, then it goes on with what is left, and with what comes."""
    gaps: list[str] = []
    app = Application(server, source_of(server), on_gap=gaps.append)
    result_of(server.service.create("kept", content_type="text/plain", retention=Retention(max_messages=1)))
    for letter in (b"a", b"b", b"c"):
        result_of(server.service.append("kept", letter))
    app.listen("kept", offset_of(0))
    app.write("kept", b"d")
    assert ("".join(app.messages), gaps, app.errors) == ("cd", [offset_of(2)], [])
    app.listener.stop_listening()
