"""Tests that leave something behind, or only seem to. ``test_hygiene.py`` runs them in a pytest of its own."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python import log
from twisted.python.failure import Failure

assert IReactorTime.providedBy(reactor)


class Owner:
    """Something that owns a Deferred."""

    deferred: Deferred[None]
    itself: Owner


@pytest.fixture
def owner() -> Owner:
    return Owner()


def test_drops_a_failure() -> None:
    fail(ValueError())


def test_drops_a_failure_in_a_cycle_older_than_many_objects() -> None:
    cycle = Owner()
    cycle.itself = cycle
    cycle.deferred = fail(ValueError())
    # So many that the collector has moved the cycle into its oldest generation by now.
    assert len([[number] for number in range(200_000)]) == 200_000


def test_leaves_a_failure_with_its_fixture(owner: Owner) -> None:
    owner.deferred = fail(ValueError())


def test_follows_a_leak_but_is_innocent() -> None:
    pass


@pytest_twisted.ensureDeferred
async def test_raises_in_a_timed_call() -> None:
    reactor.callLater(0, [].pop)
    await deferLater(reactor, 0)


def test_logs_an_error_of_an_old_library() -> None:
    log.err(ValueError())


def test_leaves_a_timer() -> None:
    reactor.callLater(60, print)


@pytest_twisted.ensureDeferred
async def test_leaves_a_timer_in_the_reactor() -> None:
    reactor.callLater(60, print)


def test_handles_its_failure() -> None:
    fail(ValueError()).addErrback(lambda failure: None)


def test_checks_the_failure_that_it_provokes(unhandled_failures: list[str]) -> None:
    fail(ValueError())
    assert ["ValueError" in traceback for traceback in unhandled_failures] == [True]
    unhandled_failures.clear()


def test_logs_a_failure_that_the_package_has_dealt_with() -> None:
    Logger("durable_streams.example").failure("dealt with", Failure(ValueError()))


def test_leaves_a_call_for_the_next_turn() -> None:
    reactor.callLater(0, lambda: reactor.callLater(0, int))
