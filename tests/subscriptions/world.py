"""A stream service with subscriptions, its receivers, and a clock: all in the hands of the test."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from durable_streams.interfaces import IStorage
from durable_streams.protocol.offsets import offset_of
from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage
from durable_streams.subscriptions.chance import Chance
from durable_streams.subscriptions.configuration import configuration
from durable_streams.subscriptions.events import Event
from durable_streams.subscriptions.interfaces import ISubscriptionStore
from durable_streams.subscriptions.leasing import ClaimedWake
from durable_streams.subscriptions.memory_store import MemorySubscriptionStore
from durable_streams.subscriptions.service import SubscriptionService
from durable_streams.subscriptions.settings import SubscriptionSettings
from durable_streams.subscriptions.sqlite_store import SqliteSubscriptionStore
from durable_streams.subscriptions.state import Ack, Report
from durable_streams.subscriptions.subscribing import CreatedSubscription, SubscriptionDescription
from durable_streams.subscriptions.webhook import Answer, Webhooks, answer_in
from durable_streams.subscriptions.webhook_url import webhook_target

NOW = 1_800_000_000
ROOT = "https://streams.example/v1/stream/"
HOOK = "https://worker.example/hook"

T = TypeVar("T")
E = TypeVar("E", bound=Exception)


def result_of(waiting: Deferred[T] | Coroutine[Any, Any, T]) -> T:
    """The result that is there already; what it failed with is raised."""
    outcomes = _outcomes_of(waiting)
    assert outcomes, "still waiting"
    if isinstance(outcomes[0], Failure):
        outcomes[0].raiseException()
    result: T = outcomes[0]
    return result


def error_of(waiting: Deferred[Any] | Coroutine[Any, Any, Any], kind: type[E]) -> E:
    """The error of that class with which it has failed already."""
    outcomes = _outcomes_of(waiting)
    assert outcomes, "still waiting"
    failure = outcomes[0]
    assert isinstance(failure, Failure), f"it did not fail, but gave {failure!r}"
    assert isinstance(failure.value, kind), repr(failure.value)
    return failure.value


def _outcomes_of(waiting: Deferred[Any] | Coroutine[Any, Any, Any]) -> list[Any]:
    outcomes: list[Any] = []
    deferred = waiting if isinstance(waiting, Deferred) else Deferred.fromCoroutine(waiting)
    deferred.addBoth(outcomes.append)
    return outcomes


class Call:
    """One request to a receiver, which has not been answered yet."""

    def __init__(self, url: str, body: bytes, signature: bytes, at: float, answer: Deferred[Answer]) -> None:
        self.url = url
        self.raw_body = body
        self.body = json.loads(body)
        self.signature = signature.decode()
        self.at = at
        self._answer = answer

    @property
    def is_open(self) -> bool:
        return not self._answer.called

    @property
    def wake(self) -> tuple[int, str]:
        return self.body["generation"], self.body["wake_id"]

    @property
    def token(self) -> str:
        token: str = self.body["callback_token"]
        return token

    @property
    def tails(self) -> dict[str, str]:
        """The tail of each stream that has pending events."""
        return {stream["path"]: stream["tail_offset"] for stream in self.body["streams"] if stream["has_pending"]}

    def respond(self, body: bytes) -> None:
        """Answer 200 with a body."""
        self._answer.callback(answer_in(body))

    def accept(self) -> None:
        self.respond(b"")

    def done(self) -> None:
        self.respond(b'{"done": true}')

    def fail(self, error: Exception | None = None) -> None:
        self._answer.errback(Failure(error or ConnectionRefusedError("nobody listens")))

    def report(self, *, done: bool = False, acks: dict[str, str] | None = None) -> Report:
        """What the receiver would call back with; without ``acks``, everything that was pending."""
        return report(self.body["wake_id"], self.body["generation"], self.tails if acks is None else acks, done)


def report(wake_id: str, generation: int, acks: dict[str, str], done: bool) -> Report:
    return Report(wake_id, generation, tuple(Ack(stream, offset) for stream, offset in acks.items()), done)


class Receivers(Webhooks):
    """Webhook receivers that answer when the test says so. URLs are checked as ever, but nothing is resolved."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.calls: list[Call] = []
        self.on_call: Callable[[Call], None] | None = None

    async def check(self, url: str) -> None:
        webhook_target(url, allow_loopback=False)

    def send(self, url: str, body: bytes, signature: bytes, seconds: float) -> Deferred[Answer]:
        answer: Deferred[Answer] = Deferred()
        call = Call(url, body, signature, self._clock.seconds(), answer)
        self.calls.append(call)
        limited = answer.addTimeout(seconds, self._clock)
        if self.on_call is not None:
            self.on_call(call)
        return limited

    @property
    def open_calls(self) -> list[Call]:
        return [call for call in self.calls if call.is_open]

    def next(self) -> Call:
        """The oldest call that has not been answered."""
        assert self.open_calls, "no receiver was called"
        return self.open_calls[0]


class Foreseen(Chance):
    """No jitter, and names and keys that can be told from each other."""

    def __init__(self) -> None:
        self.drawn = 0

    def jitter(self) -> float:
        return 0.0

    def wake_id(self) -> str:
        self.drawn += 1
        return f"w_{self.drawn}"

    def secret(self) -> bytes:
        self.drawn += 1
        return b"%032d" % self.drawn


@implementer(ISubscriptionStore)
class KeptStore:
    """Keeps events in a list that outlives the services that use it."""

    durability = "in a list"

    def __init__(self) -> None:
        self.events: list[Event] = []

    def open(self) -> Deferred[Sequence[Event]]:
        return succeed(list(self.events))

    def save(self, events: Sequence[Event]) -> Deferred[None]:
        self.events.extend(events)
        return succeed(None)

    def close(self) -> Deferred[None]:
        return succeed(None)


class AtOnce:
    """Writes in the test's own thread."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        return execute(work)

    def stop(self) -> None:
        """There is no thread."""


def sqlite_store(path: Path) -> SqliteSubscriptionStore:
    return SqliteSubscriptionStore(path, AtOnce)


class World:
    """``streams`` outlive a crash; ``subscriptions`` are begun again on the same store."""

    def __init__(
        self,
        store: ISubscriptionStore | None = None,
        settings: SubscriptionSettings | None = None,
        storage: Callable[[Clock], IStorage] = MemoryStorage,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.streams = StreamService(storage(self.clock), clock=self.clock)
        self.streams.startService()
        self.receivers = Receivers(self.clock)
        self.chance = Foreseen()
        self._settings = settings
        self.start(store or MemorySubscriptionStore())

    def start(self, store: ISubscriptionStore) -> None:
        self.subscriptions = SubscriptionService(self.streams, store, self.receivers, self._settings, self.chance)
        self.subscriptions.startService()

    def stop(self) -> None:
        result_of(self.subscriptions.stopService())
        result_of(self.streams.stopService())

    # --- streams

    def create(self, name: str, *messages: object, content_type: str = "application/json") -> None:
        data = json.dumps(messages).encode() if messages else b""
        result_of(self.streams.create(name, content_type=content_type, data=data))

    def append(self, name: str, *messages: object) -> str:
        return result_of(self.streams.append_json(name, *(messages or ("more",)))).next_offset

    def tail(self, name: str) -> str:
        return offset_of(result_of(self.streams.describe(name)).tail)

    def wake_events(self, name: str = "wake/pool") -> list[dict[str, Any]]:
        return [json.loads(message) for message in result_of(self.streams.read(name)).messages]

    # --- subscriptions

    def subscribe(self, subscription_id: str, **fields: Any) -> CreatedSubscription:
        """A webhook subscription to ``events/*``, as far as ``fields`` do not say otherwise."""
        if "type" not in fields:
            fields = {"type": "webhook", "webhook_url": HOOK, **fields}
        if "pattern" not in fields and "streams" not in fields:
            fields["pattern"] = "events/*"
        return result_of(self.subscriptions.create(subscription_id, configuration(**fields), ROOT))

    def subscribe_by_pull(self, subscription_id: str, **fields: Any) -> CreatedSubscription:
        """A pull-wake subscription to ``events/*``, with ``wake/pool`` for its wakes."""
        return self.subscribe(subscription_id, **{"type": "pull-wake", "wake_stream": "wake/pool", **fields})

    def describe(self, subscription_id: str) -> SubscriptionDescription:
        return result_of(self.subscriptions.describe(subscription_id))

    def acked(self, subscription_id: str) -> dict[str, str]:
        """The cursors of a subscription."""
        return {path: offset_of(link.acked) for path, link in sorted(self.describe(subscription_id).links.items())}

    def link_types(self, subscription_id: str) -> dict[str, str]:
        return {path: link.link_type for path, link in sorted(self.describe(subscription_id).links.items())}

    def claim(self, subscription_id: str, worker: str = "worker-1") -> ClaimedWake:
        return result_of(self.subscriptions.claim(subscription_id, worker))

    def ack(self, subscription_id: str, claimed: ClaimedWake, acks: dict[str, str], *, done: bool = False) -> bool:
        said = report(claimed.wake_id, claimed.generation, acks, done)
        return result_of(self.subscriptions.ack(subscription_id, claimed.token, said))

    def call_back(self, call: Call, *, done: bool = False, acks: dict[str, str] | None = None) -> bool:
        said = call.report(done=done, acks=acks)
        return result_of(self.subscriptions.callback(call.body["subscription_id"], call.token, said))
