"""What becomes of a failure to read the base store."""

from __future__ import annotations

from twisted.logger import Logger
from twisted.python.failure import Failure

from durable_streams.errors import StorageFailed

_log = Logger()


def unreadable(failure: Failure) -> Failure:
    """Log that the base store could not be read, and tell it as ``StorageFailed``."""
    reason = f"the base store cannot be read: {failure.getErrorMessage()}"
    _log.error("{reason}", reason=reason)
    return Failure(StorageFailed(reason))
