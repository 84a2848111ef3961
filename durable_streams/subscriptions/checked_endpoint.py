"""Connections to webhook receivers, made to the very addresses that were checked (Section 12.8)."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from durable_streams.subscriptions.webhook_url import WebhookTarget, refused

CONNECT_SECONDS = 10.0
LARGEST_ANSWER = 64 * 1024

Address = IPv4Address | IPv6Address


@implementer(IResolutionReceiver)
class _Addresses:
    """Collects what a name stands for."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._found: list[Address] = []
        self.complete: Deferred[list[Address]] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Nothing has to be known of it: it is not cancelled."""

    def addressResolved(self, address: IAddress) -> None:
        if isinstance(address, IPv4Address | IPv6Address):
            self._found.append(address)

    def resolutionComplete(self) -> None:
        if self.complete.called:
            return
        if self._found:
            self.complete.callback(self._found)
        else:
            self.complete.errback(DNSLookupError(f"no address is known for {self._host}"))


def addresses_of(resolver: IHostnameResolver, url: str, target: WebhookTarget) -> Deferred[list[Address]]:
    """The addresses of a target. Fails with ``WebhookUrlRejected`` if one is not admitted, or ``DNSLookupError``."""
    found = _Addresses(target.host)
    resolver.resolveHostName(found, target.host, target.port)
    return found.complete.addCallback(_checked, url, target)


def _checked(addresses: list[Address], url: str, target: WebhookTarget) -> list[Address]:
    if not all(target.admits(address.host) for address in addresses):
        raise refused(url, target)
    return addresses


@implementer(IStreamClientEndpoint)
class CheckedEndpoint:
    """Resolves a target once, checks what comes, and tries those addresses one after the other."""

    def __init__(self, reactor: Any, url: str, target: WebhookTarget) -> None:
        self._reactor = reactor
        self._url = url
        self._target = target

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        refusal = ConnectError()
        for address in await addresses_of(self._reactor.nameResolver, self._url, self._target):
            kind = TCP6ClientEndpoint if isinstance(address, IPv6Address) else TCP4ClientEndpoint
            try:
                return await kind(self._reactor, address.host, self._target.port, CONNECT_SECONDS).connect(factory)
            except ConnectError as error:
                refusal = error
        raise refusal


class _BoundedConnection(ProtocolWrapper):
    """Cuts itself when more comes than an answer may have, head and body together."""

    received = 0

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)
        if self.received > LARGEST_ANSWER:
            self.abortConnection()
        else:
            super().dataReceived(data)


class _BoundedConnections(WrappingFactory):
    protocol = _BoundedConnection

    def doStart(self) -> None:
        """One request is nothing for the log."""

    def doStop(self) -> None:
        """One request is nothing for the log."""


@implementer(IStreamClientEndpoint, IAgentEndpointFactory)
class ReceiverEndpoint:
    """The way to one receiver, for one request by an ``Agent``; ``abort`` ends it at any time.

    ``https_policy`` decides which certificates are good for the receiver's name.
    """

    def __init__(self, reactor: Any, https_policy: IPolicyForHTTPS, url: str, target: WebhookTarget) -> None:
        self._reactor = reactor
        self._https_policy = https_policy
        self._url = url
        self._target = target
        self._connections: list[_BoundedConnection] = []

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        connected = cast(Deferred[_BoundedConnection], self._endpoint().connect(_BoundedConnections(protocolFactory)))
        return connected.addCallback(self._connected)

    def _endpoint(self) -> IStreamClientEndpoint:
        target = self._target
        endpoint: IStreamClientEndpoint = CheckedEndpoint(self._reactor, self._url, target)
        if target.loopback:
            return endpoint
        creator = self._https_policy.creatorForNetloc(target.host.encode("ascii"), target.port)
        return wrapClientTLS(creator, endpoint)

    def _connected(self, connection: _BoundedConnection) -> IProtocol:
        self._connections.append(connection)
        return connection.wrappedProtocol

    @property
    def was_flooded(self) -> bool:
        """Whether a connection was cut because an answer went beyond its limit."""
        return any(connection.received > LARGEST_ANSWER for connection in self._connections)

    def abort(self) -> None:
        """Cut the connection, if there is one."""
        for connection in self._connections:
            connection.abortConnection()
