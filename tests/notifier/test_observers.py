"""Those who are told of every change: what an embedding application hooks into."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from zope.interface import implementer
from zope.interface.verify import verifyObject

from durable_streams.errors import StreamNotFound
from durable_streams.interfaces import IStreamObserver
from durable_streams.protocol.commands import Append, Create
from durable_streams.protocol.producers import ProducerClaim
from durable_streams.protocol.results import AppendResult, StreamDescription
from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage
from tests.client.outcomes import error_of, result_of


@implementer(IStreamObserver)
class Diary:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, int]] = []

    def stream_created(self, command: Create, stream: StreamDescription) -> None:
        self.entries.append(("created", stream.path, stream.tail))

    def stream_appended(self, path: str, result: AppendResult) -> None:
        self.entries.append(("closed" if result.closed else "appended", path, result.tail))

    def stream_deleted(self, path: str) -> None:
        self.entries.append(("deleted", path, 0))

    def stream_expired(self, path: str) -> None:
        self.entries.append(("expired", path, 0))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(clock: Clock) -> Iterator[StreamService]:
    service = StreamService(MemoryStorage(clock), clock=clock)
    service.startService()
    yield service
    result_of(service.stopService())


@pytest.fixture
def diary(service: StreamService) -> Diary:
    diary = Diary()
    service.observe(diary)
    assert verifyObject(IStreamObserver, diary)
    return diary


def test_an_observer_is_told_of_a_whole_life(service: StreamService, diary: Diary) -> None:
    """Created, appended to, closed, deleted, in this order; a fork is a stream of its own."""
    result_of(service.create("a", data=b"12"))
    result_of(service.fork("a", "b"))
    result_of(service.append("a", b"3"))
    result_of(service.close("a"))
    result_of(service.delete("b"))
    result_of(service.delete("a"))
    told = [("created", "a", 2), ("created", "b", 2), ("appended", "a", 3), ("closed", "a", 3)]
    assert diary.entries == [*told, ("deleted", "b", 0), ("deleted", "a", 0)]


def test_an_observer_is_told_of_expiry(service: StreamService, diary: Diary, clock: Clock) -> None:
    """Although nobody asked for the stream."""
    result_of(service.create("a", ttl=1))
    clock.pump([0.5] * 4)
    assert diary.entries == [("created", "a", 0), ("expired", "a", 0)]


def test_what_changes_nothing_is_not_told(service: StreamService, diary: Diary) -> None:
    """A creation that only confirms, a repeated batch, a refusal."""
    batch = Append("a", b"once", producer=ProducerClaim("p", 0, 0))
    for _ in range(2):
        result_of(service.create("a"))
        result_of(service.perform_append(batch))
    error_of(service.append("none", b"x"), StreamNotFound)
    error_of(service.delete("none"), StreamNotFound)
    assert [kind for kind, _, _ in diary.entries] == ["created", "appended"]


def test_it_is_told_before_the_one_who_asked(service: StreamService, diary: Diary) -> None:
    """So that who has an answer finds the work of the hooks done."""
    seen: list[int] = []
    service.create("a").addCallback(lambda _: seen.append(len(diary.entries)))
    assert seen == [1]


def test_an_observer_may_leave(service: StreamService) -> None:
    """And may say so twice."""
    diary = Diary()
    leave = service.observe(diary)
    leave()
    leave()
    result_of(service.create("a"))
    assert diary.entries == []


def test_one_that_fails_harms_nobody(service: StreamService) -> None:
    """It is logged; the next one is told, and the command succeeds."""

    class Broken(Diary):
        def stream_created(self, command: Create, stream: StreamDescription) -> None:
            raise ZeroDivisionError

    sound = Diary()
    service.observe(Broken())
    service.observe(sound)
    with capturedLogs() as logged:
        assert result_of(service.create("a")).created
    assert sound.entries == [("created", "a", 0)]
    assert [event["log_failure"].type for event in logged if "log_failure" in event] == [ZeroDivisionError]
