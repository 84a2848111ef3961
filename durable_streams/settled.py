"""Deferreds whose outcome is there already: what follows need not be a callback, which costs as much as an append."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_UNSETTLED = (Deferred, Failure)


def is_settled(outcome: Deferred[Any]) -> bool:
    """Whether it has fired with a result: it has not failed, and does not wait for another Deferred."""
    return outcome.called and not isinstance(outcome.result, _UNSETTLED)
