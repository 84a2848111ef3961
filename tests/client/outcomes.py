"""What has become of a Deferred, now, without a reactor."""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")
E = TypeVar("E", bound=Exception)


def result_of(deferred: Deferred[T]) -> T:
    """The result that a Deferred has already; what it failed with is raised."""
    outcome = _outcome_of(deferred)
    if isinstance(outcome, Failure):
        outcome.raiseException()
    result: T = outcome
    return result


def error_of(deferred: Deferred[Any], kind: type[E]) -> E:
    """The error of the given class that a Deferred has already failed with."""
    outcome = _outcome_of(deferred)
    assert isinstance(outcome, Failure), f"it did not fail, but gave {outcome!r}"
    assert isinstance(outcome.value, kind), repr(outcome.value)
    return outcome.value


def is_waiting(deferred: Deferred[Any]) -> bool:
    """Whether a Deferred has neither result nor failure yet."""
    return not deferred.called


def _outcome_of(deferred: Deferred[Any]) -> Any:
    outcomes: list[Any] = []
    deferred.addBoth(outcomes.append)
    assert outcomes, "the Deferred is still waiting"
    return outcomes[0]
