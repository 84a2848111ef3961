"""Pooled connections: the treq client that handles use unless they are given another."""

from __future__ import annotations

from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web.client import Agent, HTTPConnectionPool

PER_HOST = 16
"""Idle connections kept for one server."""

IDLE = 50
"""Seconds for which an idle connection is kept.

Servers and proxies usually keep theirs longer, so that they seldom close one just as it is used again.
"""

CONNECT_TIMEOUT = 10.0
"""Seconds until a connection attempt counts as failed."""


class Connections:
    """A pool of persistent connections, and a treq client that uses it.

    For TLS with own trust pass ``tls``, an IPolicyForHTTPS. For a proxy build a treq client around
    ``twisted.web.client.ProxyAgent`` instead of this.
    """

    def __init__(self, reactor: Any, tls: Any = None) -> None:
        self._reactor = reactor
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = PER_HOST
        self._pool.cachedConnectionTimeout = IDLE
        # It would repeat a DELETE unseen; the client repeats by itself, and knows.
        self._pool.retryAutomatically = False
        options = {} if tls is None else {"contextFactory": tls}
        self.treq = HTTPClient(Agent(reactor, connectTimeout=CONNECT_TIMEOUT, pool=self._pool, **options))

    def close(self) -> Deferred[None]:
        """Close the idle connections; fires when they are closed."""
        # Whoever has just got the end of an answer may run before that connection is back in the pool.
        return deferLater(self._reactor, 0).addCallback(lambda _: self._pool.closeCachedConnections())


_shared: Connections | None = None


def shared() -> Connections:
    """The connections of this process, made when first asked for."""
    global _shared
    if _shared is None:
        from twisted.internet import reactor

        _shared = Connections(reactor)
    return _shared
