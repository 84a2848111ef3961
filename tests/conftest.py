"""What every test must leave behind: nothing. No failure that nobody handled, no timer on the reactor."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer


@implementer(ILogObserver)
class UnhandledFailures:
    """Keeps the tracebacks of the failures that reach the log although nobody logged them on purpose."""

    def __init__(self) -> None:
        self.tracebacks: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        # The package logs a failure only where it has dealt with it; Twisted and Klein log what nobody took.
        failure = event.get("log_failure") or event.get("failure")
        if failure is not None and not event["log_namespace"].startswith("durable_streams"):
            self.tracebacks.append(failure.getTraceback())


_OBSERVER = pytest.StashKey[UnhandledFailures]()


def _reactor() -> Any:
    # Imported late: importing it installs the default reactor, and pytest's --reactor must come first.
    from twisted.internet import reactor

    return reactor


def _turn_reactor() -> None:
    pytest_twisted.blockon(deferLater(_reactor(), 0))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=400, help="how many seeds the crash simulation lives through")
    parser.addoption("--first-seed", type=int, default=0, help="the seed with which it begins")
    parser.addoption("--soak", type=float, default=6.0, help="seconds for which the client's soak kills its server")


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[_OBSERVER] = UnhandledFailures()
    globalLogPublisher.addObserver(session.config.stash[_OBSERVER])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Function, nextitem: pytest.Function | None) -> Generator[None]:
    """Fail a test that leaves a failure that nobody handled, in a callback or in a Deferred."""
    yield
    # A Deferred reports its failure when it is freed, so let go of the fixtures' values: pytest keeps them until the
    # test is over, the reactor until its next turn.
    item.funcargs.clear()
    _turn_reactor()
    if nextitem is None or nextitem.module is not item.module:
        gc.unfreeze()
    gc.collect()
    # Only what the next test makes is walked after it: 0.1 ms instead of up to 50.
    gc.freeze()
    observer = item.config.stash[_OBSERVER]
    tracebacks, observer.tracebacks = observer.tracebacks, []
    assert not tracebacks, "nobody handled:\n" + "\n".join(tracebacks)


@pytest.fixture
def unhandled_failures(pytestconfig: pytest.Config) -> list[str]:
    """Tracebacks of the unhandled failures so far; a test that provokes one checks the list and clears it."""
    return pytestconfig.stash[_OBSERVER].tracebacks


@pytest.fixture(autouse=True)
def no_delayed_calls() -> Iterator[None]:
    """Fail a test that leaves a timer running on the real reactor."""
    reactor = _reactor()
    before = set(reactor.getDelayedCalls())
    yield
    # Transports finish closing by calls without delay, in the next turn or two: those are no leak.
    _turn_reactor()
    _turn_reactor()
    left = set(reactor.getDelayedCalls()) - before
    # A cancelled call no longer knows its function, so describe first.
    running = ", ".join(map(str, left))
    for call in left:
        call.cancel()
    assert not left, f"still running on the reactor: {running}"
