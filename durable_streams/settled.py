"""Deferreds whose outcome is there already: what follows need not be a callback, which costs as much as an append."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


def is_settled(outcome: Deferred[Any]) -> bool:
    """Whether it has fired with a result: it has not failed, and does not wait for another Deferred."""
    # Not by the type of its result: Deferred is an abstract class, and to ask for one of those is slow.
    return outcome.called and not outcome.paused and not isinstance(outcome.result, Failure)
