"""How a connection is closed by us."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import ISSLTransport


def close(transport: Any) -> None:
    """Send what is left, then close.

    Over TLS, Twisted waits for the peer to say goodbye as well; one that rests in a pool of connections never does.
    RFC 8446, 6.1 asks for no such wait.
    """
    # A producer would hold up the goodbye.
    transport.unregisterProducer()
    transport.loseConnection()
    is_over_tls = ISSLTransport.providedBy(transport)
    if is_over_tls:
        transport.transport.loseConnection()
